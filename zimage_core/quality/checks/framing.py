"""Is the product whole, and as large in the frame as the scene wants it?"""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.imaging.composite import visible_box
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

CROPPING = "cropping"
FILL = "fill"


def measure_cropping(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the smallest distance from the whole product to the frame over the short side; negative = cut off."""
    cutout, placement = evidence.given.cutout, evidence.given.placement
    if cutout is None or placement is None:
        return (not_applicable(CROPPING, "Nobody knows where the product is."),)
    box, scale = visible_box(cutout.rgba[..., 3]), placement.scale
    margins = {
        "left": placement.x_px + scale * box.x_px,
        "top": placement.y_px + scale * box.y_px,
        "right": evidence.width_px - (placement.x_px + scale * box.right_px),
        "bottom": evidence.height_px - (placement.y_px + scale * box.bottom_px),
    }
    side = min(margins, key=lambda name: margins[name])
    value = margins[side] / evidence.short_side_px
    sentence = (
        f"The product is cut off at the {side}: {-margins[side]:.0f} px lie outside."
        if margins[side] < 0
        else f"The product keeps {margins[side]:.0f} px from the {side} edge of the picture."
    )
    return (measured(rubric, CROPPING, value, "of short side", sentence, box=evidence.product_box),)


def measure_fill(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the product's share of the frame along its longer relation; judged against the scene's `fill_ratio`.

    The curve is written in shares of the wanted fill; too large by a factor counts as too small by the same factor.
    """
    box, wanted = evidence.product_box, evidence.given.scene.stage.fill_ratio
    if box is None:
        return (not_applicable(FILL, "Nobody knows where the product is."),)
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
