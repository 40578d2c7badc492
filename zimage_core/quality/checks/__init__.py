"""The checks: one question about an image per file, asked in the order of this table.

A check is a function `(Evidence, Rubric) -> findings`. It reads, never writes; the rubric decides whether it is asked,
what its value is worth and what it can veto. A new check is a file here, a line in CHECKS and a rule in rubric.yaml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zimage_core.domain import Finding
from zimage_core.quality.checks import (
    background_purity,
    banding,
    blank,
    blockiness,
    brand_colours,
    colour_cast,
    expected_text,
    exposure,
    fidelity,
    framing,
    grain,
    legibility,
    noise,
    resolution,
    seams,
    separation,
    shadow_direction,
    sharpness,
    text_over_product,
    text_pixels,
    text_truth,
    unexpected_text,
    watermark,
)
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.rubric import Rubric

__all__ = ["CHECKS", "Check"]

Measure = Callable[[Evidence, Rubric], tuple[Finding, ...]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check by name. After a veto of a `decisive` check nothing else is asked: there is no picture to ask about."""

    name: str
    measure: Measure
    decisive: bool = False


CHECKS: tuple[Check, ...] = (
    Check(resolution.NAME, resolution.measure, decisive=True),
    Check(resolution.ASPECT, resolution.measure_aspect, decisive=True),
    Check(blank.NAME, blank.measure, decisive=True),
    Check(noise.NAME, noise.measure, decisive=True),
    Check(text_pixels.NAME, text_pixels.measure),
    Check(text_truth.NAME, text_truth.measure),
    Check(expected_text.NAME, expected_text.measure),
    Check(legibility.CONTRAST, legibility.measure_contrast),
    Check(legibility.HEIGHT, legibility.measure_height),
    Check(text_over_product.NAME, text_over_product.measure),
    Check(sharpness.NAME, sharpness.measure),
    Check(exposure.CLIPPED, exposure.measure_clipped),
    Check(exposure.DARK, exposure.measure_dark),
    Check(exposure.SHIFT, exposure.measure_shift),
    Check(colour_cast.NAME, colour_cast.measure),
    Check(grain.NAME, grain.measure),
    Check(banding.NAME, banding.measure),
    Check(blockiness.NAME, blockiness.measure),
    Check(fidelity.STRUCTURE, fidelity.measure_structure),
    Check(fidelity.COLOUR, fidelity.measure_colour),
    Check(framing.CROPPING, framing.measure_cropping),
    Check(framing.FILL, framing.measure_fill),
    Check(framing.CENTRING, framing.measure_centring),
    Check(separation.NAME, separation.measure),
    Check(background_purity.NAME, background_purity.measure),
    Check(seams.NAME, seams.measure),
    Check(shadow_direction.NAME, shadow_direction.measure),
    Check(brand_colours.NAME, brand_colours.measure),
    Check(unexpected_text.NAME, unexpected_text.measure),
    Check(watermark.NAME, watermark.measure),
)
"""Every check, the decisive ones first and the dearest last."""
