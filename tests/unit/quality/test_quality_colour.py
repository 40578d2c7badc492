from __future__ import annotations

import numpy as np
import pytest

from zimage_core.errors import QualityError
from zimage_core.quality.colour import contrast_ratio, delta_e, lab_of, lab_of_hex, lightness, luminance

# from the test data of Sharma, Wu, Dalal 2005, table 1
PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "wanted"), PAIRS)
def test_ciede2000_agrees_with_its_published_test_data(first, second, wanted) -> None:
    one, two = np.array(first), np.array(second)
    assert float(delta_e(one, two)) == pytest.approx(wanted, abs=1e-4)
    assert float(delta_e(two, one)) == pytest.approx(wanted, abs=1e-4)


def test_lab_of_known_colours() -> None:
    assert lab_of(np.array([255, 255, 255], np.uint8)) == pytest.approx([100.0, 0.0, 0.0], abs=0.05)
    assert lab_of_hex("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.1)
    assert lightness(119) == pytest.approx(50.0, abs=0.3)


def test_contrast_of_black_on_white_is_21() -> None:
    white, black = luminance(np.array([[255] * 3, [0] * 3], np.uint8))
    assert contrast_ratio(float(white), float(black)) == pytest.approx(21.0)
    assert contrast_ratio(float(black), float(white)) == pytest.approx(21.0)


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345g", "123456", ""])
def test_a_colour_of_another_form_is_refused(colour) -> None:
    with pytest.raises(QualityError, match="not a colour"):
        lab_of_hex(colour)
