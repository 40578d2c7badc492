"""The detail step: tiles that cover, fade into each other without a seam, and have seeds of their own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from zimage_core.engines.diffusers.detail import add_detail, tile_seed, tiles_of
from zimage_core.engines.diffusers.frames import Frame


@pytest.mark.parametrize("size", [(1024, 1024), (2048, 2048), (1728, 2304), (2048, 3072), (512, 4096), (1040, 1024)])
def test_tiles_cover_every_pixel_and_overlap_their_neighbours(size: tuple[int, int]) -> None:
    width_px, height_px = size
    covered = np.zeros((height_px, width_px), dtype=int)
    tiles = tiles_of(width_px, height_px)
    for tile in tiles:
        assert tile.width_px % 16 == 0
        assert tile.height_px % 16 == 0
        assert tile.right_px <= width_px
        assert tile.bottom_px <= height_px
        covered[tile.y_px : tile.bottom_px, tile.x_px : tile.right_px] += 1
    assert covered.min() >= 1
    across = sorted({tile.x_px for tile in tiles})
    assert all(left + 1024 - right >= 128 for left, right in itertools.pairwise(across))


def test_no_two_tiles_share_their_noise() -> None:
    seeds = {tile_seed(seed, index) for seed in (1, 2) for index in range(50)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_model_that_changes_nothing_leaves_the_enlarged_picture_without_a_seam() -> None:
    rows, columns = np.mgrid[0:96, 0:128]
    picture = np.stack([rows * 2, columns, 255 - columns], axis=2).astype(np.uint8)
    seen: list[int] = []

    def keep(pictures: Sequence[np.ndarray], seeds: Sequence[int]) -> list[Frame]:
        seen.extend(seeds)
        return [Frame(picture, finite=True) for picture in pictures]

    tiled = add_detail(picture, 7, keep, side_px=96, overlap_px=32)
    whole = add_detail(picture, 7, keep, side_px=256, overlap_px=32)
    assert tiled.rgb.shape == (192, 256, 3)
    assert np.abs(tiled.rgb.astype(int) - whole.rgb).max() <= 1
    assert len(seen) == len(set(seen[:-1])) + 1
    assert tiled.finite


def test_one_tile_that_is_not_finite_spoils_the_picture() -> None:
    calls: list[int] = []

    def draw(pictures: Sequence[np.ndarray], seeds: Sequence[int]) -> list[Frame]:
        calls.append(len(pictures))
        return [Frame(picture, finite=len(calls) != 2) for picture in pictures]

    assert not add_detail(np.zeros((64, 64, 3), np.uint8), 1, draw, side_px=64, overlap_px=16).finite
