"""Monotone curves from a measured value to a score 0..1: what a threshold becomes when a boundary is not a cliff."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """What every part of the rubric is: frozen, closed to unknown fields, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Logistic(Strict):
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
        """Return the score 0..1 of a value; infinities have the scores of the ends, not a number has 0."""
        if math.isnan(value):
            return 0.0
        exponent = -(value - self.middle) / self.width
        return 0.0 if exponent > 700 else 1.0 / (1.0 + math.exp(exponent))

    def value_at(self, score: float) -> float:
        """Return the value that has this score (0 < score < 1)."""
        return self.middle + self.width * math.log(score / (1.0 - score))


class Ramp(Strict):
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
        """Return the score 0..1 of a value; infinities have the scores of the ends, not a number has 0."""
        if math.isnan(value):
            return 0.0
        if value <= self.points[0][0]:
            return self.points[0][1]
        for (left, low), (right, high) in itertools.pairwise(self.points):
            if value < right:
                share = (value / 2 - left / 2) / (right / 2 - left / 2)  # halves: the whole may overflow
                between = low + (high - low) * share
                return min(max(between, min(low, high)), max(low, high))
        return self.points[-1][1]

    def value_at(self, score: float) -> float:
        """Return the value that has this score, the end nearest to it when none has."""
        for (left, low), (right, high) in itertools.pairwise(self.points):
            if low != high and min(low, high) <= score <= max(low, high):
                return left + (right - left) * (score - low) / (high - low)
        ends = (self.points[0], self.points[-1])
        return min(ends, key=lambda point: abs(point[1] - score))[0]


Curve = Annotated[Logistic | Ramp, Field(discriminator="kind")]
