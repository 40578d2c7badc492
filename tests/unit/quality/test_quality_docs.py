"""docs/quality.md speaks of every check there is, and of none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from zimage_core.quality.checks import CHECKS
from zimage_core.quality.rubric import Deviation, ScorerRule

DOCS = (Path(__file__).resolve().parents[3] / "docs" / "quality.md").read_text("utf-8")


def test_the_table_names_every_check_and_no_other() -> None:
    table = DOCS.partition("## The checks")[2].partition("\n\nHow accurate")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == {check.name for check in CHECKS}


def test_the_examples_are_rules_that_load() -> None:
    deviations, scorers = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL))
    assert [Deviation.model_validate(one).check for one in deviations["deviations"]] == ["exposure_clipped"]
    assert [ScorerRule.model_validate(one).group for one in scorers["scorers"].values()] == ["opinion"]
