"""Finding what is near among very many signatures, looking closely at few: of products, or of whole pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from zimage_core.quality.duplicates import (
    HUE,
    NEAR,
    PAIRS_AT_ONCE,
    PROPORTIONS,
    TONE,
    picture_distance,
    product_distance,
)
from zimage_core.quality.signatures import Cells, Floats, Rows

MOST_LOOKED_AT: Final = 64
"""Whole pictures that one is compared with at most, at 0.1 ms each. Of 236 pictures of the benchmark's set (seed C),
made on shared stages, what one repeats is among the 9 nearest in large forms (860 pairs; median third, 99 % sixth)."""
_FORMS: Final = 8
_SLACK: Final = 1.5


class NearIndex:
    """Finds what is near among very many products, or whole pictures, looking closely at few.

    Tone, hue and proportions of near ones differ by less than their limits, so only those within them are compared:
    a binary search along lightness, then three comparisons of plain numbers, then the cells of those that are left. No
    near product is missed. A whole picture is compared with the `MOST_LOOKED_AT` that are nearest in their large forms,
    so that a catalogue drawn on one backdrop costs what its pictures cost, and not their pairs.
    """

    def __init__(self, cells: Cells, *, whole: bool = False) -> None:
        """`cells` (n): of product codes, or (`whole`) of picture codes; they are referred to by their row."""
        self._cells = cells
        self._whole = whole
        self._means = _mean_colours(cells, whole=whole)
        self._forms = _large_forms(cells) if whole else None
        self._order = np.argsort(self._means[:, 0], kind="stable")
        self._tones = self._means[self._order, 0]

    def __len__(self) -> int:
        return len(self._cells)

    def near(self, cells: Cells, *, before: int | None = None) -> Iterator[tuple[int, int, float]]:
        """Yield (row of `cells`, row of the index, distance) of every pair that is near, in the order of `cells`.

        `before`: the index's rows from there on are `cells`, and each is compared with those before it alone.
        """
        measure = picture_distance if self._whole else product_distance
        means = _mean_colours(cells, whole=self._whole)
        forms = _large_forms(cells) if self._whole else None
        for row in range(len(cells)):
            rows = self._candidates(means[row], float(cells.proportions[row]))
            if before is not None:
                rows = rows[: np.searchsorted(rows, before + row)]
            if forms is not None:
                rows = self._nearest_in_form(rows, forms[row])
            for start in range(0, len(rows), PAIRS_AT_ONCE):
                some = rows[start : start + PAIRS_AT_ONCE]
                asked = cells.take(np.full(len(some), row, dtype=np.intp))
                found = measure(asked, self._cells.take(some))
                yield from ((row, int(some[n]), float(found[n])) for n in np.flatnonzero(found <= NEAR))

    def _candidates(self, mean: Floats, proportions: float) -> Rows:
        """Return the rows within the limits of tone, hue and proportions, lowest first.

        Means are taken over each product's own cover here and over the common one in `product_distance`: hence the
        slack.
        """
        start, stop = np.searchsorted(self._tones, [mean[0] - _SLACK * TONE, mean[0] + _SLACK * TONE])
        rows = self._order[start:stop]
        rows = rows[np.abs(self._cells.proportions[rows] - proportions) <= PROPORTIONS]
        hue = np.hypot(self._means[rows, 1] - mean[1], self._means[rows, 2] - mean[2])
        return np.sort(rows[hue <= _SLACK * HUE])

    def _nearest_in_form(self, rows: Rows, form: Floats) -> Rows:
        """Return those of the rows that are nearest in large forms, no more than are looked at, lowest first."""
        if self._forms is None or len(rows) <= MOST_LOOKED_AT:
            return rows
        apart = np.abs(self._forms[rows] - form).sum(axis=1)
        return np.sort(rows[np.argpartition(apart, MOST_LOOKED_AT)[:MOST_LOOKED_AT]])


def _large_forms(cells: Cells) -> Floats:
    """Return L* a* b* of each picture in `_FORMS` x `_FORMS` fields, (n, 3 * _FORMS ** 2)."""
    forms = np.empty((len(cells), 3 * _FORMS**2), np.float32)
    for start in range(0, len(cells), PAIRS_AT_ONCE):
        lab = cells.take(np.arange(start, min(start + PAIRS_AT_ONCE, len(cells)))).lab()
        height, width = lab.shape[1] // _FORMS, lab.shape[2] // _FORMS
        fields = lab[:, : height * _FORMS, : width * _FORMS].reshape(len(lab), _FORMS, height, _FORMS, width, 3)
        forms[start : start + len(lab)] = fields.mean(axis=(2, 4)).reshape(len(lab), -1)
    return forms


def _mean_colours(cells: Cells, *, whole: bool) -> Floats:
    """Return the mean L*, a*, b* over each product's own cover, or over all, (n, 3)."""
    means = np.empty((len(cells), 3), np.float32)
    for start in range(0, len(cells), PAIRS_AT_ONCE):
        some = cells.take(np.arange(start, min(start + PAIRS_AT_ONCE, len(cells))))
        cover = np.ones(some.planes.shape[:3], np.float32) if whole else some.cover()
        total = np.maximum(cover.sum(axis=(1, 2)), np.float32(1e-6))
        means[start : start + len(some)] = np.einsum("nij,nijc->nc", cover, some.lab()) / total[:, None]
    return means
