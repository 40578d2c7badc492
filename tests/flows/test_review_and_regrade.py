"""Doubtful pictures wait for a person; a person's word publishes them; another rubric judges without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from workshop import SOFT_CUSHION, Workshop

from flows.produce import produce
from flows.publish import publish
from flows.regrade import regrade
from tasks.order import ProductionOrder
from tasks.review import record_decisions
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core.errors import ConfigurationError

RUBRIC = Path(__file__).resolve().parents[2] / "zimage_core" / "quality" / "rubric.yaml"


@pytest.fixture
def order(workshop: Workshop) -> ProductionOrder:
    workshop.write(SOFT_CUSHION)
    return ProductionOrder(
        catalogue=str(workshop.catalogue), promotion="618", scenes=("packshot",), channels=("amazon_main",)
    )


def milder(folder: Path) -> Path:
    """Return a rubric that takes for an A what the shipped one takes for a B."""
    rubric = yaml.safe_load(RUBRIC.read_text("utf-8"))
    rubric |= {"a_from": 0.72, "cap_below": 0.3}
    path = folder / "mild.yaml"
    path.write_text(yaml.safe_dump(rubric, allow_unicode=True), "utf-8")
    return path


def decisions(folder: Path, *lines: str) -> Path:
    path = folder / "decisions.csv"
    path.write_text("attempt_id,decision,who,why\n" + "\n".join(lines) + "\n", "utf-8")
    return path


def attempt_of(order: ProductionOrder, run_id: str) -> str:
    ((_, standing),) = rooms(order).ledger.standings(run_id)
    assert standing.attempt is not None
    return standing.attempt.attempt_id


@pytest.fixture
def doubtful(order: ProductionOrder) -> str:
    """A run whose one picture waits for a person."""
    return produce(order)


def test_a_doubtful_picture_is_not_released(workshop: Workshop, order: ProductionOrder, doubtful: str):
    assert tally_of(order, doubtful).doubtful == 1
    assert not (workshop.cdn / "current").exists()


def test_an_approved_picture_is_released_by_the_next_publish(workshop: Workshop, order: ProductionOrder, doubtful: str):
    said = decisions(workshop.folder, f"{attempt_of(order, doubtful)},approve,mei,fine")
    assert record_decisions(said, None, None, None).kinds == {"approve": 1}
    release = publish(order, doubtful)
    assert release is not None
    assert release.rendition_count == 1


def test_a_picture_asked_for_anew_is_made_by_the_next_run_and_only_that_one(
    workshop: Workshop, order: ProductionOrder, doubtful: str
):
    said = decisions(workshop.folder, f"{attempt_of(order, doubtful)},regenerate,mei,more air")
    record_decisions(said, None, None, None)
    before = len(workshop.calls())
    produce(order)
    assert [line.split()[-1] for line in workshop.calls()[before:]] == ["3"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0123456789abcdef,approve,mei,", "no attempt"),
        ("{attempt},maybe,mei,", "is no decision"),
        ("{attempt},approve,,", "who decided"),
        ("{attempt},approve,mei,twice", "decide the same picture"),
    ],
)
def test_a_wrong_line_of_decisions_is_named_and_nothing_is_recorded(
    workshop: Workshop, order: ProductionOrder, doubtful: str, line: str, complaint: str
):
    attempt = attempt_of(order, doubtful)
    path = decisions(workshop.folder, f"{attempt},approve,mei,", line.format(attempt=attempt))
    with pytest.raises(ConfigurationError, match=complaint):
        record_decisions(path, None, None, None)
    assert rooms(order).ledger.decisions([attempt]) == {}


def test_regrade_says_what_another_rubric_would_change_without_an_engine(
    workshop: Workshop, order: ProductionOrder, doubtful: str
):
    calls = workshop.calls()
    lines = regrade(order, doubtful, milder(workshop.folder))
    assert lines[0].startswith("CUSH-1 · packshot: B → A")
    assert lines[-1] == "1 images judged by mild.yaml: 1 would change their letter."
    assert workshop.calls() == calls
    assert tally_of(order, doubtful).doubtful == 1
