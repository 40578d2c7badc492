"""Where overlay cards go: the arrangement that leaves the product uncovered, else the one that covers least of it.

Candidates are the corners, the middles of the edges, and for a caption also the places beside the price and the badge.
Every arrangement keeps the safe margin and a gap between cards. Cards are tried at full size first and made smaller
only when that is what it takes to leave the product alone. `layout` chooses the preferred places (and the shape of the
badge, see `overlay`), so the next layout really is another picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.overlay_paint import Card

CardRole = Literal["badge", "price", "caption"]
TextRoom = Literal["none", "top", "left", "right", "bottom"]

SAFE_MARGIN_RATIO = 0.04  # of the short side; broadcast "graphics safe" is 5 %, marketplaces crop 1-2 %
GAP_RATIO = 0.02
_PRODUCT_ALPHA = 32  # a pixel at least this opaque belongs to the product
_BREATHING_RATIO = 0.015  # cards would rather stay this far from the product

# Preferred places per layout, best first; a place that is not named ranks after these.
_PREFERENCES: tuple[dict[CardRole, tuple[str, ...]], ...] = (
    {"badge": ("tl", "tr", "tc"), "price": ("bl", "br", "bc"), "caption": ("price", "bc", "badge", "tc")},
    {"badge": ("tr", "tl", "tc"), "price": ("br", "bl", "bc"), "caption": ("price", "bc", "badge", "tc")},
    {"badge": ("tl", "tr", "tc"), "price": ("br", "bl", "bc"), "caption": ("badge", "tc", "price", "bc")},
    {"badge": ("tc", "tl", "tr"), "price": ("bc", "bl", "br"), "caption": ("price", "badge", "bc", "tc")},
)
LAYOUT_COUNT = len(_PREFERENCES)
_PLACES = ("tl", "tc", "tr", "ml", "mr", "bl", "bc", "br")
_ROOM_PLACES: dict[TextRoom, frozenset[str]] = {
    "none": frozenset(),
    "top": frozenset({"tl", "tc", "tr"}),
    "bottom": frozenset({"bl", "bc", "br"}),
    "left": frozenset({"tl", "ml", "bl"}),
    "right": frozenset({"tr", "mr", "br"}),
}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The upper left corner of every card, and what the arrangement costs (comparable between sizes of the same cards).

    `covered_ratio` is the share of the product's pixels under the cards; 0 when there is no product to cover.
    """

    boxes: dict[CardRole, Box]
    covered_ratio: float
    cost: float


class ProductMap:
    """Answers how much of the product lies inside a box, from (H, W) uint8 alpha; None = no product known."""

    def __init__(self, alpha: NDArray[np.uint8] | None, short_side_px: int) -> None:
        self._sums: NDArray[np.int32] | None = None
        self._near_sums: NDArray[np.int32] | None = None
        self.total = 0
        if alpha is not None:
            mask = (alpha >= _PRODUCT_ALPHA).astype(np.uint8)
            reach = 2 * max(1, round(_BREATHING_RATIO * short_side_px)) + 1
            near = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach)))
            self._sums = np.asarray(cv2.integral(mask), np.int32)
            self._near_sums = np.asarray(cv2.integral(near), np.int32)
            self.total = int(self._sums[-1, -1])

    def covered_ratio(self, box: Box) -> float:
        """Return the share of the product's pixels inside the box, 0..1."""
        return _sum(self._sums, box) / self.total if self.total else 0.0

    def crowded_ratio(self, box: Box) -> float:
        """Return the same for the product grown by the distance that cards would rather keep."""
        return _sum(self._near_sums, box) / self.total if self.total else 0.0


def arrange(
    cards: dict[CardRole, Card], width_px: int, height_px: int, product: ProductMap, *, layout: int, text_room: TextRoom
) -> Arrangement | None:
    """Return the cheapest arrangement of cards that do not touch each other; None when they cannot all stand there."""
    preference = _PREFERENCES[layout % LAYOUT_COUNT]
    best: Arrangement | None = None
    for placed in _arrangements(cards, width_px, height_px, {}, {}):
        boxes = {role: box for role, (_, box) in placed.items()}
        covered = sum(product.covered_ratio(box) for box in boxes.values())
        crowded = sum(product.crowded_ratio(box) for box in boxes.values())
        liked = sum(_rank(role, place, preference, text_room) for role, (place, _) in placed.items())
        # One pixel of product outweighs any liking; liking decides between arrangements that leave it alone.
        cost = 20.0 * covered + 1.0 * crowded + 0.01 * liked
        if best is None or cost < best.cost:
            best = Arrangement(boxes, covered, cost)
    return best


def _arrangements(
    cards: dict[CardRole, Card],
    width_px: int,
    height_px: int,
    placed: dict[CardRole, tuple[str, Box]],
    _: dict[str, None],
) -> Iterator[dict[CardRole, tuple[str, Box]]]:
    role = next((r for r in ("badge", "price", "caption") if r in cards and r not in placed), None)
    if role is None:
        yield dict(placed)
        return
    short = min(width_px, height_px)
    gap = round(GAP_RATIO * short)
    for place, box in _candidates(role, cards[role], width_px, height_px, placed):
        if all(not _grown(other, gap).overlaps(box) for _, other in placed.values()):
            yield from _arrangements(cards, width_px, height_px, {**placed, role: (place, box)}, {})


def _candidates(
    role: CardRole, card: Card, width_px: int, height_px: int, placed: dict[CardRole, tuple[str, Box]]
) -> Iterator[tuple[str, Box]]:
    margin = round(SAFE_MARGIN_RATIO * min(width_px, height_px))
    gap = round(GAP_RATIO * min(width_px, height_px)) + 1
    free_x, free_y = width_px - card.width_px, height_px - card.height_px
    if free_x < 2 * margin or free_y < 2 * margin:
        return
    columns = {"l": margin, "c": free_x // 2, "r": free_x - margin}
    rows = {"t": margin, "m": free_y // 2, "b": free_y - margin}
    for place in _PLACES:
        row, column = ("m", place[1]) if place[0] == "m" else (place[0], place[1])
        yield place, Box(columns[column], rows[row], card.width_px, card.height_px)
    if role != "caption":
        return
    for other in ("price", "badge"):
        if other not in placed:
            continue
        place, anchor = placed[other]
        x = {"l": anchor.x_px, "c": free_x // 2, "r": anchor.right_px - card.width_px}[place[1]]
        inward = anchor.y_px - gap - card.height_px if place[0] == "b" else anchor.bottom_px + gap
        if margin <= x <= free_x - margin and margin <= inward <= free_y - margin:
            yield other, Box(x, inward, card.width_px, card.height_px)


def _rank(role: CardRole, place: str, preference: dict[CardRole, tuple[str, ...]], text_room: TextRoom) -> float:
    order = preference[role]
    rank = float(order.index(place)) if place in order else float(len(order) + 1)
    if text_room != "none" and place in _PLACES and place not in _ROOM_PLACES[text_room]:
        rank += 4.0  # the scene was built with an empty side: use it before any liking of ours
    return rank


def _grown(box: Box, by_px: int) -> Box:
    return Box(box.x_px - by_px, box.y_px - by_px, box.width_px + 2 * by_px, box.height_px + 2 * by_px)


def _sum(sums: NDArray[np.int32] | None, box: Box) -> int:
    if sums is None:
        return 0
    top, bottom, left, right = box.y_px, box.bottom_px, box.x_px, box.right_px
    return int(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])
