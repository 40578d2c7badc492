"""What the engine server says of itself: headers, logs, readiness, readings, and why it does not start."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served_engine import ROOT, GatedEngine, body, detail, served, wait_until

from zimage_core.errors import ConfigurationError, EngineUnavailable
from zimage_core.serving.gpus import Gpus
from zimage_core.serving.intake import Sampling
from zimage_core.serving.run import EngineServer
from zimage_core.serving.sampling import sampling_of
from zimage_core.settings import ServeSettings

KEY, OTHER = "a-key-for-tests-0123456789", "another-key-for-tests-012"
SECRET = "a-signing-secret-for-tests"
JSON = {"Content-Type": "application/json"}


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
