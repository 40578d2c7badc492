"""Cheap pictures that pass grading and repeat no other: what a catalogue of different products looks like."""

from __future__ import annotations

import numpy as np

from zimage_core.engines.base import RenderRequest

Rgb = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def picture(request: RenderRequest) -> Rgb:
    """Return a thing of a few blocks, none of which another seed has so, crisp before a soft backdrop."""
    rng = np.random.default_rng(request.seed)
    rows, columns = np.mgrid[0 : request.height_px, 0 : request.width_px]
    down, across = rows / request.height_px, columns / request.width_px
    light = (
        rng.uniform(170, 245, 3) - down[..., None] * rng.uniform(5, 20, 3) - across[..., None] * rng.uniform(0, 9, 3)
    )
    rgb = light.astype(np.uint8)
    count_down, count_across = rng.integers(3, 6, 2)
    left, top = rng.uniform(0.16, 0.24, 2)
    wide, high = rng.uniform(0.5, 0.62, 2)
    colours = rng.integers(15, 150, (count_down, count_across, 3)).astype(np.uint8)
    at_down = np.clip((down - top) / high * count_down, -1, count_down).astype(int)
    at_across = np.clip((across - left) / wide * count_across, -1, count_across).astype(int)
    there = (down >= top) & (down < top + high) & (across >= left) & (across < left + wide)
    rgb[there] = colours[at_down[there], at_across[there]]
    return rgb
