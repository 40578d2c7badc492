"""The rubric: which checks are asked, how a measured value becomes a score, and how scores become a letter.

The numbers live in rubric.yaml, each with its source and date. A check's `limit` is not written there: it follows from
its curve as the value whose score equals `cap_below`, so a curve and a limit can never contradict each other.

What is right for one kind of product or scene can be wrong for another: a deviation changes a check's rule for some
categories, scenes or modes, with a source and date of its own. `Rubric.judging` gives the rules for one picture.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from zimage_core.domain import Category, Mode, OverlayRole, SceneName, content_id
from zimage_core.errors import ConfigurationError
from zimage_core.quality.curves import Curve, Logistic, Ramp, Share, Strict

__all__ = ["Checks", "Deviation", "Logistic", "Ramp", "Rubric", "Rule", "ScorerRule", "When", "load_rubric"]

_SHIPPED = Path(__file__).with_name("rubric.yaml")
_NOT_MEANING = {"source", "verified_on"}

Positive = Annotated[float, Field(gt=0.0)]


class When(Strict):
    """Which pictures a check is asked of; None = all of them."""

    modes: tuple[Mode, ...] | None = None
    scenes: tuple[SceneName, ...] | None = None
    not_scenes: tuple[SceneName, ...] = ()

    def holds(self, scene: SceneName, mode: Mode) -> bool:
        """Tell whether the check is asked of this scene made in this mode."""
        return (
            (self.modes is None or mode in self.modes)
            and (self.scenes is None or scene in self.scenes)
            and scene not in self.not_scenes
        )


class Rule(Strict):
    """How one check is judged. Checks of one group are one question asked in several ways: they share one weight."""

    group: str
    weight: Positive
    curve: Curve
    veto_below: Share | None = None
    when: When = When()
    source: str = Field(min_length=1)
    verified_on: date


class SharpnessRule(Rule):
    """`tiles`: how many edge-rich tiles of 128 px vote; `min_edges`: fewer edge pixels than this say nothing."""

    tiles: int = Field(gt=0)
    min_edges: int = Field(gt=0)


class ClippingRule(Rule):
    """`level`: a pixel with any channel at or above it has lost its highlight."""

    level: int = Field(gt=0, le=255)


class PurityRule(Rule):
    """`white_level`: background pixels count as white from here on; the strips along the border must be exactly 255."""

    white_level: int = Field(gt=0, le=255)
    strip_ratio: Share


class BrandRule(Rule):
    """`roles`: whose plates must be in the brand's colours."""

    roles: tuple[OverlayRole, ...]


class TextRule(Rule):
    """`veto_roles`: texts whose misreading is a veto; `sure_certainty`: from here on one look is enough."""

    veto_roles: tuple[OverlayRole, ...]
    sure_certainty: Share


class ExpectedTextRule(Rule):
    """`sure_certainty`: as for TextRule; glyphs below `least_likeness` are a person's to judge.

    Below `garbled_below` they are refused, provided the face fits: its typical glyph has at least `face_fits_from`.
    """

    sure_certainty: Share
    least_likeness: Share
    garbled_below: Share
    face_fits_from: Share


class Checks(Strict):
    """One rule per check; the names are those of `quality.checks.CHECKS`."""

    resolution: Rule
    aspect: Rule
    blank: Rule
    noise: Rule
    text_pixels: Rule
    text_truth: TextRule
    expected_text: ExpectedTextRule
    legibility_contrast: Rule
    legibility_height: Rule
    text_over_product: Rule
    sharpness: SharpnessRule
    exposure_clipped: ClippingRule
    exposure_dark: Rule
    exposure_shift: Rule
    colour_cast: Rule
    grain: Rule
    banding: Rule
    blockiness: Rule
    fidelity_structure: Rule
    fidelity_colour: Rule
    cropping: Rule
    fill: Rule
    centring: Rule
    seams: Rule
    shadow_direction: Rule
    separation: Rule
    background_purity: PurityRule
    brand_colours: BrandRule
    unexpected_text: Rule
    watermark: Rule


class ScorerRule(Rule):
    """How an optional scorer is judged (entry points `zimage.scorers`), and the options it is made with."""

    options: dict[str, str] = Field(default_factory=dict)


class Deviation(Strict):
    """Another rule for one check where all of `categories`, `scenes` and `modes` hold; None = any.

    What is None stays as it is; `asked: false` drops the check there. Of several that hold the last one counts.
    """

    check: str
    categories: tuple[Category, ...] | None = None
    scenes: tuple[SceneName, ...] | None = None
    modes: tuple[Mode, ...] | None = None
    asked: bool = True
    curve: Curve | None = None
    weight: Positive | None = None
    veto_below: Share | None = None
    source: str = Field(min_length=1)
    verified_on: date

    @model_validator(mode="after")
    def _says_something(self) -> Deviation:
        if self.asked and self.curve is None and self.weight is None and self.veto_below is None:
            raise ValueError("a deviation changes curve, weight or veto_below, or says `asked: false`")
        if self.categories is None and self.scenes is None and self.modes is None:
            raise ValueError("a deviation names categories, scenes or modes; what holds everywhere is the check's rule")
        return self

    def holds(self, category: Category, scene: SceneName, mode: Mode) -> bool:
        """Tell whether it is meant for a product of this category in this scene and mode."""
        return (
            (self.categories is None or category in self.categories)
            and (self.scenes is None or scene in self.scenes)
            and (self.modes is None or mode in self.modes)
        )

    def applied_to(self, rule: Rule) -> Rule:
        """Return the rule with what this deviation changes."""
        changes = {name: getattr(self, name) for name in ("curve", "weight", "veto_below")}
        changes = {name: value for name, value in changes.items() if value is not None}
        if not self.asked:
            changes["when"] = When(modes=())
        return rule.model_copy(update=changes)


class Rubric(Strict):
    """Every threshold and weight of grading; `hash` names its meaning and is kept with each grade."""

    version: int
    a_from: Share
    b_from: Share
    cap_below: Share
    score_floor: Positive
    checks: Checks
    deviations: tuple[Deviation, ...] = ()
    scorers: dict[str, ScorerRule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Rubric:
        if not self.b_from < self.a_from:
            raise ValueError("b_from must be below a_from")
        known = {*Checks.model_fields, *self.scorers}
        for deviation in self.deviations:
            if deviation.check not in known:
                raise ValueError(
                    f"deviations: there is no check '{deviation.check}'; known: {', '.join(sorted(known))}"
                )
        for name in self.scorers:
            if name in Checks.model_fields:
                raise ValueError(f"scorers: '{name}' is the name of a check")
        return self

    def judging(self, category: Category, scene: SceneName, mode: Mode) -> Rubric:
        """Return the rubric with the rules for one picture: those deviations applied that hold for it.

        Grades keep the hash of the whole rubric, not of what this returns.
        """
        key = (category, scene, mode)
        if key not in self._judging:
            self._judging[key] = self._with([one for one in self.deviations if one.holds(*key)])
        return self._judging[key]

    def _with(self, deviations: list[Deviation]) -> Rubric:
        rules: dict[str, Rule] = {}
        for one in deviations:
            rules[one.check] = one.applied_to(rules.get(one.check) or self.rule(one.check))
        scorers = {name: rules.get(name, rule) for name, rule in self.scorers.items()}
        checks = self.checks.model_copy(update={name: rule for name, rule in rules.items() if name not in scorers})
        return self.model_copy(update={"checks": checks, "scorers": scorers, "deviations": ()})

    @cached_property
    def _judging(self) -> dict[tuple[Category, SceneName, Mode], Rubric]:
        return {}

    @cached_property
    def hash(self) -> str:
        """16 hex digits over all that decides a grade; sources and dates may be corrected without changing it."""
        return content_id("rubric", _meaning(self.model_dump(mode="json")))

    def rule(self, check: str) -> Rule:
        """Return the rule of a check by name."""
        if check in self.scorers:
            return self.scorers[check]
        rule: Rule = getattr(self.checks, check)
        return rule

    def limit(self, check: str) -> float:
        """Return the value at which a check stops passing: where its curve meets `cap_below`."""
        return self.rule(check).curve.value_at(self.cap_below)


def _meaning(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _meaning(value) for key, value in node.items() if key not in _NOT_MEANING}
    if isinstance(node, list):
        return [_meaning(value) for value in node]
    return node


def load_rubric(path: Path | None = None) -> Rubric:
    """Return the rubric of a YAML file, the shipped one when no path is given.

    Raises ConfigurationError naming the file and the first wrong field.
    """
    source = path or _SHIPPED
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The rubric {source} cannot be read: {error}") from error
    try:
        return Rubric.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"The rubric {source} is wrong at {where}: {first['msg']}.") from error
