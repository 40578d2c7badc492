"""From a product photo to the product alone: straight-alpha RGBA with clean edges, or a reason why not.

A photo that brings its own transparency is taken at its word. Any other must show its product before a plain backdrop:
`backdrop` finds that surface, `silhouette` what stands before it, `matte` the soft edge. A cut-out that would damage
the product is refused, because no later check can tell a missing handle from a mug without one.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zimage_core.errors import ImageError
from zimage_core.imaging import pixels
from zimage_core.imaging.backdrop import find_backdrop
from zimage_core.imaging.judging import CutOutFailure as CutOutFailure
from zimage_core.imaging.judging import doubts, signs_of, unusable
from zimage_core.imaging.matte import make_matte
from zimage_core.imaging.outline import depth_of, outline_points
from zimage_core.imaging.pixels import Photo, Plane, Rgb, Rgba
from zimage_core.imaging.silhouette import find_silhouette

CUTOUT_VERSION: Final = "4"
"""Part of a kept cut-out's key: raise it when the same photo would be cut out differently, or refused differently."""
MAX_WORK_SIDE_PX: Final = 3200
"""Larger photos are reduced first: no channel asks for more than 3000 px, and time grows with the area."""
MIN_SIDE_PX: Final = 64
"""A product smaller than this cannot be shown at any channel's size."""
MAX_NOISE: Final = 10.0
"""Standard deviation in levels: above it the backdrop is texture, not grain (ISO 6400 phones stay below 8)."""
MIN_BORDER_RATIO: Final = 0.5
CAMERA_NOISE: Final = 3.0
BORDER_RATIO_PER_NOISE: Final = 0.07
"""More for each level of grain above that: grain all over is a camera's, grain over half of it is a pattern's."""
_TRANSPARENT: Final = 128
"""A photo whose alpha nowhere falls below this carries no cut-out of its own."""
_MARGIN_PX: Final = 2
_TEXT_KEY: Final = "zimage-cutout"


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """The product's pixels: `rgba` (h, w, 4) uint8, straight alpha, trimmed to its bounding box plus 2 px.

    Colours under partial alpha are the product's own (the backdrop is unmixed); fully transparent pixels are 0.
    `coverage_ratio` is the alpha's share of the photo it came from, `warnings` are sentences for a person. The array's
    upper left corner lies at (`x_px`, `y_px`) of the photo, of the reduced one where it was reduced; -2 is its margin.
    """

    rgba: Rgba
    coverage_ratio: float
    warnings: tuple[str, ...] = ()
    x_px: int = 0
    y_px: int = 0


def cut_out(photo: Photo) -> CutOut | CutOutFailure:
    """Return the product of a photo as straight-alpha RGBA, or why it cannot be had without damage to it.

    Same photo, same bytes. Photos above 3200 px are reduced to that first.
    """
    rgb, alpha, notes = at_work_size(photo)
    if min(rgb.shape[:2]) < MIN_SIDE_PX:
        return CutOutFailure("too_small", f"The photo is only {rgb.shape[1]} x {rgb.shape[0]} px.")
    if alpha is not None and brings_its_own(photo):
        return trimmed(_with_own_alpha(rgb, alpha), notes)
    backdrop = find_backdrop(rgb)
    pattern = max(0.0, min(backdrop.noise, MAX_NOISE) - CAMERA_NOISE)
    needed = MIN_BORDER_RATIO + BORDER_RATIO_PER_NOISE * pattern
    if backdrop.border_ratio < needed:
        return CutOutFailure(
            "busy_background",
            f"The photo has no plain backdrop: one smooth colour is seen along {backdrop.border_ratio:.0%} of its "
            f"border, at least {needed:.0%} is needed.",
        )
    if backdrop.noise > MAX_NOISE:
        return CutOutFailure(
            "busy_background",
            f"The backdrop is a pattern or grain of {backdrop.noise:.0f} levels; up to {MAX_NOISE:.0f} is plain.",
        )
    silhouette = find_silhouette(rgb, backdrop)
    depth = depth_of(silhouette.mask)
    outline = outline_points(depth)
    signs = signs_of(silhouette, outline, depth)
    failure = unusable(silhouette, signs)
    if failure is not None:
        return failure
    return trimmed(make_matte(rgb, silhouette, outline, depth), notes + doubts(silhouette, signs))


# ---------------------------------------------------------------- before


def brings_its_own(photo: Photo) -> bool:
    """Tell whether a photo carries a cut-out of its own: transparency that is more than a film all over."""
    return photo.alpha is not None and int(photo.alpha.min()) < _TRANSPARENT


def at_work_size(photo: Photo) -> tuple[Rgb, Plane | None, tuple[str, ...]]:
    """Return a photo's pixels, its alpha and notes, reduced to 3200 px where it is larger."""
    height, width = photo.rgb.shape[:2]
    scale = MAX_WORK_SIDE_PX / max(height, width)
    if scale >= 1.0:
        return photo.rgb, photo.alpha, ()
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    note = f"Reduced from {width} x {height} to {size[0]} x {size[1]} px before it was cut out."
    if photo.alpha is None:
        return pixels.resize(photo.rgb, *size), None, (note,)
    rgba = pixels.resize_rgba(np.dstack([photo.rgb, photo.alpha]), *size)
    return rgba[..., :3].copy(), rgba[..., 3].copy(), (note,)


def _with_own_alpha(rgb: Rgb, alpha: Plane) -> Rgba:
    rgba = np.dstack([rgb, alpha])
    rgba[alpha == 0] = 0
    return rgba


# ---------------------------------------------------------------- after


def trimmed(rgba: Rgba, warnings: tuple[str, ...]) -> CutOut | CutOutFailure:
    """Return (H, W, 4) as a cut-out without the emptiness around it, or that there is too little in it."""
    alpha = rgba[..., 3]
    rows, columns = np.nonzero(alpha.any(axis=1))[0], np.nonzero(alpha.any(axis=0))[0]
    if not rows.size:
        return CutOutFailure("empty", "The photo is transparent all over.")
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    if max(height, width) < MIN_SIDE_PX:
        return CutOutFailure("too_small", f"The product is only {width} x {height} px in the photo.")
    inner = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    framed = np.zeros((height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX, 4), dtype=np.uint8)
    framed[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX] = inner
    x_px, y_px = int(columns[0]) - _MARGIN_PX, int(rows[0]) - _MARGIN_PX
    return CutOut(framed, float(alpha.mean(dtype=np.float64) / 255.0), warnings, x_px, y_px)


# ---------------------------------------------------------------- for the store


def cutout_to_png(cutout: CutOut) -> bytes:
    """Return the cut-out as lossless RGBA PNG; what else it knows goes along in a text chunk."""
    facts = {name: getattr(cutout, name) for name in ("coverage_ratio", "warnings", "x_px", "y_px")}
    about = json.dumps(facts, ensure_ascii=True, sort_keys=True)
    text = PngInfo()
    text.add_text(_TEXT_KEY, about)
    buffer = io.BytesIO()
    Image.fromarray(cutout.rgba).save(buffer, format="PNG", compress_level=2, pnginfo=text)
    return buffer.getvalue()


def cutout_from_png(data: bytes) -> CutOut:
    """Return the cut-out that `cutout_to_png` wrote. Raises ImageError for any other bytes."""
    image = pixels.open_png(data)
    about = image.info.get(_TEXT_KEY)
    if about is None or image.mode != "RGBA":
        raise ImageError(
            "This PNG is not a cut-out of ours: it lacks transparency or the text chunk that goes with it."
        )
    known = json.loads(about)
    rgba: NDArray[np.uint8] = np.array(image, dtype=np.uint8)
    return CutOut(
        rgba,
        float(known["coverage_ratio"]),
        tuple(known["warnings"]),
        int(known.get("x_px", 0)),
        int(known.get("y_px", 0)),
    )
