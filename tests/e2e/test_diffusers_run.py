"""`zimage run --engine diffusers` on the example catalogue: a model that draws noise publishes nothing and is named."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zimage_core.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "examples" / "catalogue.csv"


@pytest.mark.slow
def test_a_model_of_random_weights_is_found_out_on_the_whole_catalogue_by_four_processes(
    tiny_checkpoint: Path, tmp_path: Path, prefect_server: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
    environment |= {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": prefect_server,
        "ZIMAGE_ENGINE_DEVICES": "cpu,cpu,cpu,cpu",
        "OMP_NUM_THREADS": "1",
    }
    command = ["run", str(CATALOGUE), "--promotion", "618", "--engine", "diffusers", "--model", str(tiny_checkpoint)]
    small = ["--engine-option", "megapixels=0.06", "--engine-option", f"cache={tmp_path / 'cache'}"]
    done = subprocess.run(
        [sys.executable, "-m", "flows", *command, *small],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert said.count("GB in") == 4, "the model is loaded once in each of four processes, and each says so"
    run_id = re.search(r"^Run (\S+): 0 accepted, 0 doubtful, (\d+) given up", done.stdout, re.MULTILINE)
    assert run_id is not None, done.stdout
    assert int(run_id[2]) > 30
    assert not list((tmp_path / "out").rglob("*.jpg")), "nothing is published"

    with (tmp_path / "out" / "reports" / run_id[1] / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["state"] for row in rows} == {"given_up"}
    graded = [row for row in rows if row["grade"]]
    assert {row["grade"] for row in graded} == {"C"}
    assert all("noise" in row["reason"] for row in graded)
    assert {row["mode"] for row in graded} == {"stage", "text"}, "with a photo and without"
    keys_of_what_was_drawn(tmp_path, run_id[1], len(graded))


def keys_of_what_was_drawn(folder: Path, run_id: str, graded: int) -> None:
    """Every shot was drawn anew with other words until its attempts were used, by one engine, each attempt once."""
    with Ledger.open(f"sqlite:///{folder / 'work' / 'ledger.sqlite'}") as ledger:
        shots = [promise.shot.shot_id for promise in ledger.iter_promises(run_id)]
        attempts = [attempt for tried in ledger.attempts(shots).values() for attempt in tried]
    drawn = [attempt for attempt in attempts if attempt.object_key is not None]
    assert len({attempt.attempt_id for attempt in drawn}) == len(drawn)
    assert len({attempt.engine_fingerprint for attempt in drawn}) == 1
    assert len(drawn) >= 2 * graded
    assert np.median([attempt.change.wording for attempt in drawn if attempt.number == 2]) >= 1
