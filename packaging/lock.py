"""Write constraints.txt: the exact version of every package that any extra of this project may install.

Run by `make lock` after pyproject.toml changed. pip resolves; this only writes down what it chose, without hosts or
hashes, so that the file works with any index. torch is held at one release whose CPU build every index serves.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

HELD = ["torch==2.13.0"]
HEADER = "# Written by `make lock`: every version that was tested together. Do not edit by hand.\n"


def resolve(requirements: list[str]) -> list[str]:
    """Return name==version lines that pip would install for these requirements on this machine."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    answer = subprocess.run([*command, *requirements], check=True, capture_output=True, text=True).stdout
    found = json.loads(answer)["install"]
    # a local part such as +cpu names one index's build; the public version is what every index has
    return sorted({f"{p['metadata']['name'].lower()}=={p['metadata']['version'].split('+')[0]}" for p in found})


def main() -> None:
    """Resolve the default install and all extras together and write them beside pyproject.toml."""
    root = Path(__file__).resolve().parent.parent
    pyproject = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    project = pyproject["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = resolve([*project["dependencies"], *extras, *HELD, *pyproject["build-system"]["requires"], "editables"])
    (root / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", "utf-8")


main()
