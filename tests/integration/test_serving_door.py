"""Who comes in, how often, with how much; and what the server never says."""

from __future__ import annotations

import base64
import secrets
import socket
import struct
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from served_engine import ROOT, GatedEngine, Served, body, detail, served, wait_until
from zimage_requests import request_for

from zimage_core import clock
from zimage_core.engines.exchange import generate_body
from zimage_core.engines.registry import create_engine
from zimage_core.engines.wire.signing import signed_headers
from zimage_core.errors import ConfigurationError
from zimage_core.prompting import PromptLibrary
from zimage_core.serving.intake import Sampling
from zimage_core.serving.run import EngineServer
from zimage_core.settings import ServeSettings

KEY, OTHER = "a-key-for-tests-0123456789", "another-key-for-tests-012"
SECRET = "a-signing-secret-for-tests"
JSON = {"Content-Type": "application/json"}


def raw(here: Served, *parts: bytes, rest: bytes = b"") -> bytes:
    """Send bytes as they are and return all that comes back; `rest` is only tried, the server may hang up before."""
    with socket.create_connection(("127.0.0.1", here.server.port), timeout=30) as line:
        line.sendall(b"".join(parts))
        try:
            line.sendall(rest)
            return b"".join(iter(lambda: line.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return b""


# ---------------------------------------------------------------- keys


def test_without_a_key_nothing_is_drawn_or_told(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path, api_keys=[KEY, OTHER]) as here, here.client() as client:
        for given in ({}, {"Authorization": "Bearer wrong-key-0123456789"}, {"X-API-Key": KEY[:-1]},
                      {"Authorization": f"Basic {KEY}"}, {"X-API-Key": ""}):  # fmt: skip
            for method, path in (("POST", "/v1/generate"), ("GET", "/v1/engine"), ("GET", "/metrics"),
                                 ("POST", "/v1/images/generations"), ("GET", "/api/v1/tasks/0123456789abcdef"),
                                 ("GET", "/nowhere")):  # fmt: skip
                refused = client.request(method, path, headers=given)
                assert refused.status_code == 401, (method, path)
                assert refused.headers["WWW-Authenticate"] == "Bearer"
                assert detail(refused)["code"] == "Unauthorized"
        assert here.engine.calls == []
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 200
        for given in ({"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {OTHER}"}, {"X-API-Key": OTHER}):
            assert client.post("/v1/generate", json=body(), headers=given).status_code == 200
        described = client.get("/openapi.json").json()
        assert described["paths"]["/v1/generate"]["post"]["security"] == [{"bearer": []}, {"header": []}]


def test_a_server_without_keys_listens_to_this_machine_only(tmp_path: Path) -> None:
    def server(host: str, **settings: object) -> EngineServer:
        rules = ServeSettings(_env_file=None, **settings)
        return EngineServer(
            GatedEngine(), rules, tmp_path / host, sampling=Sampling(), blocklist=None, host=host, port=0
        )

    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(ConfigurationError, match="ZIMAGE_SERVE_API_KEYS"):
            server(host)
    with served(GatedEngine(), tmp_path / "here") as here, here.client() as client:
        rebound = client.get("/v1/engine", headers={"Host": "shop.example.com"})
        assert rebound.status_code == 403, "a page whose name resolves to this machine is not this machine"
        for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
            assert client.get("/v1/engine", headers={"Host": host}).status_code == 200


def test_keys_that_are_too_short_are_refused_and_never_shown() -> None:
    with pytest.raises(ValueError, match="16 printable") as refused:
        ServeSettings(_env_file=None, api_keys="too-short")
    assert "too-short" not in str(refused.value)
    kept = ServeSettings(_env_file=None, api_keys=KEY, signing_secrets=[SECRET])
    assert KEY not in repr(kept)
    assert SECRET not in repr(kept)


def test_two_servers_never_share_a_folder_or_a_port(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here:
        for folder, port, why in ((tmp_path, 0, "Another server"), (tmp_path / "own", here.server.port, "listen")):
            with pytest.raises(ConfigurationError, match=why):
                EngineServer(
                    GatedEngine(), ServeSettings(_env_file=None), folder, sampling=Sampling(), blocklist=None,
                    host="127.0.0.1", port=port,
                )  # fmt: skip


# ---------------------------------------------------------------- signatures


def test_a_signed_request_counts_once_and_for_what_was_signed(tmp_path: Path) -> None:
    sent = b'{"prompt": "a mug", "width": 64, "height": 64, "seed": 1}'
    with served(GatedEngine(), tmp_path, signing_secrets=[SECRET]) as here, here.client(**JSON) as client:
        at = clock.now() + timedelta(seconds=1)  # whole seconds: never before the server's start

        def signed(secret: str = SECRET, *, target: str = "/v1/generate", late_s: float = 0.0) -> dict[str, str]:
            moment = at - timedelta(seconds=late_s)
            return signed_headers(
                secret, method="POST", target=target, body=sent, at=moment, nonce=secrets.token_hex(16)
            )

        good = signed()
        assert client.post("/v1/generate", content=sent, headers=good).status_code == 200
        replayed = client.post("/v1/generate", content=sent, headers=good)
        assert replayed.status_code == 401
        assert "before" in detail(replayed)["sentence"]
        for headers, content, path in (
            ({}, sent, "/v1/generate"),
            (signed("a-secret-of-somebody-else"), sent, "/v1/generate"),
            (signed(), sent + b" ", "/v1/generate"),
            (signed(), sent, "/api/v1/generate"),
            (signed(), sent, "/v1/generate?more=1"),
            (signed(late_s=400), sent, "/v1/generate"),
            (signed(late_s=-400), sent, "/v1/generate"),
            (signed(late_s=20), sent, "/v1/generate"),  # good by its age, but from before this server's start
            (signed() | {"X-Nonce": secrets.token_hex(16)}, sent, "/v1/generate"),
        ):
            assert client.post(path, content=content, headers=headers).status_code == 401
        assert client.post("/v1/generate?more=1", content=sent, headers=signed(target="/v1/generate?more=1")).is_success
        assert client.get("/health").status_code == 200
    assert len(here.engine.calls) == 1, "the same content again is answered from what is kept"


# ---------------------------------------------------------------- rates


def test_a_key_that_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path, api_keys=[KEY, OTHER], requests_per_s=0.01, burst=2) as here:
        with here.client(**{"X-API-Key": KEY}) as client:
            for number in range(2):
                assert client.post("/v1/generate", json=body(f"mug {number}")).status_code == 200
            for path in ("/v1/generate", "/api/v1/generate", "/v1/images/generations"):
                refused = client.post(path, json=body("mug 3"))
                assert refused.status_code == 429
                assert 90 <= int(refused.headers["Retry-After"]) <= 100
            assert client.get("/v1/engine").status_code == 200, "looking costs nothing"
        with here.client(**{"X-API-Key": OTHER}) as other:
            assert other.post("/v1/generate", json=body("mug 4")).status_code == 200
            assert 'zimage_serve_rejected_total{reason="rate"} 3.0' in other.get("/metrics").text


# ---------------------------------------------------------------- bodies


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path, max_body_bytes=2000) as here, here.client(**JSON) as client:
        told = raw(
            here,
            b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999\r\n\r\n",
        )
        assert told.startswith(b"HTTP/1.1 413"), "nothing of it was sent, and it is refused"
        chunks = (b"x" * 500 for _ in range(10))
        chunked = client.post("/v1/generate", content=chunks)
        assert chunked.status_code == 413
        assert "2000" in detail(chunked)["sentence"]
        assert client.post("/v1/generate", json=body()).status_code == 200
        assert here.services.meters.rejected.labels("large_body")._value.get() == 2


def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path, body_timeout_s=0.2) as here:
        head = b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert raw(here, head, b"Content-Length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")
        assert httpx.get(f"{here.url}/health").status_code == 200


def test_many_large_bodies_at_a_time_are_not_all_held(tmp_path: Path) -> None:
    head = b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with served(GatedEngine(), tmp_path, max_body_bytes=2000) as here, here.client() as client:
        lines = [socket.create_connection(("127.0.0.1", here.server.port)) for _ in range(16)]
        for line in lines:
            line.sendall(head + b"Content-Length: 2000\r\n\r\n{")
        wait_until(lambda: client.post("/v1/generate", json=body()).status_code == 503)
        for line in lines:
            line.close()
        wait_until(lambda: client.post("/v1/generate", json=body()).status_code == 200)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"prompt": "x" * 101}, "101 characters"),
        ({"prompt": "  "}, "empty"),
        ({"prompt": "a mug", "width": 513}, "512 px"),
        ({"prompt": "a mug", "num_inference_steps": 9}, "8 steps"),
        ({"prompt": "a mug", "guidance_scale": 4.5}, "guidance 0"),
        ({"prompt": "a mug", "output_format": "jpeg"}, "output_format"),
        ({"width": 64}, "prompt"),
        ({"prompt": "a mug", "seed": -1}, "seed"),
        ({"prompt": "a topless MANNEQUIN, hermès"}, "topless"),
        ({"prompt": "a mug", "zimage": {"version": 2}}, "version"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(tmp_path: Path, asked: dict[str, object], why: str) -> None:
    words = PromptLibrary.load(ROOT / "prompts").files.blocklist
    limits = {"max_side_px": 512, "max_prompt_chars": 100, "words": words}
    with served(GatedEngine(), tmp_path, **limits) as here, here.client() as client:
        for path in ("/v1/generate", "/api/v1/generate"):
            refused = client.post(path, json={"width": 64, "height": 64} | asked)
            assert refused.status_code == 422, refused.text
            said = detail(refused)
            assert why.lower() in said["sentence"].lower()
            assert not said["retryable"]
        assert here.engine.calls == []
        assert here.services.book.unfinished() == []


MEANS_SOMETHING_ELSE = (
    {"response_format": "url"},
    {"n": 11},
    {"size": "1024"},
    {"size": "64x"},
    {"num_inference_steps": 50},
    {"guidance_scale": 1.0},
    {"output_format": "webp"},
)


@pytest.mark.parametrize("asked", MEANS_SOMETHING_ELSE)
def test_an_openai_request_that_means_something_else_is_refused(tmp_path: Path, asked: dict[str, object]) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        refused = client.post("/v1/images/generations", json={"prompt": "a mug", "size": "64x64"} | asked)
        assert refused.status_code == 422
        (field,) = asked
        words = {"num_inference_steps": "8 steps", "guidance_scale": "guidance 0"}
        assert words.get(field, field) in detail(refused)["sentence"]
        assert here.engine.calls == []


def test_a_photo_that_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    text = generate_body(request_for("stage")).model_dump()
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 60_000, 60_000) + bytes(5)
    with served(create_engine("studio"), tmp_path) as here, here.client() as client:
        for content, why in ((png, "60000"), (b"no picture", "not a PNG"), (png[:20], "not a PNG")):
            text["zimage"]["reference"] = base64.b64encode(content).decode()
            refused = client.post("/v1/generate", json=text)
            assert refused.status_code == 422
            assert why in detail(refused)["sentence"]
        text["zimage"]["reference"] = "***"
        assert "base64" in detail(client.post("/v1/generate", json=text))["sentence"]


def test_what_the_engine_does_not_do_is_told_by_those_who_could(tmp_path: Path) -> None:
    with served(create_engine("studio"), tmp_path) as here, here.client() as client:
        refused = client.post("/v1/generate", json=body())
        assert refused.status_code == 422
        assert "diffusers" in detail(refused)["sentence"]
