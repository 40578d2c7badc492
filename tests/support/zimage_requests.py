"""Requests and engines for tests of Z-Image: small pictures of a real product, on the tiny checkpoint."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from zimage_core.domain import Change, Light, Mode, Prompt, Scene, Stage, attempt_id_of, seed_of
from zimage_core.engines.base import RenderRequest
from zimage_core.imaging.cutout import CutOut, cut_out
from zimage_core.imaging.pixels import read_photo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "products"
STAGE = Stage("sweep", "paper", ("#d8c7b0", "#f3ece2"), Light(azimuth_deg=-40, elevation_deg=50))


@cache
def product() -> CutOut:
    made = cut_out(read_photo(EXAMPLES / "lipstick.jpg"))
    assert isinstance(made, CutOut)
    return made


def request_for(
    mode: Mode = "text",
    shot: str = "shot",
    *,
    number: int = 1,
    size: tuple[int, int] = (128, 96),
    text: str = "A lipstick on a paper sweep, soft light.",
    stage: Stage = STAGE,
) -> RenderRequest:
    return RenderRequest(
        attempt_id=attempt_id_of(shot, number, Change()),
        sku="LIP-021",
        shot_id=shot,
        number=number,
        mode=mode,
        prompt=Prompt(text, "text, watermark", "en", ()),
        scene=Scene("studio", "beauty", mode, stage, "50 mm", "v1", "test.md"),
        change=Change(),
        seed=seed_of(shot, number),
        width_px=size[0],
        height_px=size[1],
        reference=None if mode == "text" else product(),
    )
