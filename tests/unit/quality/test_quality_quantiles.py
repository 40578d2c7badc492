"""Quantiles of a few and of many values are numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from zimage_core.quality.quantiles import quantile


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (400,), (13, 7)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.85, 1.0])
def test_it_is_that_of_numpy(shape: tuple[int, ...], share: float) -> None:
    values = np.random.default_rng(5).normal(100.0, 30.0, shape)

    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-9)
    assert quantile(values.astype(np.uint8), share) == pytest.approx(float(np.quantile(values.astype(np.uint8), share)))


def test_no_values_have_none() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile(np.empty(0), 0.5)
