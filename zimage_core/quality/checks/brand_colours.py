"""Are badge and price in the brand's colours? The product is not counted: it may have any colour it likes."""

from __future__ import annotations

import numpy as np

from zimage_core.domain import Finding, PlacedText
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.colour import Lab, delta_e, lab_of, lab_of_hex
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "brand_colours"
_BIN_BITS = 4
_EVERY = 2  # of the pixels each way: thousands are left
_REACH_RATIO = 0.25  # of the text's height: still on the card, whose padding is wider; the plate holds its shadow too


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return CIEDE2000 from the main colour of the worst plate to the nearest colour of the palette."""
    rule, given = rubric.checks.brand_colours, evidence.given
    texts = [text for text in given.placed_texts if text.role in rule.roles]
    if not texts or not given.palette:
        return (not_applicable(NAME, "No badge or price was drawn, or the brand has no palette."),)
    palette = np.stack([lab_of_hex(colour) for colour in given.palette])
    distances = [_distance(given.finished_rgb, text, palette) for text in texts]
    value = max(distances)
    text = texts[distances.index(value)]
    role = text.role.replace("_", " ")
    passes = value <= rubric.limit(NAME)
    sentence = (
        "Badge and price are in the brand's colours."
        if passes
        else f"The plate of the {role} is not in the brand's colours (off by {value:.0f}, CIEDE2000)."
    )
    return (measured(rubric, NAME, value, "dE2000", sentence, box=None if passes else text.plate),)


def _distance(finished: Rgb, text: PlacedText, palette: Lab) -> float:
    """Return the distance of the card's main colour (the fullest of 4096 bins, averaged) to the palette."""
    reach_px = round(_REACH_RATIO * text.box.height_px)
    rows, columns = window(text.box, finished.shape[1], finished.shape[0], grow_px=reach_px)
    plate = finished[rows, columns][::_EVERY, ::_EVERY].reshape(-1, 3)
    if plate.size == 0:
        return 100.0  # the text lies outside the picture: nothing of the brand is seen
    red, green, blue = (plate >> (8 - _BIN_BITS)).astype(np.uint16).T
    bins = (red << 2 * _BIN_BITS) | (green << _BIN_BITS) | blue
    main = plate[bins == np.bincount(bins).argmax()].mean(axis=0)
    return float(delta_e(lab_of(main.astype(np.float32)), palette).min())
