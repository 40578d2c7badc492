"""The rules of the house that no linter knows: small files and functions, room cards, one word for one thing."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("zimage_core", "tasks", "flows")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
CARD = ("What it is:", "May import:", "May touch:", "Never:")
HOMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "lib", "tools"}


def tracked(pattern: str) -> list[Path]:
    """Files git knows and new ones it does not ignore, so that a rule holds before the first commit too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [ROOT / line for line in listed if (ROOT / line).is_file()]


PYTHON_FILES = tracked("*.py")
OUR_FILES = [path for path in PYTHON_FILES if path.relative_to(ROOT).parts[0] in PACKAGES]


def test_there_is_something_to_judge():
    assert len(OUR_FILES) > 30


def test_no_file_is_longer_than_one_can_hold_in_mind():
    long = {
        str(p.relative_to(ROOT)): n for p in PYTHON_FILES if (n := len(p.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert not long


def test_no_function_is_longer_than_a_screen():
    long = {}
    for path in OUR_FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_every_room_of_the_core_shows_its_card():
    rooms = [p for p in (ROOT / "zimage_core").iterdir() if (p / "__init__.py").is_file()]
    rooms = [p / "__init__.py" for p in rooms] + [
        ROOT / "zimage_core" / f"{name}.py" for name in ("clock", "settings", "standing")
    ]
    rooms += [ROOT / name / "__init__.py" for name in PACKAGES]
    bare = {}
    for room in rooms:
        card = ast.get_docstring(ast.parse(room.read_text())) or ""
        missing = [line for line in CARD if line not in card]
        if missing:
            bare[str(room.relative_to(ROOT))] = missing
    assert not bare


def test_no_module_is_named_for_nothing_in_particular():
    assert not [p for p in PYTHON_FILES if p.stem in HOMELESS]


def test_every_public_function_of_the_core_says_what_it_does():
    mute = []
    for path in OUR_FILES:
        for node in ast.parse(path.read_text()).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                mute.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert not mute


def test_nothing_is_left_for_later_and_nothing_is_skipped():
    left = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|pytest\.skip|mark\.skip|mark\.xfail")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PYTHON_FILES
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if left.search(line)
    ]
    assert not found


def test_only_settings_reads_the_environment():
    readers = [
        str(path.relative_to(ROOT))
        for path in OUR_FILES
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text()) and path.name != "settings.py"
    ]
    assert not readers


def test_tests_hold_no_init_files_that_would_shadow_ours():
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("banned", [r"\bworkflow_utils\b", r"\bsource image\b", r"\bbackend\b"])
def test_one_word_has_one_meaning(banned: str):
    """Words the design's list forbids because another word of ours means the same."""
    found = [str(p.relative_to(ROOT)) for p in OUR_FILES if re.search(banned, p.read_text(), re.IGNORECASE)]
    assert not found


def test_the_repository_names_no_machine_and_no_registry():
    """Paths and hosts of whoever built it do not belong in a product."""
    leak = re.compile(
        "|".join(("/" + "work/", "/" + "root/", "pypi" + r"\.org", "deb" + r"\.debian\.org", "registry" + r"\.npmjs"))
    )
    found = []
    for path in tracked("*"):
        if path.suffix in {".jpg", ".png", ".ttf"}:
            continue
        if leak.search(path.read_text("utf-8", errors="replace")):
            found.append(str(path.relative_to(ROOT)))
    assert not found
