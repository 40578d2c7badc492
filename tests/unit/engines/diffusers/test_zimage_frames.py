"""Frames that are not pictures, the watchman who counts them, and the gate before batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from zimage_core.engines.diffusers.frames import Frame, Watchman, what_is_wrong
from zimage_core.engines.diffusers.gate import GATE_SIDE_PX, ask_gate
from zimage_core.errors import EngineUnavailable


def noise(seed: int, side_px: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def flat(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (Frame(noise(1), finite=False), "not numbers"),
        (Frame(flat(0), finite=True), "a black frame"),
        (Frame(flat(127), finite=True), "a uniform frame (mean level 127)"),
        (Frame(flat(127) + noise(1) // 64, finite=True), "a uniform frame"),
    ],
)
def test_frames_that_show_nothing_are_not_believed(frame: Frame, said: str) -> None:
    assert said in str(what_is_wrong(frame))


def test_a_picture_is_believed_even_where_it_is_mostly_white() -> None:
    rgb = flat(255)
    rgb[20:40, 20:40] = (180, 40, 40)
    assert what_is_wrong(Frame(rgb, finite=True)) is None


def test_so_many_bad_frames_in_a_row_stop_the_engine_with_the_likely_cause() -> None:
    watchman = Watchman(3, precision="bf16", quantization="fp8")
    for wrong in ("drew a black frame", "drew a black frame", None, "drew a black frame", "drew a black frame"):
        watchman.saw(wrong)
        watchman.ensure_trusted()
    watchman.saw("drew a black frame")
    with pytest.raises(EngineUnavailable) as stopped:
        watchman.ensure_trusted()
    assert "3 pictures in a row" in stopped.value.sentence
    assert "bf16 and fp8 weights" in stopped.value.sentence
    assert "precision=fp32" in stopped.value.sentence
    assert stopped.value.retryable, "the shots wait for a mended engine, they are not given up"


def painter(spoil: float, *, mixed_up: bool = False, finite: bool = True):
    """Draws noise by seed; in a batch it adds rounding noise, or hands the first picture's seed to all."""

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Frame]:
        used = [seeds[0]] * len(seeds) if mixed_up else list(seeds)
        rounding = spoil if len(seeds) > 1 else 0.0
        return [
            Frame(np.clip(noise(s, GATE_SIDE_PX).astype(float) + rounding, 0, 255).astype(np.uint8), finite)
            for s in used
        ]

    return draw


def test_rounding_passes_the_gate_and_says_how_much_it_was() -> None:
    found = ask_gate(painter(0.0), "fp32")
    assert found.safe
    assert found.moved_levels == 0.0
    assert ask_gate(painter(1.0), "bf16").safe
    assert not ask_gate(painter(1.0), "fp32").safe, "fp32 has no excuse for a whole level"


def test_mixed_up_seeds_never_pass_the_gate() -> None:
    found = ask_gate(painter(0.0, mixed_up=True), "bf16")
    assert not found.safe
    assert "Batches are not drawn" in found.sentence


def test_pictures_that_are_not_finite_prove_nothing() -> None:
    assert not ask_gate(painter(0.0, finite=False), "bf16").safe
