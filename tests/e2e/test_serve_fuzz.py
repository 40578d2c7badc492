"""The engine server under fire: schemathesis sends what its OpenAPI allows and what it does not, over a real socket.

Every answer must be one that the schema describes, in the form it describes, and none may be a server error. One check
is left out: that whatever the schema allows is accepted. What the engine makes, which words are blocked and whether a
photo can be read is not in a schema, and is refused with 422.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served_engine import GatedEngine, served

KEY = "a-key-for-the-fuzz-0123456789"
EXAMPLES_PER_OPERATION = 40
TIMEOUT_S = 400
NOT_IN_A_SCHEMA = "positive_data_acceptance"


@pytest.mark.slow
def test_no_request_makes_the_server_fail_or_answer_what_it_does_not_describe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = {"api_keys": [KEY], "max_side_px": 1024, "queue_limit": 10_000}
    with served(GatedEngine(max_side_px=1024), tmp_path / "serve", **rules) as here:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{here.url}/openapi.json",
            "--header", f"Authorization: Bearer {KEY}", "--max-examples", str(EXAMPLES_PER_OPERATION),
            "--checks", "all", "--exclude-checks", NOT_IN_A_SCHEMA, "--seed", "1", "--continue-on-failure",
            "--generation-database", "none",
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        described = httpx.get(f"{here.url}/openapi.json").json()
        operations = sum(len(methods) for methods in described["paths"].values())
        assert f"Tested: {operations}" in said, said
        assert here.engine.calls, "nothing was drawn: the fuzz did not get past the door"
        with here.client(**{"X-API-Key": KEY}) as client:
            assert client.get("/ready").status_code == 200
            assert 'status="500"' not in client.get("/metrics").text
    assert "Traceback" not in caplog.text
