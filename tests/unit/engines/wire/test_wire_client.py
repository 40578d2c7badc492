"""The client against real sockets: time ends, bodies end, redirects stay, certificates are verified."""

from __future__ import annotations

import ssl
import threading
import time
from pathlib import Path

import pytest
from certificates import certificate
from free_ports import free_port
from pydantic import SecretStr
from small_servers import HTML, Answer, Seen, in_turn, json_answer, serving

from zimage_core.engines.wire.client import (
    EngineLocked,
    EngineUnreachable,
    Limits,
    Wire,
    error_for_status,
)
from zimage_core.engines.wire.replies import Reply
from zimage_core.errors import (
    BadImage,
    ConfigurationError,
    EngineBusy,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)

SHORT = Limits(connect_s=2.0, read_s=1.0, total_s=0.5, max_bytes=100_000)
SLACK_S = 5.0
"""Two shared cores: a call that should end after half a second may take this much longer."""


def test_what_is_sent_arrives_and_what_is_answered_comes_back() -> None:
    with serving(in_turn(json_answer({"ok": "är"}, 201, X_More="1"))) as server:
        wire = Wire("e", headers={"X-Ours": "yes"})
        reply = wire.call("POST", f"{server.url}/a/b?c=1", json={"prompt": "素白"}, headers={"Idempotency-Key": "k"})
        wire.close()
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/a/b?c=1")
    assert seen.body == b'{"prompt": "\\u7d20\\u767d"}'
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-ours"] == "yes"
    assert seen.headers["idempotency-key"] == "k"
    assert seen.headers["user-agent"].startswith("zimage")
    assert seen.headers["accept-encoding"] == "identity"
    assert reply.status == 201
    assert reply.is_ok
    assert reply.headers["x-more"] == reply.headers["X-More"] == "1"
    assert reply.json_object("e", "it") == {"ok": "är"}
    assert reply.endpoint == f"{server.url}/a/b"


def test_a_file_is_sent_as_a_form() -> None:
    with serving(in_turn(json_answer({}))) as server:
        wire = Wire("e")
        wire.call("POST", server.url, files={"image": ("a.png", b"\x89PNG", "image/png")})
        wire.close()
    assert server.seen[0].headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'filename="a.png"' in server.seen[0].body


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 500, drip_s=0.02),
        Answer(body=b"x", header_drip_s=0.1),
        Answer(stall=True),
    ],
    ids=["drip", "dripping headers", "silence"],
)
def test_a_call_ends_when_its_time_is_over_however_the_server_spends_it(answer: Answer) -> None:
    with serving(in_turn(answer)) as server:
        wire = Wire("slow one", SHORT)
        started_s = time.monotonic()
        with pytest.raises(EngineTimeout) as caught:
            wire.call("GET", server.url)
        took_s = time.monotonic() - started_s
        wire.close()
    assert 0.4 <= took_s < 0.5 + SLACK_S
    assert "slow one" in caught.value.sentence
    assert server.url in caught.value.sentence
    assert "0.5 s" in caught.value.sentence


def test_a_server_that_does_not_read_what_is_sent_is_left_in_time() -> None:
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        wire = Wire("deaf", SHORT)
        started_s = time.monotonic()
        with pytest.raises(EngineTimeout):
            wire.call("POST", f"http://127.0.0.1:{deaf.getsockname()[1]}/", content=b"x" * 64_000_000)
        wire.close()
    assert time.monotonic() - started_s < 0.5 + SLACK_S


def test_one_call_may_take_longer_than_the_others() -> None:
    with serving(in_turn(Answer(body=b"x" * 40, drip_s=0.02))) as server:
        wire = Wire("e", SHORT)
        assert wire.call("GET", server.url, total_s=20.0).body == b"x" * 40
        wire.close()


@pytest.mark.parametrize(
    "answer",
    [Answer(body=b"x" * 9_000, endless=True, headers={"Content-Length": ""}), Answer(body=b"x" * 100_001)],
    ids=["endless", "announced"],
)
def test_a_body_larger_than_allowed_is_not_read_to_its_end(answer: Answer) -> None:
    with serving(in_turn(answer)) as server:
        wire = Wire("e", Limits(max_bytes=100_000))
        with pytest.raises(EngineUnavailable, match="100,000"):
            wire.call("GET", server.url)
        wire.close()


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    with serving(in_turn(Answer(body=b"x" * 100_000))) as server:
        wire = Wire("e", SHORT)
        assert len(wire.call("GET", server.url, total_s=20.0).body) == 100_000
        wire.close()


def test_no_connection_is_told_from_one_that_broke() -> None:
    wire = Wire("e")
    with pytest.raises(EngineUnreachable, match="cannot be reached") as caught:
        wire.call("GET", f"http://127.0.0.1:{free_port()}/")
    assert caught.value.retryable
    with serving(in_turn(Answer(drop=True), Answer(body=b"x" * 1000, cut_bytes=10))) as server:
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match="broke off") as broken:
                wire.call("GET", server.url)
            assert not isinstance(broken.value, EngineUnreachable)
    wire.close()


def test_an_address_that_is_none_is_no_crash() -> None:
    wire = Wire("e")
    for url in ("", "ftp://host/a", "http://", "http://a:b:c", "not an address", "http://[::1"):
        with pytest.raises(EngineUnavailable):
            wire.call("GET", url)
    wire.close()


# ---------------------------------------------------------------- redirects


def redirect(to: str, status: int = 307) -> Answer:
    return Answer(status, b"", {"Location": to})


def test_a_redirect_on_the_same_host_is_followed_with_body_and_key() -> None:
    with serving(lambda seen: json_answer({"at": seen.path}) if seen.path == "/b" else redirect("/b")) as server:
        wire = Wire("e", headers={"Authorization": SecretStr("Bearer k")})
        assert wire.call("POST", f"{server.url}/a", json={"p": 1}).json_object("e", "x") == {"at": "/b"}
        wire.close()
    assert [seen.body for seen in server.seen] == [b'{"p": 1}'] * 2
    assert server.seen[1].headers["authorization"] == "Bearer k"


def test_a_redirect_to_another_host_gets_no_request_body_and_no_key() -> None:
    with serving(in_turn(json_answer({}))) as other, serving(in_turn(redirect(f"{other.url}/x"))) as server:
        wire = Wire("e", headers={"Authorization": SecretStr("Bearer k")})
        with pytest.raises(EngineUnavailable, match="another host"):
            wire.call("POST", server.url, json={"p": 1})
        assert other.seen == []
        assert wire.call("GET", server.url).is_ok
        wire.close()
    assert "authorization" not in other.seen[0].headers
    assert "authorization" in server.seen[1].headers


def test_redirects_end() -> None:
    with serving(in_turn(redirect("/again"))) as server:
        wire = Wire("e", Limits(max_redirects=3))
        with pytest.raises(EngineUnavailable, match="more than 3 times"):
            wire.call("GET", server.url)
        wire.close()
    assert len(server.seen) == 4


def test_a_redirect_that_would_turn_a_post_into_a_get_is_not_followed() -> None:
    with serving(in_turn(redirect("/b", 302))) as server:
        wire = Wire("e")
        with pytest.raises(EngineUnavailable, match="would drop what is sent"):
            wire.call("POST", server.url, json={})
        for target in ("file:///etc/passwd", "http://a:b:c/", "ftp://127.0.0.1/"):
            server.answer = in_turn(redirect(target))
            with pytest.raises(EngineUnavailable):
                wire.call("GET", server.url)
        wire.close()


# ---------------------------------------------------------------- TLS


def test_a_certificate_is_verified_and_a_private_authority_can_be_named(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    with serving(in_turn(json_answer({"tls": 1})), context) as server:
        stranger = Wire("e", SHORT)
        with pytest.raises(EngineLocked, match="ca_file"):
            stranger.call("GET", server.url, total_s=20.0)
        stranger.close()
        friend = Wire("e", SHORT, ca_file=certificate_file)
        assert friend.call("GET", server.url, total_s=20.0).json_object("e", "x") == {"tls": 1}
        friend.close()


def test_a_certificate_is_that_of_the_name_whatever_address_was_given_for_it(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    asked: list[str] = []

    def addresses_of(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with serving(in_turn(json_answer({"tls": 1})), context) as server:
        wire = Wire("e", SHORT, ca_file=certificate_file, addresses_of=addresses_of)
        assert wire.call("GET", f"https://127.0.0.1:{server.port}", total_s=20.0).status == 200
        with pytest.raises(EngineLocked, match="certificate"):
            wire.call("GET", f"https://erp.invalid:{server.port}", total_s=20.0)
        wire.close()
        assert asked == ["127.0.0.1", "erp.invalid"]
        assert len(server.seen) == 1


def test_a_ca_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigurationError, match=name):
            Wire("e", ca_file=tmp_path / name)


# ---------------------------------------------------------------- what a status means


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body, 0.1, "http://host/p")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, EngineBusy), (409, EngineBusy), (425, EngineBusy), (429, EngineBusy),
        (401, EngineLocked), (402, EngineLocked), (403, EngineLocked), (407, EngineLocked),
        (500, EngineUnavailable), (502, EngineUnavailable), (503, EngineUnavailable), (504, EngineUnavailable),
        (304, EngineUnavailable),
        (400, EngineRefused), (404, EngineRefused), (413, EngineRefused), (422, EngineRefused),
    ],
)  # fmt: skip
def test_each_status_means_one_kind_of_error(status: int, kind: type[EngineError]) -> None:
    error = error_for_status(reply(status), "e", what="a picture")
    assert type(error) is kind
    assert str(status) in error.sentence
    assert "http://host/p" in error.sentence
    assert error.sentence.endswith(".")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "prompt is empty"}', "prompt is empty"),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "too small"}]}', "body.seed: too small"),
        (b'{"error": {"message": "no such model", "code": 7}}', "no such model"),
        (b'{"code": "InvalidParameter", "message": "bad size"}', "bad size"),
        (b'{"detail": {"version": 1, "code": "EngineBusy", "sentence": "Full."}}', "Full."),
        (HTML, "502 Bad gateway"),
        (b"Internal Server Error", "Internal Server Error"),
        (b"\xff\xfe\x00 odd", "odd"),
        (b"[" * 100_000, "["),
        (b'{"detail": {"detail": {"detail": {"detail": {"detail": {"detail": "deep"}}}}}}', "deep"),
    ],
)  # fmt: skip
def test_the_servers_own_words_are_in_the_sentence_and_short(body: bytes, said: str) -> None:
    sentence = error_for_status(reply(500, body), "e", what="a picture").sentence
    assert said in sentence
    assert len(sentence) < 420
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Sat, 21 Nov 2026 08:00:30 GMT", "date": "Sat, 21 Nov 2026 08:00:00 GMT"}, 30.0),
        ({"retry_after": "Sat, 21 Nov 2026 08:00:00 GMT", "date": "Sat, 21 Nov 2026 08:00:09 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Mon, 01 Jan 999999999999 00:00:00 GMT"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "1e400"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    error = error_for_status(reply(429, **headers), "e", what="a picture")
    assert error.retry_after_s == seconds


def test_a_date_without_the_servers_own_clock_is_read_by_ours() -> None:
    seconds = reply(429, retry_after="Fri, 01 Jan 2100 00:00:00 GMT").retry_after_s()
    assert seconds is not None
    assert seconds > 3600


def test_what_is_no_json_object_is_a_bad_image_that_says_what_it_is() -> None:
    for body, named in ((HTML, "HTML"), (b"", "empty"), (b"[1]", "JSON"), (b"\x89PNG....", "PNG"), (b"hello", "text")):
        with pytest.raises(BadImage, match=named):
            reply(200, body).json_object("e", "a picture in JSON")


def test_threads_share_a_client_and_each_has_its_own_time() -> None:
    def answer(seen: Seen) -> Answer:
        return Answer(body=b"x" * 30, drip_s=0.05) if seen.path == "/slow" else Answer(body=b"y")

    outcomes: dict[int, object] = {}
    with serving(answer) as server:
        wire = Wire("e", Limits(total_s=30.0))

        def call(n: int) -> None:
            try:
                outcomes[n] = wire.call("GET", server.url + ("/slow" if n % 2 else "/"), total_s=0.4 if n % 2 else 30.0)
            except EngineTimeout as error:
                outcomes[n] = error

        threads = [threading.Thread(target=call, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wire.close()
    assert all(isinstance(outcomes[n], EngineTimeout) for n in range(1, 12, 2))
    assert all(outcomes[n].body == b"y" for n in range(0, 12, 2))  # type: ignore[attr-defined]
