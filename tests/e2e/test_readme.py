"""Every command of the README is run, in its order, on the example catalogue; and the demo shows what it promises."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from zimage_core.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
MAKE = [line for line in COMMANDS if line.startswith("make ")]
ZIMAGE = [line for line in COMMANDS if line.startswith("zimage ")]


def test_the_readme_holds_no_other_commands():
    assert len(MAKE) + len(ZIMAGE) == len(COMMANDS)
    assert MAKE == ["make demo", "make test"]
    assert len(ZIMAGE) >= 10


def test_make_test_runs_every_test():
    plan = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pytest" in plan


def test_the_first_screen_says_what_it_is_and_how_to_start():
    first_screen = "\n".join(README.splitlines()[:16])
    assert "make demo" in first_screen
    assert "](docs/images/" in first_screen
    assert (ROOT / re.search(r"\]\((docs/images/[^)]+)\)", README)[1]).is_file()


def test_every_file_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_demo_and_then_every_other_command_work_one_after_another(tmp_path: Path, prefect_server: str):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
    environment |= {
        "ZIMAGE_WORK_DIR": str(tmp_path / "work"),
        "ZIMAGE_OUT_DIR": str(tmp_path / "out"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": prefect_server,
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    said = run("make", "demo")
    run_id = re.search(r"^Run (\S+):", said, re.MULTILINE)[1]
    shown_as_promised(tmp_path, run_id)
    for command in ZIMAGE:
        if command == "zimage publish":
            approve_the_doubtful(tmp_path, run_id)
            run(sys.executable, "-m", "flows", "decide", str(tmp_path / "decisions.csv"))
        run(sys.executable, "-m", "flows", *shlex.split(command)[1:])


def shown_as_promised(folder: Path, run_id: str) -> None:
    """The demo shows an A, a B and a C that was made again, three scenes or more a product, and rows refused."""
    with Ledger.open(f"sqlite:///{folder / 'work' / 'ledger.sqlite'}") as ledger:
        outcomes = list(ledger.outcomes(run_id))
        letters = Counter(grade.letter for outcome in outcomes for grade in outcome.grades)
        assert set(letters) == {"A", "B", "C"}
        assert any(len(outcome.attempts) > 1 for outcome in outcomes)
        assert any(outcome.state == "given_up" and len(outcome.attempts) > 1 for outcome in outcomes)
        scenes = Counter(sku for sku, _ in {(o.promise.product.sku, o.promise.shot.scene.name) for o in outcomes})
        assert min(scenes.values()) >= 3
        assert len(ledger.refusals(run_id)) >= 6
    assert (folder / "out" / "cdn" / "current" / "618.json").is_file()


def approve_the_doubtful(folder: Path, run_id: str) -> None:
    with Ledger.open(f"sqlite:///{folder / 'work' / 'ledger.sqlite'}") as ledger:
        doubtful = [o.chosen.attempt_id for o in ledger.outcomes(run_id) if o.state == "doubtful" and o.chosen]
    lines = [f"{attempt_id},approve,mei,looks right" for attempt_id in doubtful]
    (folder / "decisions.csv").write_text("attempt_id,decision,who,why\n" + "\n".join(lines) + "\n", "utf-8")
