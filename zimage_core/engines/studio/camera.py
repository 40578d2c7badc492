"""The camera of a stage: a long lens that looks down a little on a floor that ends at the horizon row.

Ground coordinates are pixels at the row where the product stands: x to the right of the picture's middle, z away from
the camera, z = 0 under the product. A ground square there looks `PITCH_RATIO` as high as wide, as the foot of a product
does that was photographed from slightly above.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.shadow import PITCH_RATIO

Plane = NDArray[np.float32]

_DEFOCUS_RATIO = 0.030  # blur sigma per share of the picture's height that a floor row is away from the product's
_COARSEST = 4  # a wide blur is made on a raster up to this many times coarser


@dataclass(frozen=True, slots=True)
class Camera:
    """Where things are in a picture of `width_px` x `height_px`, all rows in pixels from the top."""

    width_px: int
    height_px: int
    contact_row: float
    horizon_row: float
    vanish_row: float

    @property
    def focal_px(self) -> float:
        """Distance at which one ground unit is one pixel; the product stands there."""
        return (self.contact_row - self.vanish_row) / PITCH_RATIO

    def depth_of_row(self, row: float | Plane) -> float | Plane:
        """Return z of a floor row."""
        drop = self.contact_row - self.vanish_row
        return self.focal_px * (drop / (row - self.vanish_row) - 1.0)

    def to_ground(self) -> NDArray[np.float64]:
        """Return the homography from picture (column, row) to ground (x, z)."""
        drop, focal = self.contact_row - self.vanish_row, self.focal_px
        middle = self.width_px / 2.0
        # similar triangles: both x and z shrink with the distance of the row from the vanishing line
        return np.array(
            [
                [drop, 0.0, -middle * drop],
                [0.0, -focal, focal * (drop + self.vanish_row)],
                [0.0, 1.0, -self.vanish_row],
            ]
        )

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ground points (n, 2) as picture points (n, 2)."""
        moved = cv2.perspectiveTransform(points.reshape(1, -1, 2), np.linalg.inv(self.to_ground()))
        return np.asarray(moved.reshape(-1, 2), dtype=np.float64)

    def defocus_px(self, row: float) -> float:
        """Return the blur (Gaussian sigma) of the floor at a row: none under the product, linear in rows from there."""
        return _DEFOCUS_RATIO * abs(row - self.contact_row) * (1.0 if row < self.contact_row else 0.55)


def defocused(picture: NDArray[np.float32], camera: Camera, first_row: int) -> NDArray[np.float32]:
    """Return floor rows (from `first_row` of the full picture on) blurred by row as the lens would."""
    rows = np.arange(first_row, first_row + picture.shape[0], dtype=np.float32)
    sigma = np.array([camera.defocus_px(float(row)) for row in rows], dtype=np.float32)
    strongest = float(sigma.max())
    levels = [0.0, strongest / 3.0, strongest]
    blurred = [picture, *(_blur(picture, level) for level in levels[1:])]
    result = np.empty_like(picture)
    low = sigma <= levels[1]
    first = (sigma / max(levels[1], 1e-6))[:, None, None]
    second = ((sigma - levels[1]) / max(levels[2] - levels[1], 1e-6))[:, None, None]
    result[low] = blurred[0][low] + (blurred[1][low] - blurred[0][low]) * first[low]
    result[~low] = blurred[1][~low] + (blurred[2][~low] - blurred[1][~low]) * second[~low]
    return result


def _blur(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur, on a coarser raster where the blur is wide (it holds nothing finer)."""
    if sigma < 0.35:
        return picture
    step = max(1, min(_COARSEST, int(sigma / 1.5)))
    height, width = picture.shape[:2]
    size = (max(2, width // step), max(2, height // step))
    small = picture if step == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
    full = soft if step == 1 else cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, dtype=np.float32)
