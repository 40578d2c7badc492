"""May pictures be drawn in batches? Asked once after loading, by drawing the same two alone and together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zimage_core.engines.diffusers.frames import Frame

GATE_SEEDS: Final = (20260101, 20260102)
GATE_PROMPTS: Final = ("a red mug on a wooden table", "a blue leather bag, studio light")
GATE_SIDE_PX: Final = 256

TOLERANCE_LEVELS: Final = {"fp32": 0.5, "bf16": 3.0}
"""Mean absolute difference in 8-bit levels between a picture drawn alone and in a batch. Batch size changes the order
of sums only: fp32 pixels differ by at most one level, bf16 latents by 0.1 to 0.3 % rms. Mixed-up seeds or captions,
which this gate is for (they have happened in other servers), differ by 20 levels and more."""


@dataclass(frozen=True, slots=True)
class GateFinding:
    """Whether batches may be drawn, how far a picture moved, and the sentence that says so."""

    safe: bool
    moved_levels: float
    sentence: str


def ask_gate(draw: Callable[[Sequence[str], Sequence[int]], Sequence[Frame]], precision: str) -> GateFinding:
    """Return whether drawing two pictures at once gives what drawing each alone gives.

    `draw` makes one batch of GATE_SIDE_PX squares from prompts and seeds. Frames that are not finite are no proof.
    """
    together = draw(GATE_PROMPTS, GATE_SEEDS)
    alone = [draw([prompt], [seed])[0] for prompt, seed in zip(GATE_PROMPTS, GATE_SEEDS, strict=True)]
    if not all(frame.finite for frame in (*together, *alone)):
        return GateFinding(False, float("inf"), "Batches are not drawn: the trial pictures were not finite.")
    moved = max(
        float(np.abs(one.rgb.astype(np.int16) - other.rgb.astype(np.int16)).mean())
        for one, other in zip(alone, together, strict=True)
    )
    limit = TOLERANCE_LEVELS[precision]
    if moved > limit:
        return GateFinding(
            False,
            moved,
            f"Batches are not drawn: a picture drawn in a batch differs from itself alone by {moved:.2f} levels on "
            f"average, and {limit:g} is what {precision} explains.",
        )
    return GateFinding(True, moved, f"Batches are safe: alone and together differ by {moved:.3f} levels on average.")
