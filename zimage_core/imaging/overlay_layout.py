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
_HEART_WEIGHT = 4.0  # a pixel in the middle of the product is worth up to five of its rim
_OUTSIDE_ROOM_RANK = 10.0
_BESIDE = frozenset({"ml", "mr"})
_ACROSS_COST = 10.0  # a card across the middle of a product is the last resort: a crowded top or bottom looks better
_PLACING_ORDER: tuple[CardRole, ...] = ("badge", "price", "caption")

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
        mask = None if alpha is None else (alpha >= _PRODUCT_ALPHA).astype(np.uint8)
        self._maps: tuple[NDArray[np.int32], ...] = ()
        self._costs: dict[Box, float] = {}
        if mask is not None and mask.any():
            reach = 2 * max(1, round(_BREATHING_RATIO * short_side_px)) + 1
            near = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach)))
            # A rim of nothing around it: a product that fills the picture has no other edge to measure from.
            framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
            heart = mask * (1 + np.floor(_HEART_WEIGHT * depth / depth.max())).astype(np.uint8)
            self._maps = tuple(np.asarray(cv2.integral(map_), np.int32) for map_ in (mask, heart, near))

    def covered_ratio(self, box: Box) -> float:
        """Return the share of the product's pixels inside the box, 0..1."""
        return self._share(0, box)

    def cost(self, box: Box) -> float:
        """Return what covering this box costs: any product pixel outweighs any liking, its middle more than its rim.

        Standing closer to the product than it would like costs a little, and only that when nothing is covered.
        """
        if box not in self._costs:
            self._costs[box] = 20.0 * self._share(1, box) + 1.0 * self._share(2, box)
        return self._costs[box]

    def _share(self, number: int, box: Box) -> float:
        if not self._maps:
            return 0.0
        sums = self._maps[number]
        top, bottom, left, right = box.y_px, box.bottom_px, box.x_px, box.right_px
        inside = int(sums[bottom, right]) - int(sums[top, right]) - int(sums[bottom, left]) + int(sums[top, left])
        return inside / int(sums[-1, -1])


def arrange(
    cards: dict[CardRole, Card], width_px: int, height_px: int, product: ProductMap, *, layout: int, text_room: TextRoom
) -> Arrangement | None:
    """Return the cheapest arrangement of cards that do not touch each other; None when they cannot all stand there."""
    search = _Search(cards, width_px, height_px, product, _PREFERENCES[layout % LAYOUT_COUNT], text_room)
    search.place_next({}, 0.0)
    if search.best is None:
        return None
    boxes = {role: box for role, (_, box) in search.best.items()}
    return Arrangement(boxes, sum(product.covered_ratio(box) for box in boxes.values()), search.best_cost)


class _Search:
    """Depth-first over the places of badge, price and caption; a branch that costs more than the best is cut."""

    def __init__(
        self,
        cards: dict[CardRole, Card],
        width_px: int,
        height_px: int,
        product: ProductMap,
        preference: dict[CardRole, tuple[str, ...]],
        text_room: TextRoom,
    ) -> None:
        self.cards = cards
        self.size_px = (width_px, height_px)
        self.product = product
        self.preference = preference
        self.text_room: TextRoom = text_room
        self.best: dict[CardRole, tuple[str, Box]] | None = None
        self.best_cost = float("inf")

    def place_next(self, placed: dict[CardRole, tuple[str, Box]], cost: float) -> None:
        """Try every place for the first card that has none yet."""
        role = next((r for r in _PLACING_ORDER if r in self.cards and r not in placed), None)
        if role is None:
            self.best, self.best_cost = placed, cost
            return
        gap = round(GAP_RATIO * min(self.size_px))
        for place, box in _candidates(role, self.cards[role], *self.size_px, placed):
            here = cost + self.product.cost(box) + 0.01 * _rank(role, place, self.preference, self.text_room)
            if place in _BESIDE and self.product.covered_ratio(box) > 0.0:
                here += _ACROSS_COST
            if here < self.best_cost and all(not _grown(other, gap).overlaps(box) for _, other in placed.values()):
                self.place_next({**placed, role: (place, box)}, here)


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
        rank += _OUTSIDE_ROOM_RANK  # the scene was built with an empty side: use it before any liking of ours
    return rank


def _grown(box: Box, by_px: int) -> Box:
    return Box(box.x_px - by_px, box.y_px - by_px, box.width_px + 2 * by_px, box.height_px + 2 * by_px)
