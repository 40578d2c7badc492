"""What the checks look at: the pixels handed in, and planes derived from them once and shared.

`GradeInput` is the room's door; `Evidence` adds what several checks need (the product's silhouette, grey planes) and
computes each of these at most once, when first asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Category, Mode, PlacedText, Placement, Scene
from zimage_core.errors import QualityError
from zimage_core.imaging.composite import OPAQUE_ALPHA, VISIBLE_ALPHA, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Plane, Rgb, Rgba
from zimage_core.quality.alignment import Likeness, Shown, Standing, likeness_of, refine, shown_of
from zimage_core.quality.comparison import Pair, Structure, pair_at, pair_of, structure_of
from zimage_core.quality.edges import noise_levels
from zimage_core.quality.rasters import Reductions, halved
from zimage_core.quality.reading import Reader
from zimage_core.quality.reading.detection import TextLine
from zimage_core.quality.search import SURE_SIMILARITY, find
from zimage_core.quality.whereabouts import Whereabouts, before_a_plain_backdrop, outline_at

Bools = NDArray[np.bool_]

LIKE_THE_PHOTO: Final = 0.93
"""Likeness from which a product of known placement need not be looked for nearby."""
OUTLINE_SIMILARITY: Final = 0.75
"""Similarity from which the cut-out's outline is taken for that of the product in the picture."""

_EVERY: Final = 7  # of the pixels each way: thousands are left, and no raster of 8 px meets it
_LEAST_PIXELS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class GradeInput:
    """One attempt and all that is known of how it was made.

    `attempt_rgb` is the engine's picture, `finished_rgb` the same with the overlay drawn: (H, W, 3) uint8 each.
    `cutout` and `placement` say where the product's own pixels stand (both None when an engine drew the product);
    `palette` are brand colours as #rrggbb; `width_px`, `height_px` are what the shot promised. `placed` may hold
    `placed_premultiplied(cutout, placement, ...)` of the attempt's size where the caller has it: it saves 40 ms.

    A cut-out without a placement says what the product looks like, not where it stands: an engine drew it.
    `placed_texts` were drawn by code, at known places; `expected_texts` must stand somewhere in the finished picture,
    whoever drew them. `overlay` may hold the layer the placed texts were painted on: (H, W, 4) uint8 premultiplied,
    of the finished size. `words` is the prompt the attempt was made from.
    """

    attempt_id: str
    finished_key: str
    sku: str
    scene: Scene
    mode: Mode
    attempt_rgb: Rgb
    finished_rgb: Rgb
    placed_texts: tuple[PlacedText, ...]
    cutout: CutOut | None
    placement: Placement | None
    palette: tuple[str, ...]
    width_px: int
    height_px: int
    placed: Rgba | None = None
    category: Category = "default"
    expected_texts: tuple[str, ...] = ()
    overlay: Rgba | None = None
    words: str = ""

    def __post_init__(self) -> None:
        for name, rgb in (("attempt_rgb", self.attempt_rgb), ("finished_rgb", self.finished_rgb)):
            if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
                raise QualityError(f"{name} must be (H, W, 3) uint8 pixels, not {rgb.shape} {rgb.dtype}.", sku=self.sku)
        if self.placed is not None and self.placed.shape != (*self.attempt_rgb.shape[:2], 4):
            raise QualityError(f"placed must have the attempt's size and alpha, not {self.placed.shape}.", sku=self.sku)
        if self.overlay is not None and self.overlay.shape != (*self.finished_rgb.shape[:2], 4):
            raise QualityError(f"overlay must have the finished size and alpha: {self.overlay.shape}.", sku=self.sku)


class Evidence:
    """A GradeInput with the planes that checks share; every plane is computed once, on first use, and only read."""

    def __init__(self, given: GradeInput, reader: Reader) -> None:
        self.given = given
        self.reader = reader

    @property
    def height_px(self) -> int:
        """Height of the attempt."""
        return int(self.given.attempt_rgb.shape[0])

    @property
    def width_px(self) -> int:
        """Width of the attempt."""
        return int(self.given.attempt_rgb.shape[1])

    @property
    def short_side_px(self) -> int:
        """The shorter side of the attempt."""
        return min(self.height_px, self.width_px)

    @cached_property
    def grey(self) -> Plane:
        """The attempt's luma (Rec. 601), (H, W) uint8."""
        return np.asarray(cv2.cvtColor(self.given.attempt_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    @cached_property
    def greys(self) -> Reductions[np.uint8]:
        """The attempt's luma, and what it is reduced to."""
        return Reductions(self.grey)

    @cached_property
    def alphas(self) -> Reductions[np.uint8] | None:
        """The product's alpha, and what it is reduced to; None when nobody knows where the product is."""
        return None if self.product_alpha is None else Reductions(self.product_alpha)

    @cached_property
    def finished_grey(self) -> Plane:
        """The finished picture's luma (Rec. 601), (H, W) uint8."""
        if self.given.finished_rgb is self.given.attempt_rgb:
            return self.grey
        return np.asarray(cv2.cvtColor(self.given.finished_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    @cached_property
    def quarter(self) -> Rgb:
        """The attempt at a quarter of its sides, at least 1 px: grain is averaged away, (H / 4, W / 4, 3) uint8."""
        return halved(halved(self.given.attempt_rgb))

    @cached_property
    def product_beside_photo(self) -> tuple[Rgb, Rgb] | None:
        """Some of the product's pixels in the attempt and some on its photo, (N, 3) uint8 each, not pixel for pixel.

        Only where nothing of the backdrop shines through. None without a photo or where nobody knows the product.
        """
        if self.given.cutout is None or self.product is None:
            return None
        sampled = tuple(slice(-(-side.start // _EVERY) * _EVERY, side.stop, _EVERY) for side in self.product_window)
        solid = self.product[sampled]
        shown = self.given.attempt_rgb[sampled][solid]
        if self.placed is not None:
            true = self.placed[sampled][solid][:, :3]
        else:
            photo = self.given.cutout.rgba[::_EVERY, ::_EVERY]
            true = photo[photo[..., 3] == OPAQUE_ALPHA][:, :3]
        return (shown, true) if min(len(shown), len(true)) >= _LEAST_PIXELS else None

    @cached_property
    def product_kept(self) -> bool:
        """Whether every one of the pixels of `product_beside_photo` is that of the photo: nothing changed them."""
        beside = self.product_beside_photo
        return beside is not None and self.placed is not None and np.array_equal(*beside)

    @cached_property
    def noise_levels(self) -> float:
        """The sigma of the attempt's noise in grey levels, from its calmest places."""
        return noise_levels(self.grey)

    @cached_property
    def text_lines(self) -> tuple[TextLine, ...]:
        """The lines of text found in the finished picture; dear (240 CPU-ms), so asked for only where needed."""
        return self.reader.find_lines(self.given.finished_rgb)

    @cached_property
    def placed(self) -> Rgba | None:
        """The product made again from cut-out and placement: (H, W, 4) uint8 premultiplied; None without a photo."""
        if self.given.cutout is None or self.given.placement is None:
            return None
        if self.given.placed is not None:
            return self.given.placed
        return placed_premultiplied(self.given.cutout, self.given.placement, self.width_px, self.height_px)

    @cached_property
    def product_alpha(self) -> Plane | None:
        """The product's alpha in the attempt, (H, W) uint8; None when nobody knows where the product is.

        Where no placement is known it is found in the picture: as the cut-out laid where the product was found, or as
        what stands before a plain backdrop.
        """
        return self._whereabouts.alpha

    @property
    def product_unknown(self) -> str:
        """Why nobody knows where the product is, as a sentence; empty where it is known."""
        return self._whereabouts.reason

    @property
    def outline_known(self) -> bool:
        """Whether the product's outline is that of its photo, put where the product was placed or surely found."""
        return self.placed is not None or (self.standing is not None and self.standing.similarity >= SURE_SIMILARITY)

    @cached_property
    def _whereabouts(self) -> Whereabouts:
        if self.placed is not None:
            return Whereabouts(np.asarray(cv2.extractChannel(self.placed, 3), dtype=np.uint8))
        found, seen = self.standing, self._before_backdrop
        if found is None or self.likeness is None or found.similarity < OUTLINE_SIMILARITY:
            return seen
        if seen.alpha is not None and found.similarity < SURE_SIMILARITY:
            return seen
        return Whereabouts(outline_at(self.likeness, found.placement, self.width_px, self.height_px))

    @cached_property
    def _before_backdrop(self) -> Whereabouts:
        return before_a_plain_backdrop(self.given.attempt_rgb)

    @cached_property
    def likeness(self) -> Likeness | None:
        """The product as the photo shows it, reduced; None without a photo."""
        return None if self._shown is None else likeness_of(self._shown)

    @cached_property
    def _shown(self) -> Shown | None:
        return None if self.given.cutout is None else shown_of(self.given.cutout)

    @cached_property
    def standing(self) -> Standing | None:
        """Where a product of unknown placement was found by its photo; None where nothing like it stands."""
        if self.likeness is None or self.given.placement is not None:
            return None
        seen = self._before_backdrop.alpha
        shown = None if seen is None else _shown_box(seen)
        return find(self.given.attempt_rgb, self.grey, self.likeness, shown)

    @cached_property
    def comparison(self) -> tuple[Pair, Structure] | None:
        """The product beside that of the photo, and how like they are; None where it cannot be seen, or not solid.

        Where the place is known it is believed as long as the product there is like the photo's; else the product is
        looked for nearby.
        """
        if self.placed is None:
            return None if self.standing is None else self._compared_at(self.standing.placement)
        if self.product_box is None:
            return None
        rows, columns = window(self.product_box, self.width_px, self.height_px)
        known = _compared(pair_of(self.given.attempt_rgb, self.placed[rows, columns], self.product_box))
        if known is None or known[1].value >= LIKE_THE_PHOTO or self.likeness is None or self.given.placement is None:
            return known
        moved = self._compared_at(refine(self.grey, self.likeness, self.given.placement).placement)
        return known if moved is None or moved[1].value <= known[1].value else moved

    def _compared_at(self, placement: Placement) -> tuple[Pair, Structure] | None:
        pair = None if self._shown is None else pair_at(self.given.attempt_rgb, self._shown, placement)
        return None if pair is None else _compared(pair)

    @cached_property
    def product_box(self) -> Box | None:
        """The visible product's bounding box within the frame; None when it is unknown or nothing shows."""
        return None if self.product_alpha is None else _shown_box(self.product_alpha)

    @property
    def product_window(self) -> tuple[slice, slice]:
        """The rows and columns of `product_box`; all of them where it is unknown."""
        if self.product_box is None:
            return slice(0, self.height_px), slice(0, self.width_px)
        return window(self.product_box, self.width_px, self.height_px)

    @cached_property
    def product(self) -> Bools | None:
        """Where the product hides the backdrop completely, (H, W) bool, text plates left out; None when unknown."""
        if self.product_alpha is None:
            return None
        solid = np.asarray(self.product_alpha == OPAQUE_ALPHA)
        for text in self.given.placed_texts:
            solid[window(text.plate, self.width_px, self.height_px)] = False
        return solid


def _shown_box(alpha: Plane) -> Box | None:
    """Return what `visible_box` does, in a third of its time; None where nothing shows."""
    x, y, width, height = cv2.boundingRect(cv2.threshold(alpha, VISIBLE_ALPHA - 1, 255, cv2.THRESH_BINARY)[1])
    return None if width == 0 else Box(x, y, width, height)


def _compared(pair: Pair) -> tuple[Pair, Structure] | None:
    structure = structure_of(pair)
    return None if structure is None else (pair, structure)


def window(box: Box, width_px: int, height_px: int, grow_px: int = 0) -> tuple[slice, slice]:
    """Return the (rows, columns) slices of a box grown on all sides and kept inside a picture."""
    return (
        slice(max(0, box.y_px - grow_px), max(0, min(height_px, box.bottom_px + grow_px))),
        slice(max(0, box.x_px - grow_px), max(0, min(width_px, box.right_px + grow_px))),
    )
