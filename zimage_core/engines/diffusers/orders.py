"""Orders: requests as the model sees them, sorted into batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from zimage_core.engines.base import RenderRequest
from zimage_core.engines.diffusers.fast.batching import Piece, plan_batches
from zimage_core.engines.diffusers.memory import Size
from zimage_core.engines.diffusers.prompts import Words
from zimage_core.engines.drawing import Drawing, repaint_of
from zimage_core.imaging.pixels import Rgb

SIZE_MULTIPLE_PX: Final = 16
"""VAE factor 8 times patch 2; diffusers refuses other sides."""
SHRINK_RATIO: Final = 0.75
SOFT_BACKDROPS: Final = frozenset({"white", "sweep", "wall", "closeup"})
"""What lies behind the product out of focus or without structure: drawn at three quarters nobody sees it."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """One picture to draw: `drawing` on the canvas the model draws, `final` on the canvas the request will be cut from.

    They differ when the detail step doubles the picture afterwards. `control` is what a ControlNet is shown.
    """

    request: RenderRequest
    final: Drawing
    drawing: Drawing
    words: Words
    control: Rgb | None = None

    @property
    def size(self) -> Size:
        """The canvas that is drawn, in pixels."""
        return self.drawing.width_px, self.drawing.height_px

    @property
    def around(self) -> bool:
        """Whether something of the picture is kept and the rest painted around it."""
        return self.drawing.repaint is not None

    @property
    def may_shrink(self) -> bool:
        """Whether the scene allows a lower resolution: an empty, soft stage, over which the product comes in full."""
        return self.request.mode == "stage" and self.request.scene.stage.backdrop in SOFT_BACKDROPS


def canvas_multiple_px(detail: bool) -> int:
    """Return what the sides of a canvas divide by: with the detail step its half must divide by 16 as well."""
    return 2 * SIZE_MULTIPLE_PX if detail else SIZE_MULTIPLE_PX


def halved(drawing: Drawing) -> Drawing:
    """Return the drawing at half its size, for the detail step to double again."""
    return resized(drawing, drawing.width_px // 2, drawing.height_px // 2)


def shrunk(drawing: Drawing) -> Drawing:
    """Return the drawing at three quarters of its size, on the grid the model draws on."""
    width_px, height_px = (
        max(SIZE_MULTIPLE_PX, round(side * SHRINK_RATIO / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX)
        for side in (drawing.width_px, drawing.height_px)
    )
    return resized(drawing, width_px, height_px)


def resized(drawing: Drawing, width_px: int, height_px: int) -> Drawing:
    """Return the drawing on a smaller canvas: base and product averaged down, the mask made anew on its own latents."""
    size = (width_px, height_px)
    base, product, repaint = drawing.base_rgb, drawing.product, drawing.repaint
    if base is not None and product is not None and repaint is not None:
        product = np.asarray(cv2.resize(product, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        base = np.asarray(cv2.resize(base, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        repaint = repaint_of(product)
    return dataclasses.replace(
        drawing, width_px=width_px, height_px=height_px, base_rgb=base, product=product, repaint=repaint
    )


def planned(orders: Sequence[Order], *, device: str, limit: int | None) -> list[Sequence[Order]]:
    """Return the orders in batches, the longest pictures first; every batch holds at most `limit` (None = by tokens).

    One canvas size, one way of drawing and one caption bucket per batch: then no attention mask is needed, shapes are
    static, and a batch computes what each picture alone would.
    """
    batches: list[Sequence[Order]] = []
    for some in ([order for order in orders if not order.around], [order for order in orders if order.around]):
        pieces = [Piece(*order.size, order.words.tokens) for order in some]
        plan = plan_batches(pieces, device=device, limit=limit)
        batches += [[some[index] for index in batch.indices] for batch in plan]
    return batches
