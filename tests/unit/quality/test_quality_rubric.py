from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.errors import ConfigurationError
from zimage_core.quality import rubric as rubric_module
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.rubric import Checks, Logistic, Ramp, When, load_rubric

SHIPPED = Path(rubric_module.__file__).with_name("rubric.yaml")


def changed(tmp_path: Path, edit) -> Path:
    raw = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    edit(raw)
    path = tmp_path / "rubric.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    return path


def curve(written: dict):
    return lambda raw: raw["checks"]["blank"].update(curve=written)


def test_every_check_has_a_rule_and_every_rule_a_check() -> None:
    assert [check.name for check in CHECKS] != []
    assert {check.name for check in CHECKS} == set(Checks.model_fields)


def test_every_threshold_names_its_source_and_date() -> None:
    rubric = load_rubric()
    for check in CHECKS:
        rule = rubric.rule(check.name)
        assert len(rule.source) > 10
        assert rule.verified_on.year >= 2026


def test_a_limit_is_where_the_curve_meets_the_cap() -> None:
    rubric = load_rubric()
    for check in CHECKS:
        rule = rubric.rule(check.name)
        assert rule.curve.score(rubric.limit(check.name)) == pytest.approx(rubric.cap_below, abs=1e-9)


def test_the_hash_follows_the_meaning_and_not_the_comments(tmp_path) -> None:
    shipped = load_rubric()
    dated = load_rubric(changed(tmp_path, lambda raw: raw["checks"]["blank"].update(source="another sentence")))
    stricter = load_rubric(changed(tmp_path, lambda raw: raw["checks"]["blank"].update(weight=1.25)))
    newer = load_rubric(changed(tmp_path, lambda raw: raw.update(version=raw["version"] + 1)))
    assert dated.hash == shipped.hash
    assert len({shipped.hash, stricter.hash, newer.hash}) == 3


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (lambda raw: raw["checks"].pop("sharpness"), "checks.sharpness"),
        (lambda raw: raw["checks"].update(vibes={}), "checks.vibes"),
        (lambda raw: raw["checks"]["blank"].pop("source"), "checks.blank.source"),
        (lambda raw: raw["checks"]["blank"].update(weight=-1), "checks.blank.weight"),
        (lambda raw: raw["checks"]["fill"].update(when={"scenes": ["beach"]}), "checks.fill.when"),
        (lambda raw: raw["checks"]["blank"].update(curve={"kind": "ramp", "points": [[1, 0], [0, 1]]}), "checks.blank"),
        (
            lambda raw: raw["checks"]["blank"].update(curve={"kind": "ramp", "points": [[0, 0.2], [1, 0.9], [2, 0.4]]}),
            "checks",
        ),
        (
            lambda raw: raw["checks"]["blank"].update(curve={"kind": "logistic", "middle": 1, "width": 0}),
            "checks.blank",
        ),
        (lambda raw: raw["checks"]["blank"].update(curve={"kind": "spline"}), "checks.blank.curve"),
        (lambda raw: raw.update(b_from=0.95), "b_from must be below a_from"),
    ],
)
def test_a_wrong_rubric_is_refused_with_the_place(tmp_path, edit, where) -> None:
    with pytest.raises(ConfigurationError, match=where):
        load_rubric(changed(tmp_path, edit))


def test_a_missing_or_broken_file_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load_rubric(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("checks: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_rubric(broken)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_curves_are_monotone(one, two) -> None:
    low, high = sorted((one, two))
    up, down = ((-1.0, 0.0), (0.0, 0.7), (2.0, 1.0)), ((-1.0, 1.0), (0.0, 0.7), (2.0, 0.0))
    rising = (Logistic(kind="logistic", middle=0.2, width=0.5), Ramp(kind="ramp", points=up))
    falling = (Logistic(kind="logistic", middle=0.2, width=-0.5), Ramp(kind="ramp", points=down))
    assert all(shape.score(low) <= shape.score(high) for shape in rising)
    assert all(shape.score(low) >= shape.score(high) for shape in falling)


@given(st.floats(-1e6, 1e6), st.floats(0.001, 10))
def test_a_logistic_stays_within_0_and_1_however_far_the_value(value, width) -> None:
    assert 0.0 <= Logistic(kind="logistic", middle=0.0, width=width).score(value) <= 1.0


def test_when_reads_modes_and_scenes() -> None:
    when = When(modes=("stage",), not_scenes=("detail",))
    assert when.holds("studio", "stage")
    assert not when.holds("detail", "stage")
    assert not when.holds("studio", "packshot")
    assert When(scenes=("packshot",)).holds("packshot", "text")


def test_rubric_and_policy_load_without_opencv_or_onnxruntime() -> None:
    code = (
        "import sys; import zimage_core.quality.policy, zimage_core.quality.rubric;"
        "print([m for m in ('cv2', 'onnxruntime', 'rapidocr', 'pytesseract') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- deviations: other rules for some pictures

LENIENT = {
    "check": "blank",
    "categories": ["food"],
    "scenes": ["detail"],
    "curve": {"kind": "ramp", "points": [[1.0, 0.0], [2.0, 1.0]]},
    "source": "a test of what deviates",
    "verified_on": "2026-11-21",
}


def deviating(tmp_path: Path, *deviations: dict):
    return load_rubric(changed(tmp_path, lambda raw: raw.update(deviations=list(deviations))))


def test_a_deviation_holds_where_it_says_and_nowhere_else(tmp_path) -> None:
    rubric = deviating(tmp_path, LENIENT)
    own = rubric.rule("blank")
    assert rubric.judging("food", "detail", "stage").rule("blank").curve.score(2.0) == 1.0
    assert rubric.judging("food", "detail", "stage").rule("blank").weight == own.weight
    assert rubric.judging("food", "studio", "stage").rule("blank") == own
    assert rubric.judging("home", "detail", "stage").rule("blank") == own
    assert rubric.judging("food", "detail", "stage").rule("noise") == rubric.rule("noise")


def test_of_several_deviations_the_last_one_counts_and_a_check_may_be_dropped(tmp_path) -> None:
    heavier = {
        "check": "blank",
        "modes": ["text"],
        "weight": 5.0,
        "source": "a test of weight",
        "verified_on": "2026-11-21",
    }
    dropped = {"check": "noise", "scenes": ["detail"], "asked": False} | {
        k: LENIENT[k] for k in ("source", "verified_on")
    }
    rubric = deviating(tmp_path, LENIENT, heavier, LENIENT | {"weight": 7.0, "curve": None}, dropped)
    rule = rubric.judging("food", "detail", "text").rule("blank")
    assert (rule.weight, rule.curve.score(2.0)) == (7.0, 1.0)
    assert rubric.judging("home", "studio", "text").rule("blank").weight == 5.0
    assert not rubric.judging("food", "detail", "stage").rule("noise").when.holds("detail", "stage")
    assert rubric.judging("food", "studio", "stage").rule("noise").when.holds("studio", "stage")


def test_deviations_are_part_of_the_hash(tmp_path) -> None:
    lenient, sourced = deviating(tmp_path, LENIENT), deviating(tmp_path, LENIENT | {"source": "another sentence"})
    assert lenient.hash != deviating(tmp_path).hash
    assert lenient.hash == sourced.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"check": "vibes"}, "there is no check 'vibes'; known: "),
        ({"curve": None}, "a deviation changes curve, weight or veto_below"),
        ({"categories": None, "scenes": None}, "names categories, scenes or modes"),
        ({"categories": ["cars"]}, "deviations.0.categories"),
        ({"source": ""}, "deviations.0.source"),
    ],
)
def test_a_wrong_deviation_is_refused(tmp_path, change: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        deviating(tmp_path, LENIENT | change)


def test_shipped_deviations_name_their_sources() -> None:
    rubric = load_rubric()
    assert rubric.deviations
    assert all(len(one.source) > 10 and one.verified_on.year >= 2026 for one in rubric.deviations)
    assert rubric.judging("fashion", "studio", "stage").limit("exposure_clipped") > rubric.limit("exposure_clipped")
