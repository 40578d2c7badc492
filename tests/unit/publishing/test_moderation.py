"""What is sent to a moderation service, what its answers mean, and that no failure of it is ever an allowance."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from moderation_server import ModerationServer
from pydantic import SecretStr

from zimage_core.errors import ConfigurationError
from zimage_core.publishing.moderation import (
    COOL_DOWN_S,
    FAILURES_IN_A_ROW,
    HttpModeration,
    ModerationCase,
    moderation_client,
)
from zimage_core.publishing.moderation_answers import ModerationAnswer, gravest, keep_answer, kept_answer
from zimage_core.settings import load_settings
from zimage_core.storage import LocalStore

KEY = "moderation-key-0123456789"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.s = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.s += seconds

    def elapsed_s(self) -> float:
        return self.s

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.s)


@pytest.fixture
def server() -> Iterator[ModerationServer]:
    with ModerationServer().running() as running:
        yield running


@pytest.fixture
def ticking() -> Clock:
    return Clock()


@pytest.fixture
def client(server: ModerationServer, ticking: Clock) -> Iterator[HttpModeration]:
    made = client_of(server, ticking)
    yield made
    made.close()


def client_of(server: ModerationServer, ticking: Clock, **how) -> HttpModeration:
    return HttpModeration(
        server.url,
        SecretStr(KEY),
        **{"timeout_s": 5.0, "sleep": ticking.sleep, "elapsed_s": ticking.elapsed_s, "now": ticking.now} | how,
    )


def case(sku: str = "MUG-1") -> ModerationCase:
    return ModerationCase(
        data=b"\xff\xd8\xff picture",
        media_type="image/jpeg",
        width_px=800,
        height_px=600,
        sku=sku,
        product="白瓷马克杯",
        scene="studio",
        mode="stage",
        engine="studio",
        promotion="618",
        channels=("taobao_main",),
        texts=("618 大促", "¥59"),
    )


def test_the_picture_and_what_is_known_of_it_are_posted_as_json(server: ModerationServer, client: HttpModeration):
    answer = client.ask(case())
    assert (answer.verdict, answer.labels, answer.asked_at) == ("allow", (), NOON)
    (shown,) = server.shown
    assert shown.headers["authorization"] == f"Bearer {KEY}"
    assert shown.headers["content-type"] == "application/json"
    picture = shown.document.pop("picture")
    assert base64.b64decode(picture["base64"]) == case().data
    assert picture["sha256"] == hashlib.sha256(case().data).hexdigest()
    assert (picture["width_px"], picture["height_px"]) == (800, 600)
    assert shown.document["product"] == "白瓷马克杯"
    assert shown.document["texts"] == ["618 大促", "¥59"]


def test_with_hmac_the_request_is_signed_over_time_and_body_and_the_key_stays_here(
    server: ModerationServer, ticking: Clock
):
    client = client_of(server, ticking, auth="hmac")
    client.ask(case())
    client.close()
    (shown,) = server.shown
    stamp = shown.headers["x-zimage-timestamp"]
    assert int(stamp) == NOON.timestamp()
    due = hmac.new(KEY.encode(), f"{stamp}.".encode() + shown.body, hashlib.sha256).hexdigest()
    assert shown.headers["x-zimage-signature"] == f"sha256={due}"
    assert KEY not in str(shown.headers)
    assert KEY.encode() not in shown.body


@pytest.mark.parametrize("word", ["review", "deny"])
def test_an_objection_comes_back_with_its_labels_and_reason(
    server: ModerationServer, client: HttpModeration, word: str
):
    server.answer = {"verdict": word, "labels": ["weapon", "logo"], "reason": "a knife", "model": "m3"}
    answer = client.ask(case())
    assert (answer.verdict, answer.labels) == (word, ("weapon", "logo"))
    assert answer.sentence().endswith("(weapon, logo): a knife")


@pytest.mark.parametrize("fault", ["html", "nonsense", "huge", "500", "429", "401", "404", "302", "drop", "204"])
def test_whatever_is_no_answer_is_never_an_allowance(server: ModerationServer, client: HttpModeration, fault: str):
    server.broken = fault
    answer = client.ask(case())
    assert answer.verdict == "unanswered"
    assert answer.reason
    assert KEY not in answer.reason


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"verdict": "ALLOW", "labels": []},
        {"verdict": "allow", "labels": "none"},
        {"verdict": "allow"},
        {"verdict": True, "labels": []},
        {"verdict": "allow", "labels": [], "reason": None},
    ],
)
def test_an_answer_of_another_shape_is_none(server: ModerationServer, client: HttpModeration, answer):
    server.answer = answer
    assert client.ask(case()).verdict == "unanswered"


def test_a_service_that_says_nothing_is_left_after_its_time(server: ModerationServer, ticking: Clock):
    client = client_of(server, ticking, timeout_s=1.0)
    server.broken = "silent"
    answer = client.ask(case())
    client.close()
    assert answer.verdict == "unanswered"
    assert "no whole answer within" in answer.reason
    assert len(server.shown) == 2


@pytest.mark.parametrize("fault", ["500", "429", "drop"])
def test_what_may_pass_is_tried_once_more(server: ModerationServer, client: HttpModeration, ticking: Clock, fault: str):
    server.faults.extend([fault])
    assert client.ask(case()).verdict == "allow"
    assert len(server.shown) == 2
    assert ticking.slept == [1.0]


@pytest.mark.parametrize("fault", ["401", "404", "nonsense"])
def test_what_will_not_pass_is_not_tried_again(server: ModerationServer, client: HttpModeration, fault: str):
    server.broken = fault
    client.ask(case())
    assert len(server.shown) == 1


def test_a_service_that_is_down_is_left_alone_for_a_while_and_then_asked_again(
    server: ModerationServer, client: HttpModeration, ticking: Clock
):
    server.broken = "401"
    answers = [client.ask(case()) for _ in range(FAILURES_IN_A_ROW + 5)]
    assert {answer.verdict for answer in answers} == {"unanswered"}
    assert len(server.shown) == FAILURES_IN_A_ROW
    assert "was not asked" in answers[-1].reason
    server.broken = None
    ticking.sleep(COOL_DOWN_S)
    assert client.ask(case()).verdict == "allow"


def test_nobody_there_is_no_answer(ticking: Clock):
    server = ModerationServer()
    client = client_of(server, ticking)
    server._http.server_close()
    assert client.ask(case()).verdict == "unanswered"
    client.close()


@pytest.mark.parametrize("url", ["http://moderation.example.com/judge", "ftp://127.0.0.1/", "judge", ""])
def test_pictures_are_not_sent_in_the_clear(url: str):
    with pytest.raises(ConfigurationError, match="ZIMAGE_MODERATION_URL"):
        HttpModeration(url, None)


def test_a_signature_needs_a_key():
    with pytest.raises(ConfigurationError, match="ZIMAGE_MODERATION_KEY"):
        HttpModeration("https://moderation.example.com/judge", None, auth="hmac")


def test_a_key_that_cannot_be_sent_is_named_by_its_variable_and_not_shown():
    with pytest.raises(ConfigurationError, match="ZIMAGE_MODERATION_KEY") as raised:
        HttpModeration("https://moderation.example.com/judge", SecretStr("two\nlines"))
    assert "two" not in str(raised.value)


def test_without_a_url_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert moderation_client(load_settings()) is None
    monkeypatch.setenv("ZIMAGE_MODERATION_URL", "https://moderation.example.com/judge")
    monkeypatch.setenv("ZIMAGE_MODERATION_KEY", KEY)
    settings = load_settings()
    assert KEY not in repr(settings)
    client = moderation_client(settings)
    assert client is not None
    client.close()


# ---------------------------------------------------------------- what is kept, and what decides


def said(word: str, minute: int = 0) -> ModerationAnswer:
    return ModerationAnswer(word, ("label",), "why", NOON + timedelta(minutes=minute))  # type: ignore[arg-type]


def test_an_answer_is_kept_by_service_and_picture(tmp_path: Path):
    store = LocalStore(tmp_path)
    keep_answer(store, "service-a", "0123456789abcdef", said("unanswered"))
    keep_answer(store, "service-a", "0123456789abcdef", said("review"))
    assert kept_answer(store, "service-a", "0123456789abcdef") == said("review")
    assert kept_answer(store, "service-b", "0123456789abcdef") is None
    assert kept_answer(store, "service-a", "fedcba9876543210") is None


def test_a_kept_answer_that_was_damaged_is_asked_for_again(tmp_path: Path):
    store = LocalStore(tmp_path)
    keep_answer(store, "service-a", "0123456789abcdef", said("allow"))
    (note,) = tmp_path.rglob("*.json")
    note.write_bytes(note.read_bytes()[:20])
    assert kept_answer(store, "service-a", "0123456789abcdef") is None


@pytest.mark.parametrize(
    ("words", "decides"),
    [
        (["allow", "allow"], "allow"),
        (["allow", "unanswered"], "unanswered"),
        (["unanswered", "review"], "review"),
        (["deny", "review", "allow"], "deny"),
    ],
)
def test_the_gravest_answer_decides_for_a_shot(words: list[str], decides: str):
    assert gravest([said(word) for word in words]).verdict == decides


def test_the_moment_that_counts_is_the_last_one_at_which_something_was_not_allowed():
    found = gravest([said("review", 1), said("unanswered", 5), said("allow", 9)])
    assert (found.verdict, found.asked_at) == ("review", NOON + timedelta(minutes=5))
