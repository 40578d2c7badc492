"""The product's own pixels are on top of what the model draws: measured by the check that judges every picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from zimage_requests import product, request_for

from zimage_core.engines.base import Rendered
from zimage_core.engines.diffusers import create
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.evidence import Evidence, GradeInput
from zimage_core.quality.grade import ask
from zimage_core.quality.reading import default_reader
from zimage_core.quality.rubric import load_rubric

SIZE = (384, 384)


def fidelity(rendered: Rendered, picture: Rgb, mode: Any) -> dict[str, tuple[bool, float]]:
    """Return passed and score of each fidelity finding about this picture."""
    request = request_for(mode, size=SIZE)
    given = GradeInput(
        attempt_id=rendered.attempt_id,
        finished_key="f",
        sku=request.sku,
        scene=request.scene,
        mode=mode,
        attempt_rgb=picture,
        finished_rgb=picture,
        placed_texts=(),
        cutout=product(),
        placement=rendered.placement,
        palette=(),
        width_px=SIZE[0],
        height_px=SIZE[1],
    )
    evidence, rubric = Evidence(given, default_reader()), load_rubric(None)
    check = next(check for check in CHECKS if check.name.startswith("fidelity"))
    return {f.check: (f.passed, f.score or 0.0) for f in ask(check, evidence, rubric)}


@pytest.mark.parametrize("mode", ["stage", "inpaint"])
def test_the_check_finds_the_product_of_the_photo_and_misses_it_where_the_model_drew_over_it(
    tiny_checkpoint: Path, tmp_path: Path, mode: Any
) -> None:
    engine = create({"model": str(tiny_checkpoint), "cache": str(tmp_path)})
    (rendered,) = engine.render([request_for(mode, size=SIZE)])
    engine.close()
    assert isinstance(rendered, Rendered)
    found = fidelity(rendered, rendered.rgb, mode)
    assert found
    assert all(passed and score > 0.95 for passed, score in found.values()), found

    noise = np.random.default_rng(1).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
    drawn_over = np.asarray(cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    assert not all(passed for passed, _ in fidelity(rendered, drawn_over, mode).values())
