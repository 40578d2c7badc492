"""docs/policy.md shows the table as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

from zimage_core.quality.cures import CURES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text("utf-8")


def test_the_page_shows_every_line_of_the_table_and_no_other() -> None:
    table = PAGE.split("| failing check |")[1].split("\n\n")[0]
    shown = {
        check: tuple(() if cures == "nothing" else cures.split(", then "))
        for checks, cures in re.findall(r"^\| (`.+?) \| (.+?) \|$", table, re.MULTILINE)
        for check in re.findall(r"`(\w+)`", checks)
    }
    assert shown == dict(CURES)
