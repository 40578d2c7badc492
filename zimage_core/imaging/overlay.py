"""Drawing badge, price and caption over an accepted attempt: by code, so that they say exactly what the catalogue says.

The look: flat brand-coloured cards with soft shadows inside a 4 % safe margin; the price and the struck-through old
price share one two-tone tag; text is set in Noto CJK, at least 3 % of the short side high and at least 4.5 : 1 in
contrast, whatever colours the brand asks for. Sizes are ratios of the image's short side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Overlay, OverlayRole, OverlayText, PlacedText
from zimage_core.errors import ConfigurationError
from zimage_core.imaging.composite import paste_premultiplied
from zimage_core.imaging.fonts import missing_glyphs
from zimage_core.imaging.overlay_layout import (
    LAYOUT_COUNT,
    SAFE_MARGIN_RATIO,
    Arrangement,
    CardRole,
    ProductMap,
    TextRoom,
    arrange,
)
from zimage_core.imaging.overlay_paint import Card, Cell, Shape, paint, readable_on
from zimage_core.imaging.overlay_text import fit_text

MIN_TEXT_RATIO = 0.03  # em size over the short side: 24 px on an 800 px main image, what a phone still shows
_SCALES = (1.0, 0.92, 0.84, 0.76, 0.68, 0.6)
_LIKED_SCALE = 0.84  # smaller than this only to leave the product alone: a struck price at 0.76 was read wrong
_SHRINKING_COST = 0.25  # 40 % smaller text is worth 0.5 % of the product
_BADGE_SHAPES: tuple[Shape, ...] = ("pill", "card", "keyline", "pill")  # one per layout
_MAX_WIDTH_RATIO: dict[OverlayRole, float] = {"badge": 0.52, "price": 0.58, "original_price": 0.34, "caption": 0.80}
# 0.046: of 48 struck prices at 0.040 and scale 0.84 one was read as doubtful on 864 px, of 48 at 0.046 none
_IDEAL_RATIO: dict[OverlayRole, float] = {"badge": 0.050, "price": 0.068, "original_price": 0.046, "caption": 0.036}
_MAX_LINES: dict[OverlayRole, int] = {"badge": 2, "price": 1, "original_price": 1, "caption": 2}
_CARD_OF: dict[OverlayRole, CardRole] = {
    "badge": "badge",
    "price": "price",
    "original_price": "price",
    "caption": "caption",
}


OVERLAY_VERSION: Final = "2"
"""Part of a finished picture's key: raise it when the same overlay would be drawn differently."""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """What every step needs to know of the picture."""

    width_px: int
    height_px: int
    overlay: Overlay

    @property
    def short_px(self) -> int:
        return min(self.width_px, self.height_px)


def draw_overlay(
    rgb: NDArray[np.uint8],
    overlay: Overlay,
    *,
    product_alpha: NDArray[np.uint8] | None,
    text_room: TextRoom = "none",
) -> tuple[NDArray[np.uint8], tuple[PlacedText, ...]]:
    """Return a new (H, W, 3) picture with the overlay's texts, and where each was placed, in the overlay's order.

    The picture is `paste_premultiplied(rgb, layer)` with the layer of `paint_overlay`, where the rest is said.
    """
    height_px, width_px = rgb.shape[:2]
    layer, placed = paint_overlay(width_px, height_px, overlay, product_alpha=product_alpha, text_room=text_room)
    return (paste_premultiplied(rgb, layer) if placed else rgb.copy()), placed


def paint_overlay(
    width_px: int,
    height_px: int,
    overlay: Overlay,
    *,
    product_alpha: NDArray[np.uint8] | None,
    text_room: TextRoom = "none",
) -> tuple[NDArray[np.uint8], tuple[PlacedText, ...]]:
    """Return the overlay's own layer, (H, W, 4) uint8 premultiplied, and where each text was placed, in its order.

    What is read back from a finished picture can be held against this layer pixel by pixel: cards are opaque, only
    their shadows and rims show what is below.
    `product_alpha` is (H, W) uint8, where the product is; None when it is not known, then nothing is avoided.
    `PlacedText.box` hugs the ink (a strike-through is not part of it), `plate` holds everything painted for the text,
    shadow included, and `covers_product_ratio` is the share of the product's pixels under the text's card, without its
    shadow. Equal arguments give equal bytes.

    Raises ConfigurationError naming the text when it holds a character the font cannot draw, when it does not fit its
    place at the smallest legible size, when the cards leave no room for each other, or when a role is given twice.
    """
    if product_alpha is not None and product_alpha.shape != (height_px, width_px):
        size = (height_px, width_px)
        raise ConfigurationError(f"The product's alpha is {product_alpha.shape}, but the picture {size}.")
    layer = np.zeros((height_px, width_px, 4), np.uint8)
    if not overlay.texts:
        return layer, ()
    _check_texts(overlay)
    canvas = _Canvas(width_px, height_px, overlay)
    product = ProductMap(product_alpha, canvas.short_px)
    cards, arrangement = _best(canvas, product, text_room)

    placed: dict[OverlayRole, PlacedText] = {}
    for role, card in cards.items():
        corner = arrangement.boxes[role]
        layer, inks = paint(layer, card, corner.x_px, corner.y_px)
        x_px = corner.x_px
        for cell, ink in zip(card.cells, inks, strict=True):
            field = Box(x_px, corner.y_px, cell.width_px, card.height_px)
            placed[cell.text.role] = PlacedText(
                role=cell.text.role,
                text=cell.text.text,
                box=ink,
                plate=_grown_inside(field, card.shadow_px, canvas),
                covers_product_ratio=round(product.covered_ratio(field), 6),
            )
            x_px += cell.width_px
    return layer, tuple(placed[text.role] for text in overlay.texts)


def _check_texts(overlay: Overlay) -> None:
    roles = [text.role for text in overlay.texts]
    if len(set(roles)) != len(roles):
        raise ConfigurationError(f"An overlay holds one text per role, but this one holds {', '.join(roles)}.")
    for text in overlay.texts:
        if not text.text.strip():
            raise ConfigurationError(f"The {text.role} is an empty text; leave it out of the overlay instead.")
        missing = missing_glyphs(text.text, overlay.font, bold=True)
        if missing or "\n" in text.text:
            raise ConfigurationError(
                f"The {text.role} {text.text!r} holds {missing or 'a line break'!r}, which the font cannot draw."
            )


def _best(canvas: _Canvas, product: ProductMap, text_room: TextRoom) -> tuple[dict[CardRole, Card], Arrangement]:
    """Return the cards that leave the product alone, in the scene's room and as large as that allows.

    A little smaller and in the room beats full size beside the product: a catalogue's pictures then look alike. Where
    every size covers some of the product, the cheapest by covering and size is taken.
    """
    found: list[tuple[bool, float, dict[CardRole, Card], Arrangement]] = []
    refused: ConfigurationError | None = None
    for scale in _SCALES:
        uncovered = [cost for covering, cost, _, _ in found if not covering]
        if uncovered and (scale < _LIKED_SCALE or min(uncovered) <= _SHRINKING_COST * (1.0 - scale)):
            break
        try:
            cards = _cards(canvas, scale)
        except ConfigurationError as error:
            refused = refused or error
            continue
        arrangement = arrange(
            cards, canvas.width_px, canvas.height_px, product, layout=canvas.overlay.layout, text_room=text_room
        )
        if arrangement is None:
            continue
        cost = arrangement.cost + _SHRINKING_COST * (1.0 - scale)
        found.append((arrangement.covered_ratio > 0.0, cost, cards, arrangement))
    if found:
        _, _, cards, arrangement = min(found, key=lambda entry: entry[:2])
        return cards, arrangement
    texts = ", ".join(repr(text.text) for text in canvas.overlay.texts)
    raise refused or ConfigurationError(
        f"The texts {texts} cannot all stand in a {canvas.width_px} x {canvas.height_px} px picture at the smallest "
        f"legible size, {MIN_TEXT_RATIO:.0%} of the short side; shorten or drop one."
    )


def _cards(canvas: _Canvas, scale: float) -> dict[CardRole, Card]:
    groups: dict[CardRole, list[OverlayText]] = {}
    for text in sorted(canvas.overlay.texts, key=lambda text: list(_CARD_OF).index(text.role)):
        groups.setdefault(_CARD_OF[text.role], []).append(text)
    return {role: _card(role, texts, canvas, scale) for role, texts in groups.items()}


def _card(role: CardRole, texts: Sequence[OverlayText], canvas: _Canvas, scale: float) -> Card:
    cells = [_cell(text, canvas, scale) for text in texts]
    height_px = max(cell.height_px for cell in cells)
    level = tuple(Cell(c.text, c.block, c.width_px, height_px, c.plate_color, c.text_color, c.struck) for c in cells)
    shape: Shape = _BADGE_SHAPES[canvas.overlay.layout % LAYOUT_COUNT] if role == "badge" else "card"
    if len(level[0].block.lines) > 1:
        shape = "card"  # a pill around two lines is an egg, and a keyline crowds them
    return Card(level, shape, sum(cell.width_px for cell in level), height_px)


def _cell(text: OverlayText, canvas: _Canvas, scale: float) -> Cell:
    short = canvas.short_px
    min_px = max(1, -(-int(MIN_TEXT_RATIO * 1000) * short // 1000))
    ideal_px = max(min_px, round(_IDEAL_RATIO[text.role] * scale * short))
    room_px = canvas.width_px - 2 * round(SAFE_MARGIN_RATIO * short)
    limit_px = min(room_px, round(_MAX_WIDTH_RATIO[text.role] * max(scale, 0.84) * canvas.width_px))
    pad_x_px, pad_y_px = round(0.72 * ideal_px), round(0.52 * ideal_px)
    block = fit_text(
        text.text,
        canvas.overlay.font,
        bold=text.role != "original_price",
        max_width_px=limit_px - 2 * pad_x_px,
        ideal_px=ideal_px,
        min_px=min_px,
        max_lines=_MAX_LINES[text.role],
    )
    if block is None:
        lines = "one line" if _MAX_LINES[text.role] == 1 else "two lines"
        raise ConfigurationError(
            f"The {text.role} {text.text!r} does not fit into {lines} of {limit_px - 2 * pad_x_px} px at the smallest "
            f"legible size, {min_px} px ({MIN_TEXT_RATIO:.0%} of the short side); shorten it."
        )
    plate, ink = _colors(text.role, canvas.overlay)
    return Cell(
        text=text,
        block=block,
        width_px=block.width_px + 2 * pad_x_px,
        height_px=block.height_px + 2 * pad_y_px,
        plate_color=plate,
        text_color=readable_on(plate, ink),
        struck=text.role == "original_price",
    )


def _colors(role: OverlayRole, overlay: Overlay) -> tuple[str, str]:
    if role == "badge":
        return overlay.badge_color, overlay.badge_text_color
    if role == "price":
        return overlay.price_color, "#ffffff"
    return ("#ffffff", "#5c5c5c") if role == "original_price" else ("#ffffff", "#262626")


def _grown_inside(box: Box, by_px: int, canvas: _Canvas) -> Box:
    left, top = max(0, box.x_px - by_px), max(0, box.y_px - by_px)
    right = min(canvas.width_px, box.right_px + by_px)
    bottom = min(canvas.height_px, box.bottom_px + by_px)
    return Box(left, top, right - left, bottom - top)
