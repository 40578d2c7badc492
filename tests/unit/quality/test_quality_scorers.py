"""Optional scorers on local weights: real transformers classes on tiny folders, and third parties by entry point."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from tiny_judges import build_tiny_clip, build_tiny_vlm, write_head

from zimage_core.domain import Finding
from zimage_core.errors import ConfigurationError, QualityError
from zimage_core.quality.grade import grade
from zimage_core.quality.opinions import opinions, scorers_of
from zimage_core.quality.rubric import Ramp, Rubric, ScorerRule, load_rubric
from zimage_core.quality.scorers import Opinion, registry
from zimage_core.quality.scorers.registry import scorer_of

RNG = np.random.default_rng(8)
PICTURE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_vlm(tmp_path_factory.mktemp("vlm"))


def naming(name: str, *, veto_below: float | None = None, points=((0.0, 0.0), (1.0, 1.0)), **options: str) -> Rubric:
    rule = ScorerRule(
        group="opinion",
        weight=1.0,
        curve=Ramp(kind="ramp", points=points),
        veto_below=veto_below,
        source="a test of scorers",
        verified_on="2026-11-21",
        options=options,
    )
    return load_rubric().model_copy(update={"scorers": {name: rule}})


def test_clip_compares_picture_and_words_and_says_the_same_twice(clip: Path) -> None:
    scorer = scorer_of("clip", {"model": str(clip)})
    first = scorer.score(PICTURE, "a white mug")
    assert first == scorer.score(PICTURE, "a white mug")
    assert -1.0 <= first.value <= 1.0
    assert first.value != scorer.score(OTHER, "a white mug").value
    assert first.value != scorer.score(PICTURE, "a red shoe").value
    assert scorer.score(PICTURE, "  ") is None
    assert scorer.score(PICTURE, "word " * 500) is not None, "longer than the model's window"


def test_the_aesthetic_head_is_a_chain_of_linear_layers(clip: Path, tmp_path: Path) -> None:
    one = scorer_of("aesthetic", {"model": str(clip), "head": str(write_head(tmp_path / "one.safetensors", 1))})
    deep = scorer_of("aesthetic", {"model": str(clip), "head": str(write_head(tmp_path / "deep.safetensors", 4, 3, 1))})
    assert one.score(PICTURE, "") == one.score(PICTURE, "other words")
    assert one.score(PICTURE, "").value != one.score(OTHER, "").value
    assert one.score(PICTURE, "").value != deep.score(PICTURE, "").value


@pytest.mark.parametrize(("widths", "said"), [((4,), "ends in 4 values"), ((), "ends in 8 values")])
def test_a_head_that_does_not_rate_is_refused(clip: Path, tmp_path: Path, widths: tuple[int, ...], said: str) -> None:
    head = write_head(tmp_path / "head.safetensors", *widths)
    with pytest.raises(ConfigurationError, match=said):
        scorer_of("aesthetic", {"model": str(clip), "head": str(head)})


def test_a_vision_language_model_says_yes_by_a_probability(vlm: Path) -> None:
    scorer = scorer_of("vlm", {"model": str(vlm), "question": "Is this a {words}? Answer yes or no."})
    mug, shoe = scorer.score(PICTURE, "mug"), scorer.score(PICTURE, "shoe")
    assert 0.0 < mug.value < 1.0
    assert mug == scorer.score(PICTURE, "mug")
    assert mug.value != shoe.value
    assert "Is this a mug?" in mug.sentence


def test_a_model_that_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_vlm(tmp_path / "mute", template=None)
    with pytest.raises(ConfigurationError, match="no chat template"):
        scorer_of("vlm", {"model": str(folder)})


@pytest.mark.parametrize("name", sorted(registry.BUILTIN))
def test_weights_that_are_not_there_are_refused_and_never_downloaded(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Nothing is downloaded"):
        scorer_of(name, {"model": "openai/clip-vit-base-patch32"})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=f"scorer '{name}' cannot load"):
        scorer_of(name, {"model": str(tmp_path)})


def test_wrong_options_are_refused_by_name(clip: Path) -> None:
    with pytest.raises(ConfigurationError, match="remove colour"):
        scorer_of("clip", {"model": str(clip), "colour": "red"})
    with pytest.raises(ConfigurationError, match="cannot use device 'warp:9'"):
        scorer_of("clip", {"model": str(clip), "device": "warp:9"})
    with pytest.raises(ConfigurationError, match="known: aesthetic, clip, vlm"):
        scorer_of("taste", {})


class Fixed:
    """A scorer that always thinks the same."""

    def __init__(self, value: float | None = 0.5, error: Exception | None = None) -> None:
        self.value, self.error, self.asked = value, error, []

    def score(self, rgb: np.ndarray, words: str) -> Opinion | None:
        self.asked.append(words)
        if self.error is not None:
            raise self.error
        return None if self.value is None else Opinion(self.value, "points", f"It has {self.value} points.")


def test_an_opinion_is_graded_like_any_finding(studio) -> None:
    given = dataclasses.replace(studio.shoot(), words="a red lipstick")
    plain = grade(given, load_rubric())
    liked, disliked = Fixed(1.0), Fixed(0.1)
    assert grade(given, naming("taste"), scorers={"taste": liked}).letter == plain.letter
    assert liked.asked == ["a red lipstick"]
    judged = grade(given, naming("taste", veto_below=0.3), scorers={"taste": disliked})
    assert judged.letter == "C"
    assert judged.reasons[0] == "It has 0.1 points."
    assert judged.rubric_hash != plain.rubric_hash


@pytest.mark.parametrize(
    ("scorer", "state", "said"),
    [
        (Fixed(None), "not_applicable", "no opinion"),
        (Fixed(error=QualityError("The card is lost.")), "error", "could not judge: The card is lost."),
        (Fixed(error=ZeroDivisionError("by zero")), "error", "broke: ZeroDivisionError: by zero"),
        (Fixed(float("nan")), "error", "nan"),
    ],
)
def test_a_scorer_that_fails_caps_the_grade_and_says_so(studio, scorer: Fixed, state: str, said: str) -> None:
    judged = grade(studio.shoot(), naming("taste"), scorers={"taste": scorer})
    (finding,) = (one for one in judged.findings if one.check == "taste")
    assert (finding.state, said in finding.sentence) == (state, True)
    assert judged.letter == ("A" if state == "not_applicable" else "B")


def test_a_picture_that_is_none_is_not_shown_to_scorers(studio) -> None:
    scorer = Fixed(1.0)
    blank = studio.shoot(spoil=lambda rgb: np.zeros_like(rgb), texts=())
    assert grade(blank, naming("taste"), scorers={"taste": scorer}).letter == "C"
    assert scorer.asked == []


def test_a_third_party_registers_by_entry_point_and_two_of_one_name_are_refused(monkeypatch, studio) -> None:
    module = types.ModuleType("zimage_taste")
    module.create = lambda options: Fixed(float(options["value"]))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zimage_taste", module)
    points = [EntryPoint("taste", "zimage_taste:create", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if group == registry.GROUP])
    rubric = naming("taste", value="0.25")
    (finding,) = opinions(studio.shoot(), rubric, scorers_of(rubric))
    assert isinstance(finding, Finding)
    assert finding.value == 0.25
    points.append(EntryPoint("taste", "zimage_other:create", registry.GROUP))
    with pytest.raises(ConfigurationError, match="Two packages register a scorer named 'taste'"):
        scorers_of(naming("taste", value="0.5"))


def test_without_scorers_torch_is_never_loaded() -> None:
    code = (
        "import sys; import zimage_core.quality.grade; from zimage_core.quality.rubric import load_rubric;"
        "from zimage_core.quality.opinions import scorers_of; scorers_of(load_rubric());"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
