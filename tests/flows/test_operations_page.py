"""docs/operations.md: the commands it gives exist, with the options it gives them, and its deployments are deployed."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from zimage_core.settings import PublishSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
COMMANDS = sorted(
    {
        re.sub(r"^([A-Z_]+=\S+ )+", "", line.partition(" #")[0].strip())
        for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
        for line in block.splitlines()
        if line.strip() and not line.startswith("export ")
    }
)


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) >= 12
    assert {command.split()[0] for command in COMMANDS} == {"zimage", "prefect"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_with_its_options(command: str) -> None:
    program, *words = command.split()
    options = [word for word in words if word.startswith("--")]
    names = []
    for word in words:
        if word.startswith("--") or "/" in word:
            break
        names.append(word)
    said = helped(program, tuple(names))
    for option in options:
        assert option in said, f"{command}: {option}"


@cache
def helped(program: str, names: tuple[str, ...]) -> str:
    module = {"zimage": "flows", "prefect": "prefect"}[program]
    done = subprocess.run(
        [sys.executable, "-m", module, *names, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_table_has_every_deployment_and_no_other() -> None:
    table = re.search(r"\| deployment \| pool \|.*?\n\n", PAGE, re.DOTALL)[0]
    told = {
        (name, pool)
        for names, pool in re.findall(r"^\| (`.*?) \| (cpu|gpu) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", names)
    }
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    assert told == {(one["name"], one["work_pool"]["name"]) for one in deployments}


def test_every_setting_it_names_exists() -> None:
    known = {f"ZIMAGE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"ZIMAGE_PUBLISH_{name.upper()}" for name in PublishSettings.model_fields}
    assert set(re.findall(r"ZIMAGE_[A-Z_]+", PAGE)) <= known


def test_every_page_it_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
