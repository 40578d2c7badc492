"""Whether a silhouette may be used, and what a person should look at before it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from zimage_core.imaging.hard_shadow import hard_shadow_ratio
from zimage_core.imaging.lost_parts import burnt_ratio, strip_ratio
from zimage_core.imaging.outline import Points, soft_ratio, weak_ratio
from zimage_core.imaging.pixels import Float, Plane
from zimage_core.imaging.see_through import alike_ratio
from zimage_core.imaging.silhouette import Silhouette
from zimage_core.imaging.soft_shadow import shade_of

FailureCode = Literal[
    "white_on_white", "busy_background", "hard_shadow", "empty", "too_small", "touches_border", "not_cut"
]

MIN_COVERAGE_RATIO: Final = 0.002
MAX_WEAK_OUTLINE_RATIO: Final = 0.055
WARN_WEAK_OUTLINE_RATIO: Final = 0.03
"""Measured on the example photos: at most 0.01 as they are, 0.045 with a soft shadow taken away; from 0.06 on where
brightening until the product fades has cost it parts."""
_LIGHT_LEVEL: Final = 200
MAX_SOFT_OUTLINE_RATIO: Final = 0.07
MAX_PIECES: Final = 24
CROPPED_SIDE_RATIO: Final = 0.25
CROPPED_RUN_RATIO: Final = 0.6
_LOOK_INSIDE_RATIO: Final = 0.02
"""A side is cropped when the product runs along more than this share of it, or touches it nearly as wide as it is a
little further in; less is a tight frame around the product."""
SMALL_PIECE_RATIO: Final = 0.1
WARN_ALIKE_RATIO: Final = 0.12
MANY_PIECES: Final = 3
_EDGE_LEVELS: Final = 3
_CURE: Final = "photograph it before a backdrop that differs from it more, or supply a PNG with transparency or a matte"
MAX_HARD_SHADOW_RATIO: Final = 0.08
WARN_HARD_SHADOW_RATIO: Final = 0.07
WARN_BURNT_RATIO: Final = 0.05
WARN_STRIP_RATIO: Final = 0.15
"""Of 448 modelled photos one, a white mug before white, reaches the first, of 91 none the second (at most 0.03);
brightened ones that lost clear glass reach 0.19 of the first, bowls that lost a white rim 0.47 of the second."""


@dataclass(frozen=True, slots=True)
class CutOutFailure:
    """Why no cut-out is given: a stable `code` and a sentence."""

    code: FailureCode
    reason: str


@dataclass(frozen=True, slots=True)
class Signs:
    """What is measured of a silhouette: shares of its outline that are weak or soft, and of the product that has the
    backdrop's own colour, is flat and of its hue as a hard shadow is, or burnt out; and how much of the outline of a
    part runs along another, a strip of backdrop apart."""

    weak: float
    soft: float
    alike: float
    hard_shadow: float
    burnt: float
    strip: float


def signs_of(found: Silhouette, outline: Points, depth: Float) -> Signs:
    """Return the signs by which a silhouette ((H, W), its `outline` and `depth`) is judged."""
    return Signs(
        weak=weak_ratio(found.contrast, outline, found.limit + _EDGE_LEVELS + 2.0 * found.noise),
        soft=soft_ratio(found.contrast, outline, shade_of(found)),
        alike=alike_ratio(found, depth),
        hard_shadow=hard_shadow_ratio(found, found.mask),
        burnt=burnt_ratio(found, found.mask),
        strip=strip_ratio(found.mask) if len(found.pieces_px) > 1 else 0.0,
    )


def unusable(found: Silhouette, signs: Signs) -> CutOutFailure | None:
    """Return why the silhouette must not be used, None where it may."""
    coverage = float(found.mask.mean())
    if not found.mask.any():
        return CutOutFailure("empty", f"Nothing stands out from the backdrop; {_CURE}.")
    if len(found.pieces_px) > MAX_PIECES:
        return CutOutFailure(
            _faded(found), f"What stands out from the backdrop falls into {len(found.pieces_px)} pieces; {_CURE}."
        )
    cropped = [side for side, is_cropped in _touched_sides(found.mask).items() if is_cropped]
    if len(cropped) > 1:
        return CutOutFailure(
            "touches_border" if len(cropped) == 2 else "busy_background",
            f"What stands out from the backdrop runs out of the photo at the {' and the '.join(cropped)}: the product "
            "is cropped, or the backdrop is not plain.",
        )
    if signs.weak > MAX_WEAK_OUTLINE_RATIO:
        return CutOutFailure(
            _faded(found), f"The product fades into the backdrop along {signs.weak:.0%} of its outline; {_CURE}."
        )
    if signs.soft > MAX_SOFT_OUTLINE_RATIO:
        return CutOutFailure(
            "hard_shadow",
            f"A shadow that cannot be told from the product runs along {signs.soft:.0%} of its outline; {_CURE}.",
        )
    if signs.hard_shadow > MAX_HARD_SHADOW_RATIO:
        return CutOutFailure(
            "hard_shadow",
            f"{signs.hard_shadow:.0%} of what stands out from the backdrop is a hard shadow on it; {_CURE}.",
        )
    if coverage < MIN_COVERAGE_RATIO:
        return CutOutFailure("too_small", f"What stands out from the backdrop covers only {coverage:.2%} of the photo.")
    return None


def _faded(found: Silhouette) -> FailureCode:
    """Name an outline that cannot be seen: white on white, or an unknown thing before an unfit backdrop."""
    return "white_on_white" if float(found.backdrop.surface.mean()) >= _LIGHT_LEVEL else "busy_background"


def _touched_sides(mask: Plane) -> dict[str, bool]:
    """Return the sides of the photo that the product touches, and whether it is cropped there.

    A round thing framed tightly touches a side with a fraction of its width; a cropped one runs on as wide as before.
    """
    sides = {"top": mask, "bottom": mask[::-1], "left": mask.T, "right": mask.T[::-1]}
    touched: dict[str, bool] = {}
    for side, lines in sides.items():
        at_border = int(lines[0].sum())
        if at_border:
            inside = int(lines[round(_LOOK_INSIDE_RATIO * len(lines))].sum())
            touched[side] = at_border > CROPPED_SIDE_RATIO * lines.shape[1] or at_border > CROPPED_RUN_RATIO * inside
    return touched


def doubts(found: Silhouette, signs: Signs) -> tuple[str, ...]:
    """Return what a person should look at."""
    product_px = max(int(found.mask.sum()), 1)
    said: list[str] = []
    for side, is_cropped in _touched_sides(found.mask).items():
        said.append(f"The product {'is cropped at' if is_cropped else 'touches'} the {side} of the photo.")
    largest, *others = found.pieces_px
    small = [area for area in others if area < SMALL_PIECE_RATIO * largest]
    if len(others) + 1 - len(small) >= MANY_PIECES:
        said.append(f"The photo shows {len(others) + 1 - len(small)} separate things: are they one product?")
    if small:
        said.append(f"{len(small)} small separate piece(s) were kept: part of the product, or a logo, or dust?")
    if signs.weak > WARN_WEAK_OUTLINE_RATIO:
        said.append(f"The product hardly stands out from the backdrop along {signs.weak:.0%} of its outline.")
    if signs.hard_shadow > WARN_HARD_SHADOW_RATIO:
        said.append(f"{signs.hard_shadow:.0%} of the product may be a hard shadow on the backdrop.")
    if signs.burnt > WARN_BURNT_RATIO:
        said.append(
            f"{signs.burnt:.0%} of the product is burnt out, and so is the backdrop: white or clear parts may be lost "
            "in it."
        )
    if signs.strip > WARN_STRIP_RATIO:
        said.append("A narrow strip of backdrop parts the product: a white rim or edge may be lost in it.")
    if found.shadow_px:
        said.append("A soft shadow on the ground was removed.")
    if found.hole_px > 0:
        said.append(f"{found.hole_px / product_px:.1%} of the product was taken as an opening: backdrop shows there.")
    if signs.alike >= WARN_ALIKE_RATIO:
        said.append(
            f"{signs.alike:.0%} of the product has the backdrop's own colour: clear glass, white on white, or backdrop "
            "that was left between its parts."
        )
    if found.doubtful_px > 0.005 * product_px:
        said.append(
            f"{found.doubtful_px / product_px:.1%} of the product looks like the backdrop; it was kept, not cut out."
        )
    return tuple(said)
