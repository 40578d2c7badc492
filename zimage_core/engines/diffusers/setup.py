"""What is known of an engine before it loads anything: its files and their hash, its device, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch

from zimage_core.domain import EngineInfo, Mode, content_id
from zimage_core.engines.diffusers import MODES
from zimage_core.engines.diffusers.cards import card_of, device_named, dtype_for
from zimage_core.engines.diffusers.gate import TOLERANCE_LEVELS
from zimage_core.engines.diffusers.header import read_header
from zimage_core.engines.diffusers.memory import Footprint, choose_quantization
from zimage_core.engines.diffusers.options import Options, Quantization, read_options
from zimage_core.engines.diffusers.weights import ModelFiles, find_model, weights_hash

ENGINE_VERSION: Final = "1"
"""Raise it whenever a change alters any pixel beyond rounding: attempts of another version are another engine's."""
MAX_SIDE_PX: Final = 2048
"""The model's card names sizes up to 2048; above it repeats its content."""
DETAIL_MAX_SIDE_PX: Final = 4096
BATCH_LIMIT: Final = 64
USUAL_CACHE: Final = Path("~/.cache/zimage")
TOKENS_PER_IMAGE: Final = 4224
"""1024 x 1024 and a caption of 128 tokens."""
ATTENTION_SHARE: Final = 1.18
"""Attention's part on top of the weights' products at that size: 8.7 of 56.6 TFLOP a step."""
RATES_FLOPS: Final = {"cuda": 300e12, "cpu": 50e9}
"""What a step reaches, for forecasts only: about half of an H100's best, and one CPU core."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything decided before loading. `quantization` is what the weights will be held in, asked for or needed."""

    options: Options
    files: ModelFiles
    device: torch.device
    dtype: torch.dtype
    quantization: Quantization
    footprint: Footprint
    info: EngineInfo

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        """The type of the weights, as people call it."""
        return "fp32" if self.dtype == torch.float32 else "bf16"


def prepare(given: Mapping[str, str]) -> Setup:
    """Return what these options amount to; the weights are read once, for their hash, and not loaded.

    Raises ConfigurationError for options, files or a device that cannot work.
    """
    options = read_options(given)
    device = device_named(options.device)
    dtype = dtype_for(options.precision, device)
    files = find_model(options)
    footprint = footprint_of(files, dtype)
    quantization = choose_quantization(options, footprint, card_of(device))
    fingerprint = _fingerprint(options, files, dtype, quantization)
    info = _info(options, device, dtype, footprint, fingerprint)
    return Setup(options, files, device, dtype, quantization, footprint, info)


def footprint_of(files: ModelFiles, dtype: torch.dtype) -> Footprint:
    """Return the bytes that each part takes in this type, from the headers of its files; a GGUF stays as it is."""
    if files.kind == "gguf":
        transformer_bytes = sum(path.stat().st_size for path in files.transformer)
    else:
        transformer_bytes = _values(files.transformer) * dtype.itemsize
    return Footprint(
        transformer_bytes,
        _values(sorted((files.folder / "text_encoder").glob("*.safetensors"))) * dtype.itemsize,
        _values(sorted((files.folder / "vae").glob("*.safetensors"))) * dtype.itemsize,
    )


def _values(paths: tuple[Path, ...] | list[Path]) -> int:
    """Return how many numbers these files hold."""
    total = 0
    for path in paths:
        for tensor in read_header(path).tensors.values():
            count = 1
            for length in tensor.shape:
                count *= length
            total += count
    return total


def _fingerprint(options: Options, files: ModelFiles, dtype: torch.dtype, quantization: Quantization) -> str:
    """Return the name of all that decides pixels. Device, profile, batch and path do not: they change rounding only."""
    cache = (options.cache or USUAL_CACHE).expanduser()
    decides = (
        ENGINE_VERSION,
        weights_hash(files.all_files, cache),
        # whose strength it is counts, and the hash of all files has no order
        [(weights_hash([adapter.path], cache), adapter.weight) for adapter in options.lora],
        options.variant,
        options.steps,
        options.guidance,
        str(dtype),
        quantization if quantization != "fp8" else f"fp8 {options.path}",  # two roundings of the same name
        None if options.controlnet is None else [options.control, options.control_scale],
        [options.detail, options.detail_strength] if options.detail else None,
        [options.long_prompt, options.max_prompt_tokens],
    )
    return f"diffusers-{content_id('diffusers', *decides)}"


def _info(
    options: Options, device: torch.device, dtype: torch.dtype, footprint: Footprint, fingerprint: str
) -> EngineInfo:
    seconds = forecast_s(options, device, footprint.transformer_bytes // dtype.itemsize)
    modes: tuple[Mode, ...] = ("packshot", *MODES) if options.packshots else MODES
    area_px = round(options.megapixels * 1024 * 1024)
    return EngineInfo(
        name="diffusers",
        fingerprint=fingerprint,
        modes=modes,
        needs_reference=False,
        size_multiple_px=1,  # canvases are snapped up to the model's 16 and cut back
        max_side_px=DETAIL_MAX_SIDE_PX if options.detail else MAX_SIDE_PX,
        batch_limit=BATCH_LIMIT,
        seconds_per_image=seconds,
        cost_usd_per_image=seconds * options.rent_usd_per_hour / 3600,
        concurrent_calls=2,
        batch_tolerance_levels=TOLERANCE_LEVELS["fp32" if dtype == torch.float32 else "bf16"],
        planned_area_px=4 * area_px if options.detail else area_px,
    )


def forecast_s(options: Options, device: torch.device, weights: int) -> float:
    """Return about how many seconds a picture takes, for forecasts: 2 FLOP per weight, token and step.

    Time grows with the area. Guidance doubles the forwards; the detail step draws nine tiles, each over the share of
    steps its strength leaves.
    """
    forwards = options.steps * (2 if options.guidance > 0 else 1)
    if options.detail:
        forwards += 9 * max(1, round(forwards * options.detail_strength))
    tokens = TOKENS_PER_IMAGE * options.megapixels
    return 2 * weights * tokens * ATTENTION_SHARE * forwards / RATES_FLOPS[device.type]
