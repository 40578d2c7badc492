"""The gate before any timing: what is fast must also be right."""

from __future__ import annotations

from typing import Any

import torch
from gpu_parts.inputs import Inputs, distance, make_sampler
from gpu_parts.measure import Bench
from gpu_parts.models import Model

FP32_LIMIT = 1e-3
BF16_LIMIT = 1.25
"""Times the stock pipeline's own error in bf16."""


def check(bench: Bench, model: Model, steps: int, *, compiled: bool) -> bool:
    """Return whether our latents are as close to the stock pipeline's in float32 as they have to be.

    Two pictures with captions of different length; at the second size image tokens are padded. 8 bits are reported and
    not judged: they are lossy by design. All on the same weights: bf16 to float32 and back loses nothing.
    """
    sizes = ((64, 128), (96, 64)) if model.is_tiny else ((256, 256), (304, 272))
    found = [_check(model, steps, width_px, height_px, compiled) for width_px, height_px in sizes]
    bench.facts["check"] = found
    for one in found:
        print("check", ", ".join(f"{k} {v:.5f}" if isinstance(v, float) else f"{k} {v}" for k, v in one.items()))
    return all(one["passed"] for one in found)


def _check(model: Model, steps: int, width_px: int, height_px: int, compiled: bool) -> dict[str, Any]:
    inputs = Inputs(model, steps, 2, width_px, height_px)
    pipe = model.pipeline()
    theirs = inputs.stock(pipe)
    ours = {"bf16": inputs.ours(make_sampler(model, steps)), "fp8": inputs.ours(make_sampler(model, steps, fp8=True))}
    if compiled:
        ours["compiled"] = inputs.ours(make_sampler(model, steps, compiled=True, graphs=True))
    torch.nn.Module.to(model.transformer, torch.float32)  # diffusers' own warns of modules that are none
    inputs.captions = [caption.float() for caption in inputs.captions]
    reference = inputs.stock(pipe)
    ours["fp32"] = inputs.ours(make_sampler(model, steps))
    torch.nn.Module.to(model.transformer, torch.bfloat16)
    errors = {name: distance(latents, reference) for name, latents in ours.items()}
    limit = BF16_LIMIT * distance(theirs, reference)
    judged = [errors[name] for name in ("bf16", "compiled") if name in errors]
    finite = all(bool(torch.isfinite(latents).all()) for latents in ours.values())
    passed = finite and errors["fp32"] <= FP32_LIMIT and max(judged) <= limit
    return {"size": f"{width_px}x{height_px}", "stock bf16": limit / BF16_LIMIT, **errors, "passed": passed}
