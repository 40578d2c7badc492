"""Who comes in, how often, with how much; and what the server never says."""

from __future__ import annotations

import base64
import logging
import secrets
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from served_engine import ROOT, GatedEngine, Served, body, detail, served, wait_until
from zimage_requests import request_for

from zimage_core import clock
from zimage_core.engines.exchange import generate_body
from zimage_core.engines.registry import create_engine
from zimage_core.errors import ConfigurationError, EngineUnavailable
from zimage_core.prompting import PromptLibrary
from zimage_core.serving.gpus import Gpus
from zimage_core.serving.intake import Sampling
from zimage_core.serving.run import EngineServer
from zimage_core.serving.sampling import sampling_of
from zimage_core.serving.signatures import signed_headers
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


# ---------------------------------------------------------------- what it says of itself


def test_no_other_page_may_call_unless_it_is_allowed(tmp_path: Path) -> None:
    asks = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    with served(GatedEngine(), tmp_path / "closed", api_keys=[KEY]) as here, here.client() as client:
        assert "access-control-allow-origin" not in client.options("/v1/generate", headers=asks).headers
        plain = client.post("/v1/generate", content=b'{"prompt": "a mug"}', headers={"X-API-Key": KEY})
        assert plain.status_code == 422, "a body without a JSON content type is none: no form of another page gets in"
    allowed = {"api_keys": [KEY], "cors_origins": "https://shop.example.com"}
    with served(GatedEngine(), tmp_path / "open", **allowed) as here, here.client() as client:
        preflight = client.options("/v1/generate", headers=asks)
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example.com"
        refused = client.post("/v1/generate", json=body(), headers={"Origin": "https://shop.example.com"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://shop.example.com"
        other = client.options("/v1/generate", headers=asks | {"Origin": "https://elsewhere.example.com"})
        assert "access-control-allow-origin" not in other.headers


def test_every_answer_is_harmless_and_named(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        for path in ("/health", "/nowhere", "/v1/engine", "/metrics"):
            headers = client.get(path, headers={"X-Request-ID": "order-7"}).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Request-ID"] == "order-7"
            assert "server" not in headers
        made_up = client.get("/health", headers={"X-Request-ID": "bad id\t" + "x" * 99}).headers["X-Request-ID"]
        assert len(made_up) == 16
        assert client.put("/v1/engine").status_code == 405
        assert client.put("/v1/engine").headers["allow"] == "GET"


def test_no_secret_no_prompt_and_no_query_gets_into_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("zimage_core"), "propagate", True)
    with served(GatedEngine(), tmp_path, api_keys=[KEY]) as here, here.client() as client:
        client.post(f"/v1/generate?api_key={KEY}", json=body("a secret product"), headers={"X-API-Key": KEY})
        client.post("/v1/generate", json=body(), headers={"X-API-Key": OTHER, "X-Request-ID": "order-7"})
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("zimage_core"))
    assert "POST /v1/generate 200" in ours
    assert "POST /v1/generate 401" in ours
    assert "order-7" in ours
    for secret in (KEY, OTHER, "secret product"):
        assert secret not in ours


def test_a_fault_of_the_server_is_logged_with_its_stack_and_answered_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("zimage_core"), "propagate", True)
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        here.services.desk.file = None  # what nobody expects
        fault = client.post("/v1/generate", json=body(), headers={"X-Request-ID": "order-7"})
        assert fault.status_code == 500
        assert "order-7" in detail(fault)["sentence"]
        assert "NoneType" not in fault.text
        assert client.get("/health").status_code == 200
    assert "NoneType" in caplog.text


def test_it_is_ready_when_the_engine_is_loaded_and_alive_before(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, warm_up=True) as here, here.client() as client, ThreadPoolExecutor(1) as pool:
        engine.wait_inside()
        loading = client.get("/ready")
        assert loading.status_code == 503
        assert "loaded" in loading.json()["reason"]
        assert "Retry-After" in loading.headers
        assert client.get("/health").json() == {"status": "alive"}
        waits = pool.submit(client.post, "/v1/generate", json=body("what came before it was ready"))
        wait_until(lambda: here.services.desk.waiting == 1)
        engine.gate.set()
        assert waits.result().status_code == 200
        ready = client.get("/ready").json()
        assert (ready["ready"], ready["reason"], ready["waiting"]) == (True, "", 0)
        assert "zimage_serve_ready 1.0" in client.get("/metrics").text


def test_an_engine_that_hangs_makes_it_not_ready(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, stall_s=0.05) as here, here.client() as client, ThreadPoolExecutor(1) as pool:
        assert client.get("/ready").status_code == 200
        waits = pool.submit(client.post, "/v1/generate", json=body())
        engine.wait_inside()
        wait_until(lambda: client.get("/ready").status_code == 503)
        assert "hang" in client.get("/ready").json()["reason"]
        engine.gate.set()
        assert waits.result().status_code == 200
        wait_until(lambda: client.get("/ready").status_code == 200)


def test_an_engine_that_cannot_be_loaded_ends_the_server_with_its_own_words(tmp_path: Path) -> None:
    engine = GatedEngine()
    engine.fail_with = lambda request: EngineUnavailable("The weights are damaged.")
    server = EngineServer(
        engine, ServeSettings(_env_file=None), tmp_path, sampling=Sampling(), blocklist=None, host="127.0.0.1", port=0
    )
    with pytest.raises(EngineUnavailable, match="weights are damaged"):
        server.serve()
    assert engine.closed


def test_readings_of_a_gpu_are_absent_where_there_is_no_driver_and_given_where_there_is(tmp_path: Path) -> None:
    found = Gpus()
    try:
        expected = len(found.readings())
    finally:
        found.close()
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        gpus = client.get("/ready").json()["gpus"]
        assert len(gpus) == expected
        for gpu in gpus:
            assert 0 < gpu["memory_used_bytes"] < gpu["memory_total_bytes"]
        assert ("zimage_serve_gpu_memory_used_bytes{" in client.get("/metrics").text) == bool(expected)


def test_what_an_engine_samples_with_is_read_from_its_options() -> None:
    assert sampling_of("diffusers", {"model": "m"}) == Sampling(8, 0.0)
    assert sampling_of("diffusers", {"model": "m", "variant": "base"}) == Sampling(50, 4.0)
    assert sampling_of("comfyui", {"steps": "9"}) == Sampling(9, 0.0)
    assert sampling_of("studio", {}) == Sampling()
    with pytest.raises(ConfigurationError, match="numbers"):
        sampling_of("other", {"steps": "many"})


def test_the_command_refuses_what_cannot_be_served_with_a_sentence(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "flows", "serve", *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 2, ended
        assert "Traceback" not in ended.stderr
        return " ".join(ended.stderr.split())

    assert "ZIMAGE_SERVE_API_KEYS" in said("--host", "0.0.0.0")
    assert "no engine named 'nothing'" in said("--engine", "nothing")
    assert "takes no options" in said("--engine", "studio", "--device", "0")
