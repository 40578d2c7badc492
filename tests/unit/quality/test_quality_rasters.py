"""Pictures made smaller: means of 2 x 2 pixels, whatever is left over at the end of odd sides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from zimage_core.quality.rasters import Reductions, halved, reduced


@pytest.mark.parametrize("shape", [(8, 6), (9, 7), (8, 6, 3), (9, 7, 4)])
def test_every_pixel_is_the_mean_of_four(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    height, width = shape[0] // 2, shape[1] // 2
    means = pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *shape[2:]).mean(axis=(1, 3))

    small = halved(pixels)

    assert small.shape == (height, width, *shape[2:])
    assert float(np.abs(small - means).max()) <= 0.5


def test_a_single_line_stays_one() -> None:
    assert halved(np.full((1, 5), 77, dtype=np.uint8)).tolist() == [[77, 77]]


@pytest.mark.parametrize(
    ("size", "shape"), [((256, 256), (1024, 1024)), ((150, 200), (800, 600)), ((33, 40), (500, 333))]
)
def test_reducing_in_steps_is_reducing_at_once(size: tuple[int, int], shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(4).random(shape, dtype=np.float32) * np.float32(255.0)
    pixels = cv2.GaussianBlur(noise, (0, 0), 6.0)
    at_once = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)

    assert np.abs(reduced(pixels, *size) - at_once).max() < 0.5
    assert np.abs(reduced(pixels.astype(np.uint8), *size) - (at_once - 0.5)).max() < 2.0


@pytest.mark.parametrize("shape", [(1024, 1024), (768, 768), (800, 600), (333, 500), (20, 20)])
@pytest.mark.parametrize("size", [(256, 256), (150, 200), (512, 512)])
def test_what_is_remembered_is_what_would_be_made_anew(shape: tuple[int, int], size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    reductions = Reductions(pixels)

    assert reductions.whole is pixels
    assert np.array_equal(reductions.halved(2), halved(halved(pixels)))
    for _ in range(2):
        assert np.array_equal(reductions.reduced(*size), reduced(pixels, *size))
    assert reductions.halved(1) is reductions.halved(1)
