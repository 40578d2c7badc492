"""The size of an attempt that is made smaller because its photo holds no more."""

import pytest

from zimage_core.domain import Change, attempt_size


@pytest.mark.parametrize(
    ("planned", "smaller"), [((1600, 1600), (1200, 1200)), ((1024, 1024), (768, 768)), ((16, 16), (16, 16))]
)
def test_smaller_is_three_quarters_on_the_grid(planned: tuple[int, int], smaller: tuple[int, int]):
    assert attempt_size(*planned, Change()) == planned
    assert attempt_size(*planned, Change(size="smaller")) == smaller


def test_the_shape_stays_within_what_channels_crop():
    width, height = attempt_size(864, 1152, Change(size="smaller"))
    assert abs(width / height - 0.75) < 0.02
