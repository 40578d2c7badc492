"""Is the product whole, as large in the frame as the scene wants it, and in the middle where it should be?"""

from __future__ import annotations

from typing import Final

from zimage_core.domain import Box, Finding, Placement
from zimage_core.imaging.composite import VISIBLE_ALPHA, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric
from zimage_core.quality.search import SURE_SIMILARITY

CROPPING = "cropping"
FILL = "fill"
CENTRING = "centring"
_CUT_FROM: Final = 0.02
"""A product that runs along more of a side of the frame than this is cut by it; less is a tight frame."""
_UNKNOWN: Final = "Nobody knows where the product is."


def measure_cropping(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the smallest distance from the whole product to the frame over the short side; negative = cut off.

    Where only what the frame shows is known, a product cut by it counts as the length along which it is: that much at
    least of it is not seen.
    """
    cutout, placement, box = evidence.given.cutout, _placement(evidence), evidence.product_box
    framed = box is not None and _is_within(box, evidence)
    if cutout is not None and placement is not None and not framed:
        margins = _margins(evidence, cutout, placement)
        side = min(margins, key=lambda name: margins[name])
        sentence = (
            f"The product is cut off at the {side}: {-margins[side]:.0f} px lie outside."
            if margins[side] < 0
            else f"The product keeps {margins[side]:.0f} px from the {side} edge of the picture."
        )
        value = margins[side] / evidence.short_side_px
        return (measured(rubric, CROPPING, value, "of short side", sentence, box=evidence.product_box),)
    alpha = evidence.product_alpha
    if box is None or alpha is None:
        return (not_applicable(CROPPING, evidence.product_unknown or _UNKNOWN),)
    along = {"left": alpha[:, 0], "top": alpha[0], "right": alpha[:, -1], "bottom": alpha[-1]}
    shares = {side: float((line >= VISIBLE_ALPHA).mean()) for side, line in along.items()}
    side = max(shares, key=lambda name: shares[name])
    if shares[side] > _CUT_FROM:
        sentence = f"The product is cut off at the {side}: it runs along {shares[side]:.0%} of that edge."
        return (measured(rubric, CROPPING, -shares[side], "of short side", sentence, box=box),)
    seen = {
        "left": box.x_px,
        "top": box.y_px,
        "right": evidence.width_px - box.right_px,
        "bottom": evidence.height_px - box.bottom_px,
    }
    side = min(seen, key=lambda name: seen[name])
    sentence = f"The product keeps {seen[side]} px from the {side} edge of the picture."
    return (measured(rubric, CROPPING, seen[side] / evidence.short_side_px, "of short side", sentence, box=box),)


def measure_fill(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the product's share of the frame along its longer relation; judged against the scene's `fill_ratio`.

    The curve is written in shares of the wanted fill; too large by a factor counts as too small by the same factor.
    """
    box, wanted = evidence.product_box, evidence.given.scene.stage.fill_ratio
    if box is None:
        return (not_applicable(FILL, evidence.product_unknown or _UNKNOWN),)
    value = max(box.width_px / evidence.width_px, box.height_px / evidence.height_px)
    relation = min(value / wanted, wanted / value)
    limit = rubric.limit(FILL)
    size = "small" if value < wanted else "large"
    fitting = f"The product fills {value:.0%} of the frame, the scene wants {wanted:.0%}"
    return (
        measured(
            rubric,
            FILL,
            value,
            "of frame",
            f"{fitting}." if relation >= limit else f"{fitting}: too {size}.",
            score=rubric.checks.fill.curve.score(relation),
            limit=wanted * limit if value < wanted else wanted / limit,
            box=box,
        ),
    )


def measure_centring(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how far the middle of the product's box stands from the middle of the picture, over the short side."""
    box = evidence.product_box
    if box is None:
        return (not_applicable(CENTRING, evidence.product_unknown or _UNKNOWN),)
    across = box.x_px + box.width_px / 2 - evidence.width_px / 2
    down = box.y_px + box.height_px / 2 - evidence.height_px / 2
    value = max(abs(across), abs(down)) / evidence.short_side_px
    where = ("right" if across > 0 else "left") if abs(across) >= abs(down) else ("low" if down > 0 else "high")
    sentence = (
        "The product stands in the middle."
        if value <= rubric.limit(CENTRING)
        else f"The product stands too far {where}, {value:.0%} of the picture off its middle."
        if where in ("right", "left")
        else f"The product stands too {where}, {value:.0%} of the picture off its middle."
    )
    return (measured(rubric, CENTRING, value, "of short side", sentence, box=box),)


def _is_within(box: Box, evidence: Evidence) -> bool:
    """Tell whether the box touches no side of the picture: then all of the product is seen."""
    return 0 < box.x_px < box.right_px < evidence.width_px and 0 < box.y_px < box.bottom_px < evidence.height_px


def _placement(evidence: Evidence) -> Placement | None:
    """Return where the product was put, or where it was surely found."""
    if evidence.given.placement is not None:
        return evidence.given.placement
    found = evidence.standing if evidence.given.cutout is not None else None
    return found.placement if found is not None and found.similarity >= SURE_SIMILARITY else None


def _margins(evidence: Evidence, cutout: CutOut, placement: Placement) -> dict[str, float]:
    box, scale = visible_box(cutout.rgba[..., 3]), placement.scale
    return {
        "left": placement.x_px + scale * box.x_px,
        "top": placement.y_px + scale * box.y_px,
        "right": evidence.width_px - (placement.x_px + scale * box.right_px),
        "bottom": evidence.height_px - (placement.y_px + scale * box.bottom_px),
    }
