"""Is the product sharp? Measured as the width of its steepest edges, which noise cannot fake.

Measures of high-frequency energy (Laplacian variance and its kin) pass blurred pictures that are noisy and fail clean
studio shots. The width of an edge (its height over its steepest slope) does neither. The steepest edges are asked: a
sharp picture has narrow ones beside soft folds, shading and weave; in a blurred one no edge is narrow.

Only the product votes (a crisp backdrop or badge must not hide a soft product), measured before the overlay is drawn.
Where the product was not placed by us it may not be seen, and then the whole picture votes, and what looks painted over
the picture (a badge) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np

from zimage_core.domain import Box, Finding
from zimage_core.imaging.pixels import Plane
from zimage_core.quality import quantiles
from zimage_core.quality.edges import DIRECTIONS, PAD_PX, REACH_PX, Edges, Floats, edge_rich_tiles, edges_in
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.plates import painted_plates
from zimage_core.quality.rubric import Rubric

NAME = "sharpness"

_STEEPEST_SHARE: Final = 0.15
_NARROW_QUANTILE: Final = 0.35
_MIN_DIRECTION_EDGES: Final = 60
_MIN_DIRECTION_SHARE: Final = 0.02
_MIN_HEIGHT_SHARE: Final = 0.4
_MIN_INNER_EDGES: Final = 1000
_INNER_STEEPEST_SHARE: Final = 0.1
_INNER_NARROW_QUANTILE: Final = 0.25
_INNER_MARGIN: Final = 0.06  # reflections and shading make a sharp product's inner edges softer than its outline
_SHOWN_RANGE_LEVELS: Final = 24  # between the 2nd and the 98th percentile: more than a soft shadow on its ground
_LEAST_UNPAINTED: Final = 0.1  # of what was seen before the backdrop
_WORST_MARGIN: Final = 0.06  # sharp photos keep their worst direction within this of all edges; motion blur does not

_SHOWN_ALPHA: Final = 16


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the sharpness of the product's edges in 1/px, and the softest tile's box where it is too low."""
    rule = rubric.checks.sharpness
    region, unpainted = _regions(evidence)
    if cv2.countNonZero(region) == 0:
        return (not_applicable(NAME, "No part of the product is free of text plates."),)
    tiles, edges = _edges(evidence, unpainted, rule.tiles)
    if (
        edges.count < _MIN_DIRECTION_EDGES
        and unpainted is not region
        and not _shows_something(evidence.grey, unpainted)
    ):
        tiles, edges = _edges(evidence, region, rule.tiles)  # all there is looks painted: it is the product
    if edges.count < rule.min_edges:
        sentence = (
            f"The product shows no edge to judge sharpness by ({edges.count} edge pixels, {rule.min_edges} needed)."
        )
        return (measured(rubric, NAME, 0.0, "1/px", sentence),)
    value = product_sharpness(edges)
    limit_px = 1.0 / rubric.limit(NAME)
    width = f"{1.0 / value:.1f} px wide (sharp: up to {limit_px:.1f} px)"
    if value >= rubric.limit(NAME):
        return (measured(rubric, NAME, value, "1/px", f"The product is sharp: its edges are {width}."),)
    sentence = f"The product is blurred: its edges are {width}."
    return (measured(rubric, NAME, value, "1/px", sentence, box=_softest(tiles, edges, rule.min_edges)),)


def _edges(evidence: Evidence, region: Plane, count: int) -> tuple[list[Box], Edges]:
    grey, noise = evidence.grey, evidence.noise_levels
    placed_by_us = None if evidence.placed is None else evidence.product
    product = None if placed_by_us is None else placed_by_us.view(np.uint8)
    tiles = edge_rich_tiles(evidence.greys.halved(2), region, count)
    edges = edges_in(grey, region, product, tiles, noise)
    if edges.count < _MIN_DIRECTION_EDGES:
        edges = edges_in(grey, region, product, tiles, noise, faint=True)
    return tiles, edges


def _regions(evidence: Evidence) -> tuple[Plane, Plane]:
    """Return where edges may vote (> 0), and the same without what looks painted over it.

    The product and its outline, else the whole frame; never a text plate.
    """
    alpha, texts = evidence.product_alpha, [text.plate for text in evidence.given.placed_texts]
    if evidence.placed is not None and alpha is not None:
        region = _without(_grown(alpha), texts)
        return region, region
    frame = np.full(evidence.grey.shape, 255, dtype=np.uint8)
    seen = frame if alpha is None else _grown(alpha)
    region = _without(seen, texts)
    if cv2.countNonZero(region) < _LEAST_UNPAINTED * cv2.countNonZero(seen):
        region = _without(frame, texts)  # nothing but texts was found before the backdrop: the product is paler
    plates = painted_plates(evidence.given.attempt_rgb)
    if not plates:
        return region, region
    unpainted = _without(region, plates)
    if cv2.countNonZero(unpainted) < _LEAST_UNPAINTED * cv2.countNonZero(region):
        unpainted = _without(frame, (*texts, *plates))  # nothing but plates was seen: the product is paler
    return region, unpainted


def _grown(alpha: Plane) -> Plane:
    """Return where the product and its outline show (255, else 0)."""
    seen = np.zeros_like(alpha)
    near = window(Box(*cv2.boundingRect(alpha)), alpha.shape[1], alpha.shape[0], grow_px=PAD_PX)
    grown = cv2.dilate(alpha[near], np.ones((5, 5), np.uint8))
    seen[near] = cv2.threshold(grown, _SHOWN_ALPHA - 1, 255, cv2.THRESH_BINARY)[1]
    return seen


def _without(region: Plane, boxes: Iterable[Box]) -> Plane:
    """Return a region with some boxes and what their edges reach left out."""
    kept = region.copy()
    for box in boxes:
        kept[window(box, region.shape[1], region.shape[0], grow_px=REACH_PX)] = 0
    return kept


def _shows_something(grey: Plane, region: Plane) -> bool:
    """Tell whether there is more than even ground in a region (> 0): a product without edges is a blurred one."""
    levels = grey[::4, ::4][region[::4, ::4] > 0]
    return levels.size > 0 and float(np.ptp(np.percentile(levels, (2, 98)))) >= _SHOWN_RANGE_LEVELS


def product_sharpness(edges: Edges) -> float:
    """Return the sharpness of all edges (1/px), held down by that of the inner ones where there are enough to speak."""
    value = edge_sharpness(edges)
    if int(edges.inner.sum()) >= _MIN_INNER_EDGES and not edges.inner.all():
        own = edge_sharpness(edges.only(edges.inner), _INNER_STEEPEST_SHARE, _INNER_NARROW_QUANTILE)
        value = min(value, own + _INNER_MARGIN)
    return value


def edge_sharpness(edges: Edges, share: float = _STEEPEST_SHARE, quantile: float = _NARROW_QUANTILE) -> float:
    """Return 1 / edge width (1/px) of the steepest edges, averaged over all and the worst direction (motion blur).

    `share` of the edges are steep enough to count, the `quantile` of their widths is taken. Within a direction only
    edges of some height vote: blur lowers an edge's slope but hardly its height, so what is low is fine texture (a
    weave), not a blurred outline.
    """
    widths, slopes = edges.widths, edges.slopes
    steep = slopes >= quantiles.quantile(slopes, 1.0 - share)
    overall = 1.0 / max(1.0, quantiles.quantile(widths[steep], quantile))
    tall = edges.heights >= _MIN_HEIGHT_SHARE * quantiles.quantile(edges.heights[steep], 0.5)
    enough = max(_MIN_DIRECTION_EDGES, _MIN_DIRECTION_SHARE * int(tall.sum()))
    worst = overall
    for direction in range(DIRECTIONS):
        here = tall & (edges.directions == direction)
        if int(here.sum()) >= enough:
            worst = min(worst, _narrowness(widths[here], slopes[here], share, quantile))
    return min((overall + worst) / 2, worst + _WORST_MARGIN)


def _narrowness(widths: Floats, slopes: Floats, share: float, quantile: float) -> float:
    steepest = widths[slopes >= quantiles.quantile(slopes, 1.0 - share)]
    return 1.0 / max(1.0, quantiles.quantile(steepest, quantile))


def _softest(tiles: list[Box], edges: Edges, min_edges: int) -> Box | None:
    known = []
    for number in range(len(tiles)):
        here = edges.tiles == number
        if int(here.sum()) >= min_edges:
            narrow = _narrowness(edges.widths[here], edges.slopes[here], _STEEPEST_SHARE, _NARROW_QUANTILE)
            known.append((narrow, number))
    return tiles[min(known)[1]] if known else None
