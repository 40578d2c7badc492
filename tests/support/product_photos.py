"""Product photos for tests: the example photos with their exact masks, and ways to make them worse on purpose.

The masks and the pure white backdrop let us set a product before any other backdrop exactly:
I' = I - (1 - a) 255 + (1 - a) B'.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zimage_core.imaging.cutout import CutOut, CutOutFailure
from zimage_core.imaging.pixels import Photo, read_photo

PRODUCTS = Path(__file__).resolve().parents[2] / "examples" / "products"
TRUTH: dict[str, dict[str, Any]] = json.loads((PRODUCTS / "truth.json").read_text(encoding="utf-8"))
NAMES = sorted(TRUTH)
Pixels = NDArray[np.uint8]


def photo_of(rgb: Pixels, alpha: Pixels | None = None) -> Photo:
    return Photo(np.ascontiguousarray(rgb), alpha, sha256="0" * 64)


def load(name: str, side: int = 1600) -> tuple[Pixels, Pixels]:
    rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
    mask = cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    if side != rgb.shape[0]:
        rgb, mask = (cv2.resize(a, (side, side), interpolation=cv2.INTER_AREA) for a in (rgb, mask))
    return rgb, np.asarray(mask, dtype=np.uint8)


def got(answer: CutOut | CutOutFailure) -> CutOut:
    assert isinstance(answer, CutOut), answer
    return answer


def refused(answer: CutOut | CutOutFailure) -> CutOutFailure:
    assert isinstance(answer, CutOutFailure), "a damaged product would have been shipped"
    return answer


def place_in_photo(cutout: CutOut, truth: Pixels) -> tuple[int, int]:
    """Where the cut-out's array lies in its photo (row, column): near the truth's bounding box, at best agreement."""
    rows, columns = np.nonzero(truth.any(axis=1))[0], np.nonzero(truth.any(axis=0))[0]
    reach = 8
    height, width = cutout.rgba.shape[:2]
    framed = np.pad(truth, reach + 2)
    top, left = int(rows[0]), int(columns[0])
    window = framed[top : top + height + 2 * reach, left : left + width + 2 * reach].astype(np.float32)
    window = np.pad(window, ((0, max(0, height - window.shape[0])), (0, max(0, width - window.shape[1]))))
    error = cv2.matchTemplate(window, cutout.rgba[..., 3].astype(np.float32), cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(np.argmin(error)), error.shape)
    return top - reach - 2 + int(row), left - reach - 2 + int(column)


def alpha_in_photo(cutout: CutOut, truth: Pixels) -> Pixels:
    """The cut-out's alpha back in the photo's frame."""
    row, column = place_in_photo(cutout, truth)
    framed = np.pad(np.zeros_like(truth), 16)
    height, width = cutout.rgba.shape[:2]
    framed[16 + row : 16 + row + height, 16 + column : 16 + column + width] = cutout.rgba[..., 3]
    return framed[16:-16, 16:-16]


def overlap(alpha: Pixels, truth: Pixels) -> float:
    """Intersection over union of what is more than half covered."""
    ours, theirs = alpha >= 128, truth >= 128
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


def before(rgb: Pixels, mask: Pixels, backdrop: NDArray[np.float32]) -> Pixels:
    """The product before another backdrop, (H, W, 3) or (3,)."""
    through = 1 - mask[..., None].astype(np.float32) / 255
    return np.clip(np.rint(rgb - through * 255 + through * backdrop), 0, 255).astype(np.uint8)


def jpeg(rgb: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer).convert("RGB"))


def grain(rgb: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(7).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def slope(side: int, top: float, bottom: float) -> NDArray[np.float32]:
    return np.linspace(top, bottom, side, dtype=np.float32)[:, None, None] * np.ones((1, side, 3), np.float32)


def vignette(side: int, centre: float, corner: float) -> NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return (centre + (corner - centre) * (x * x + y * y) / 2)[..., None].astype(np.float32) * np.ones(3, np.float32)


def grounded(mask: Pixels, strength: float) -> NDArray[np.float32]:
    """White with a soft ellipse of shadow under the product."""
    side = mask.shape[0]
    base = int(np.nonzero(mask.any(axis=1))[0][-1])
    columns = np.nonzero((mask[base - side // 26 : base] > 127).any(axis=0))[0]
    shadow = np.zeros(mask.shape, np.float32)
    centre = (int(columns.mean()), base - side // 80)
    cv2.ellipse(shadow, centre, (int(np.ptp(columns) * 0.52) + 12, side // 36), 0, 0, 360, 1.0, -1)
    shadow = np.asarray(cv2.GaussianBlur(shadow, (0, 0), side / 64), dtype=np.float32)
    return (255 * (1 - strength * shadow))[..., None] * np.ones(3, np.float32)
