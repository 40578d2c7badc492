"""Counts with intervals: Wilson's for shares, the bootstrap over photos for AUC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959964
_REPEATS = 300
Numbers = NDArray[np.float64]


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, _Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    reach = _Z95 / (1 + z2 / total) * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def share_text(hits: int, total: int) -> str:
    """Return `3 of 200 = 1.5 % (0.5-4.3)`."""
    low, high = wilson(hits, total)
    return f"{hits} of {total} = {100 * hits / max(1, total):.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def auc(good: Numbers, bad: Numbers) -> float:
    """Return the chance that a good one has the higher value, ties as a half (Mann-Whitney)."""
    if good.size == 0 or bad.size == 0:
        return float("nan")
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left")
    upto = np.searchsorted(ordered, good, side="right")
    return float((below + upto).mean() / (2 * bad.size))


def auc_interval(good: Sequence[tuple[str, float]], bad: Sequence[tuple[str, float]]) -> tuple[float, float, float]:
    """Return (AUC, low, high): the 95 % interval by drawing photos anew, all values of one photo together."""
    names = sorted({name for name, _ in (*good, *bad)})
    index = {name: k for k, name in enumerate(names)}
    sides = []
    for values in (good, bad):
        by_photo: list[list[float]] = [[] for _ in names]
        for name, value in values:
            by_photo[index[name]].append(value)
        sides.append([np.asarray(found, np.float64) for found in by_photo])
    whole = auc(np.concatenate(sides[0]), np.concatenate(sides[1]))
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(_REPEATS):
        picked = rng.integers(0, len(names), len(names))
        drawn.append(auc(*(np.concatenate([side[k] for k in picked]) for side in sides)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return whole, float(low), float(high)
