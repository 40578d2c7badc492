"""Scorers: optional opinions of learned models on local weights. Off unless the rubric names them.

What it is:       `registry` (which there are, made once per process), and one scorer per file: `clip` (do picture and
                  words agree), `aesthetic` (would people like it), `vlm` (yes or no to a question). A third party names
                  its own in its pyproject:

                      [project.entry-points."zimage.scorers"]
                      my_scorer = "my_package.scorer:create"     # create(options: Mapping[str, str]) -> Scorer

                  and the rubric then holds a rule with curve, weight and source under `scorers:`.
May import:       quality, imaging, domain, errors; torch and transformers, inside the scorer that needs them.
May touch:        weights in a local folder.
Never:            the network: a model that is not in the folder is refused, not downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zimage_core.imaging.pixels import Rgb


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a scorer thinks: a value with its unit, and the sentence an operator reads."""

    value: float
    unit: str
    sentence: str


class Scorer(Protocol):
    """A learned judge. The same pixels and words give the same opinion on the same machine."""

    def score(self, rgb: Rgb, words: str) -> Opinion | None:
        """Return the opinion of a picture, (H, W, 3) uint8, made from `words`; None where it has none to give."""
        ...
