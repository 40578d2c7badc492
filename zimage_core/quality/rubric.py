"""The rubric: which checks are asked, how a measured value becomes a score, and how scores become a letter.

The numbers live in rubric.yaml, each with its source and date. A check's `limit` is not written there: it follows from
its curve as the value whose score equals `cap_below`, so a curve and a limit can never contradict each other.
"""

from __future__ import annotations

import itertools
import math
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zimage_core.domain import Mode, OverlayRole, SceneName, content_id
from zimage_core.errors import ConfigurationError

_SHIPPED = Path(__file__).with_name("rubric.yaml")
_NOT_MEANING = {"source", "verified_on"}

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Logistic(_Strict):
    """score = 1 / (1 + exp(-(value - middle) / width)); a negative width falls, for values where less is better."""

    kind: Literal["logistic"]
    middle: float
    width: float

    @model_validator(mode="after")
    def _has_width(self) -> Logistic:
        if self.width == 0:
            raise ValueError("a logistic curve of width 0 is a step; write a ramp")
        return self

    def score(self, value: float) -> float:
        """Return the score 0..1 of a value."""
        exponent = -(value - self.middle) / self.width
        return 0.0 if exponent > 700 else 1.0 / (1.0 + math.exp(exponent))

    def value_at(self, score: float) -> float:
        """Return the value that has this score (0 < score < 1)."""
        return self.middle + self.width * math.log(score / (1.0 - score))


class Ramp(_Strict):
    """Straight lines between [value, score] points, flat outside them; scores rise throughout or fall throughout."""

    kind: Literal["ramp"]
    points: tuple[tuple[float, Share], ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _is_monotone(self) -> Ramp:
        values = [value for value, _ in self.points]
        scores = [score for _, score in self.points]
        if any(b <= a for a, b in itertools.pairwise(values)):
            raise ValueError("the values of a ramp must rise from point to point")
        if scores not in (sorted(scores), sorted(scores, reverse=True)) or scores[0] == scores[-1]:
            raise ValueError("the scores of a ramp must rise throughout or fall throughout")
        return self

    def score(self, value: float) -> float:
        """Return the score 0..1 of a value."""
        if value <= self.points[0][0]:
            return self.points[0][1]
        for (left, low), (right, high) in itertools.pairwise(self.points):
            if value <= right:
                return low + (high - low) * (value - left) / (right - left)
        return self.points[-1][1]

    def value_at(self, score: float) -> float:
        """Return the value that has this score, the end nearest to it when none has."""
        for (left, low), (right, high) in itertools.pairwise(self.points):
            if low != high and min(low, high) <= score <= max(low, high):
                return left + (right - left) * (score - low) / (high - low)
        ends = (self.points[0], self.points[-1])
        return min(ends, key=lambda point: abs(point[1] - score))[0]


Curve = Annotated[Logistic | Ramp, Field(discriminator="kind")]


class When(_Strict):
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


class Rule(_Strict):
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


class Checks(_Strict):
    """One rule per check; the names are those of `quality.checks.CHECKS`."""

    resolution: Rule
    blank: Rule
    noise: Rule
    text_truth: TextRule
    legibility_contrast: Rule
    legibility_height: Rule
    text_over_product: Rule
    sharpness: SharpnessRule
    exposure_clipped: ClippingRule
    exposure_dark: Rule
    fidelity_structure: Rule
    fidelity_colour: Rule
    cropping: Rule
    fill: Rule
    separation: Rule
    background_purity: PurityRule
    brand_colours: BrandRule
    unexpected_text: Rule


class Rubric(_Strict):
    """Every threshold and weight of grading; `hash` names its meaning and is kept with each grade."""

    version: int
    a_from: Share
    b_from: Share
    cap_below: Share
    score_floor: Positive
    checks: Checks

    @model_validator(mode="after")
    def _letters_in_order(self) -> Rubric:
        if not self.b_from < self.a_from:
            raise ValueError("b_from must be below a_from")
        return self

    @cached_property
    def hash(self) -> str:
        """16 hex digits over all that decides a grade; sources and dates may be corrected without changing it."""
        return content_id("rubric", _meaning(self.model_dump(mode="json")))

    def rule(self, check: str) -> Rule:
        """Return the rule of a check by name."""
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
