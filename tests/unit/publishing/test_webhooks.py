"""What receivers are told: complete, small, signed, under an id that stays; and which receivers there can be."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from webhook_receiver import OLD_SECRET, SECRET

from zimage_core import clock
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import OutboxEvent
from zimage_core.publishing.manifest import FileLabels, Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.webhooks import (
    MAX_BODY_BYTES,
    Switch,
    events_of,
    receivers_of,
    signed_headers,
    signers_of,
    without_secrets,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
BASE = "https://img.example/shop/"


def entry(n: int, sku: str | None = None, alt: str = "白瓷马克杯，白底") -> ManifestEntry:
    sha = f"{n:064x}"
    return ManifestEntry(
        sku=sku or f"MUG-{n:04d}",
        scene="packshot",
        channel="detail",
        key=f"img/{sku or f'MUG-{n:04d}'}/packshot-detail-800x800.{sha[:16]}.jpg",
        sha256=sha,
        size_bytes=1000,
        width_px=800,
        height_px=800,
        media_type="image/jpeg",
        alt_text=alt,
        grade="A",
    )


def manifest(*entries: ManifestEntry) -> Manifest:
    return build_manifest("618", entries)


def switch(found: Manifest, kind: str = "published", at: datetime = NOON) -> Switch:
    return Switch(found.release_id, "618", kind, at)


def images(events: tuple[OutboxEvent, ...]) -> list[dict[str, Any]]:
    return [image for event in events for image in json.loads(event.body)["data"]["images"]]


def test_an_event_says_which_image_of_which_product_is_where() -> None:
    found = manifest(entry(1))
    made = NOON - timedelta(hours=1)
    (event,) = events_of(
        switch(found),
        found,
        public_url=BASE,
        generated_at={entry(1).key: made},
        passthrough={"MUG-0001": {"recordNo": 7, "erp": {"id": "4711"}}},
    )
    said = json.loads(event.body)
    assert (said["type"], said["timestamp"]) == ("images.published", "2026-11-01T12:00:00.000Z")
    assert {name: said["data"][name] for name in ("promotion", "releaseId", "manifestUrl", "part", "parts")} == {
        "promotion": "618",
        "releaseId": found.release_id,
        "manifestUrl": f"https://img.example/shop/{found.key}",
        "part": 1,
        "parts": 1,
    }
    (image,) = said["data"]["images"]
    assert image["productId"] == image["sku"] == "MUG-0001"
    assert image["imageUrl"] == f"https://img.example/shop/{entry(1).key}"
    assert (image["type"], image["scene"], image["channel"]) == ("packshot", "packshot", "detail")
    assert image["generatedAt"] == "2026-11-01T11:00:00.000Z"
    assert image["alt"] == "白瓷马克杯，白底"
    assert image["passthrough"] == {"recordNo": 7, "erp": {"id": "4711"}}


def test_a_large_release_is_told_in_parts_that_are_small_and_hold_every_image_once() -> None:
    found = manifest(*(entry(n) for n in range(1, 301)))
    events = events_of(switch(found), found, public_url=BASE)
    assert len(events) > 5
    assert all(len(event.body.encode()) < MAX_BODY_BYTES for event in events)
    assert min(len(event.body.encode()) for event in events[:-1]) > 0.9 * MAX_BODY_BYTES
    parts = [(json.loads(event.body)["data"]["part"], json.loads(event.body)["data"]["parts"]) for event in events]
    assert parts == [(part, len(events)) for part in range(1, len(events) + 1)]
    assert [image["sku"] for image in images(events)] == [one.sku for one in found.entries]
    assert len({event.event_id for event in events}) == len(events)


def test_an_image_too_large_for_an_event_goes_without_what_makes_it_so() -> None:
    found = manifest(entry(1), entry(2))
    events = events_of(switch(found), found, public_url=BASE, passthrough={"MUG-0001": {"notes": "长" * 9000}})
    big, small = images(events)
    assert (big["partial"], "passthrough" in big, "partial" in small) == (True, False, False)
    assert all(len(event.body.encode()) < MAX_BODY_BYTES for event in events)


def test_the_same_switch_has_the_same_ids_and_another_switch_others() -> None:
    found = manifest(entry(1))
    ids = [
        events_of(one, found, public_url=BASE)[0].event_id
        for one in (
            switch(found),
            switch(found),
            switch(found, "rolled_back"),
            switch(found, at=NOON + timedelta(days=1)),
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert "." not in ids[0], "a dot parts id, timestamp and body in what is signed"


def test_without_a_public_address_nothing_can_be_told() -> None:
    found = manifest(entry(1))
    with pytest.raises(ConfigurationError, match="ZIMAGE_PUBLISH_PUBLIC_URL"):
        events_of(switch(found), found, public_url=None)


def test_what_a_file_says_of_its_making_is_told() -> None:
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    labelled = dataclasses.replace(entry(1), labels=FileLabels(kind, ai_generated=True, visible=False))
    found = manifest(labelled)
    assert images(events_of(switch(found), found, public_url=BASE))[0]["digitalSourceType"] == kind


# ---------------------------------------------------------------- signatures


def test_each_secret_signs_so_that_it_can_be_changed_without_a_gap() -> None:
    body = '{"n":1,"名":"杯"}'
    headers = signed_headers(signers_of(SecretStr(f"{SECRET} {OLD_SECRET}")), "evt_1", body, clock.now())
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body, headers) == {"n": 1, "名": "杯"}
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace("1", "2"), headers)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        " ",
        "whsec_",
        "secret",
        SECRET.removeprefix("whsec_"),
        "whsec_!!!",
        "whsec_" + "QUFB" * 2,
        "whsec_" + "QUFB" * 22,
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signers_of(SecretStr(secret))
    assert "ZIMAGE_PUBLISH_WEBHOOK_SECRET" in str(caught.value)
    assert len(secret) < 10 or secret not in str(caught.value)


# ---------------------------------------------------------------- receivers


def test_a_receiver_is_shown_without_what_may_be_secret_in_its_address() -> None:
    twice = "https://erp.example:8443/hooks?token=abc"
    (one,) = receivers_of([twice, twice], private=False)
    assert one.name == "https://erp.example:8443/hooks"
    assert "abc" not in repr(one) + one.receiver_id


def test_a_key_in_the_path_of_an_address_is_not_shown_either() -> None:
    url = "https://hooks.example/services/v1/T024BE7LD/onlylettersbutverylong?key=s3cr3t"
    (one,) = receivers_of([url], private=False)
    assert one.name == "https://hooks.example/services/v1/***/***"
    said = without_secrets(f"No route to {url}: s3cr3t", url)
    assert said == "No route to https://hooks.example/services/v1/***/***?***: ***"


@pytest.mark.parametrize(
    "url", ["http://erp.example/", "ftp://erp.example/", "erp.example", "", "https://", "https://user:pw@erp.example/"]
)
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        receivers_of([url], private=False)
    assert "pw" not in str(caught.value)


def test_plain_http_is_taken_inside_an_own_network() -> None:
    assert receivers_of(["http://10.0.0.7/hooks"], private=True)[0].name == "http://10.0.0.7/hooks"
