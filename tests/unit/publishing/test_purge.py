"""Purges: CloudFront's real API over a socket, any cache with a door over HTTP, and failures that undo nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from small_servers import Answer, Seen, in_turn, serving

from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.publishing.manifest import ManifestEntry, build_manifest
from zimage_core.publishing.purge import (
    TRIES,
    CloudFrontPurge,
    HttpPurge,
    NoPurge,
    Purge,
    paths_of,
    purge_of,
    purge_switch,
)
from zimage_core.publishing.release import current_release, publish_release, rollback
from zimage_core.settings import PublishSettings
from zimage_core.storage import LocalStore

KEY = "a-purge-key-of-some-length"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store in which 618 has two releases, the second live."""
    made = LocalStore(tmp_path, durable=False)
    for name in ("a", "b"):
        data = name.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        made.put(f"img/{name}.webp", data, content_type="image/webp")
        entry = ManifestEntry("S", "studio", "shopify", f"img/{name}.webp", sha256, 1, 8, 8, "image/webp", "", "A")
        publish_release(made, build_manifest("618", [entry]))
    return made


class Remembering:
    """Takes every purge and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[str, ...]]] = []

    def purge(self, reference: str, paths: tuple[str, ...]) -> None:
        self.told.append((reference, tuple(paths)))


def test_the_pointers_are_purged_and_nothing_else(store: LocalStore) -> None:
    purge = Remembering()
    outcome = purge_switch(purge, store, "618", public_url="https://cdn.example.cn/shop/")  # type: ignore[arg-type]
    assert outcome.is_done
    assert purge.told[0][1] == ("/shop/current/618.json", "/shop/current/618/*")
    assert paths_of(["current/双11.json"], None) == ("/current/%E5%8F%8C11.json",)


def test_the_reference_is_the_same_for_one_switch_and_another_for_the_next(store: LocalStore) -> None:
    purge = Remembering()
    for _ in range(2):
        purge_switch(purge, store, "618")  # type: ignore[arg-type]
    a = rollback(store, "618")
    purge_switch(purge, store, "618")  # type: ignore[arg-type]
    publish_release(store, build_manifest("618", [_entry_b()]))
    purge_switch(purge, store, "618")  # type: ignore[arg-type]
    purge_switch(purge, store, "618", again=True)  # type: ignore[arg-type]
    first, same, back, forth, again = (reference for reference, _ in purge.told)
    assert first == same
    assert back.startswith(a.release_id)
    assert len({first, back, forth, again}) == 4, "going back to a release is another purge than coming to it"


def _entry_b() -> ManifestEntry:
    sha256 = hashlib.sha256(b"b").hexdigest()
    return ManifestEntry("S", "studio", "shopify", "img/b.webp", sha256, 1, 8, 8, "image/webp", "", "A")


def test_a_purge_that_fails_is_told_and_the_release_stays(store: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    before = current_release(store, "618")
    purge = HttpPurge(f"http://127.0.0.1:{free_port()}/purge", SecretStr(KEY), sleep=lambda _: None)
    outcome = purge_switch(purge, store, "618")
    assert not outcome.is_done
    assert "zimage releases 618 --purge" in outcome.sentence
    assert outcome.sentence in caplog.text
    assert current_release(store, "618") == before
    assert purge_switch(NoPurge(), store, "618").is_done
    assert purge_switch(NoPurge(), store, "never").is_done


# ---------------------------------------------------------------- over HTTP


def test_paths_are_posted_with_the_key_and_the_reference() -> None:
    with serving(lambda _: Answer(202)) as server:
        HttpPurge(f"{server.url}/purge", SecretStr(KEY)).purge("ref-1", ["/current/618.json", "/current/618/*"])
    (seen,) = server.seen
    assert json.loads(seen.body) == {"reference": "ref-1", "paths": ["/current/618.json", "/current/618/*"]}
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["idempotency-key"] == "ref-1"


def test_a_cache_that_is_busy_is_asked_again_as_late_as_it_says() -> None:
    waits: list[float] = []
    answers = in_turn(Answer(503), Answer(429, headers={"Retry-After": "7"}), Answer(drop=True), Answer(200))
    with serving(answers) as server:
        HttpPurge(server.url, None, sleep=waits.append).purge("ref", ["/a"])
    assert waits == [5.0, 7.0, 20.0]
    assert {seen.headers["idempotency-key"] for seen in server.seen} == {"ref"}


@pytest.mark.parametrize(("answer", "asked"), [(Answer(401), 1), (Answer(400, b"no"), 1), (Answer(500), TRIES)])
def test_a_cache_that_refuses_is_told_without_the_key(answer: Answer, asked: int) -> None:
    def repeating(seen: Seen) -> Answer:
        return Answer(answer.status, seen.headers["authorization"].encode())

    with serving(repeating) as server, pytest.raises(PublishError, match=f"answered {answer.status}") as caught:
        HttpPurge(server.url, SecretStr(KEY), sleep=lambda _: None).purge("ref", ["/a"])
    assert len(server.seen) == asked
    assert KEY not in str(caught.value)


def test_a_cache_that_says_nothing_is_left_in_time() -> None:
    with serving(lambda _: Answer(stall=True)) as server, pytest.raises(PublishError, match="no whole answer"):
        HttpPurge(server.url, None, timeout_s=0.2, sleep=lambda _: None).purge("ref", ["/a"])


def test_many_paths_go_in_several_posts() -> None:
    with serving(lambda _: Answer(200)) as server:
        HttpPurge(server.url, None).purge("ref", [f"/{n}" for n in range(3001)])
    bodies = [json.loads(seen.body) for seen in server.seen]
    assert [(body["reference"], len(body["paths"])) for body in bodies] == [("ref-1", 3000), ("ref-2", 1)]


@pytest.mark.parametrize("url", ["http://cdn.example.cn/purge", "ftp://x", "nowhere"])
def test_the_key_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PURGE_TARGET"):
        HttpPurge(url, SecretStr(KEY))
    with pytest.raises(ConfigurationError, match="PURGE_KEY"):
        HttpPurge("https://cdn.example.cn", SecretStr("two\nlines"))


# ---------------------------------------------------------------- CloudFront


@pytest.fixture
def cloudfront(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a CloudFront API on this machine, which boto3 finds by its own variable."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFRONT", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


def settings_for(distribution: str) -> PublishSettings:
    return PublishSettings(
        purge="cloudfront",
        purge_target=distribution,
        access_key_id=SecretStr("AKIDEXAMPLE"),
        secret_access_key=SecretStr("secret"),
    )


def new_distribution(purge: Purge) -> str:
    assert isinstance(purge, CloudFrontPurge)
    origin = {"Id": "o", "DomainName": "b.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    made = purge._client.create_distribution(
        DistributionConfig={
            "CallerReference": "test",
            "Comment": "",
            "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": {
                "TargetOriginId": "o",
                "ViewerProtocolPolicy": "https-only",
                "MinTTL": 0,
                "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
            },
        }  # type: ignore[typeddict-item]
    )
    return made["Distribution"]["Id"]


def test_cloudfront_is_told_in_batches_it_takes(cloudfront: str, store: LocalStore) -> None:
    distribution = new_distribution(purge_of(settings_for("none yet")))
    purge = purge_of(settings_for(distribution))
    assert isinstance(purge, CloudFrontPurge)
    assert purge_switch(purge, store, "618").is_done
    purge.purge("many", [f"/{n}" for n in range(3001)])
    listed = purge._client.list_invalidations(DistributionId=distribution)["InvalidationList"]["Items"]
    batches = [
        purge._client.get_invalidation(DistributionId=distribution, Id=one["Id"])["Invalidation"]["InvalidationBatch"]
        for one in listed
    ]
    told = {batch["CallerReference"]: batch["Paths"] for batch in batches}
    live = current_release(store, "618")
    assert live is not None
    assert told.keys() == {f"{live.release_id}-2", "many-1", "many-2"}
    assert told[f"{live.release_id}-2"]["Items"] == ["/current/618.json", "/current/618/*"]
    assert told["many-1"]["Quantity"] == 3000


def test_a_distribution_nobody_knows_is_told(cloudfront: str, store: LocalStore) -> None:
    outcome = purge_switch(purge_of(settings_for("E000")), store, "618")
    assert not outcome.is_done
    assert "CloudFront refused the invalidation of E000: NoSuchDistribution" in outcome.sentence


def test_too_many_invalidations_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = b"<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>"
    done = (
        b'<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I1</Id><Status>InProgress</Status>'
        b"<CreateTime>2026-11-21T00:00:00Z</CreateTime><InvalidationBatch><CallerReference>r</CallerReference><Paths>"
        b"<Quantity>1</Quantity><Items><Path>/a</Path></Items></Paths></InvalidationBatch></Invalidation>"
    )
    waits: list[float] = []
    with serving(in_turn(Answer(400, busy), Answer(400, busy), Answer(201, done))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFRONT", server.url)
        made = purge_of(settings_for("E1"))
        assert isinstance(made, CloudFrontPurge)
        CloudFrontPurge("E1", made._client, sleep=waits.append).purge("r", ["/a"])
    assert waits == [5.0, 10.0]
    assert len(server.seen) == 3


def test_settings_choose_who_is_told() -> None:
    assert isinstance(purge_of(PublishSettings()), NoPurge)
    made = purge_of(PublishSettings(purge="http", purge_target="https://cdn.example.cn/purge"))
    assert isinstance(made, HttpPurge)
