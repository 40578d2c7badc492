"""Calls to the stock pipeline and to ours with the same inputs, and how far their answers lie apart."""

from __future__ import annotations

from typing import Any

import torch
from gpu_parts.models import Model, captions

from zimage_core.engines.diffusers.fast.batching import bucket_of
from zimage_core.engines.diffusers.fast.sampler import FastSampler
from zimage_core.engines.diffusers.fast.schedule import noise_of, shift_of


class Inputs:
    """Noise and captions of one batch of one size."""

    def __init__(self, model: Model, steps: int, batch: int, width_px: int, height_px: int) -> None:
        self.model, self.steps, self.batch = model, steps, batch
        self.width_px, self.height_px = width_px, height_px
        self.captions = captions(model, batch, 20 if model.is_tiny else 100)
        self.bucket = bucket_of(len(self.captions[0]))
        self.noise = torch.cat([noise_of(seed, width_px, height_px) for seed in range(batch)]).to(model.device)

    def stock(self, pipe: Any, output_type: str = "latent") -> Any:
        """Return what the stock pipeline draws: latents, or PIL pictures."""
        return pipe(
            prompt_embeds=list(self.captions),
            width=self.width_px,
            height=self.height_px,
            num_inference_steps=self.steps,
            guidance_scale=0.0,
            latents=self.noise.clone(),
            output_type=output_type,
            return_dict=False,
        )[0]

    def ours(self, sampler: FastSampler, refined: torch.Tensor | None = None) -> torch.Tensor:
        """Return the latents that ours draws; captions are refined in the call unless they are given refined."""
        refined = sampler.refine(self.captions) if refined is None else refined
        return sampler.sample(self.noise, refined, self.width_px, self.height_px)


def make_sampler(
    model: Model, steps: int, *, compiled: bool = False, graphs: bool = False, fp8: bool = False,
    kernel: str | None = None,
) -> FastSampler:  # fmt: skip
    """Return a sampler over the model's transformer, with its scheduler's shift."""
    return FastSampler(
        model.transformer,
        steps=steps,
        shift=shift_of(model.scheduler),
        compiled=compiled,
        graphs=graphs,
        fp8=fp8,
        kernel=kernel,
    )


def distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the relative distance of latents (L2)."""
    return float((ours.double() - reference.double()).norm() / reference.double().norm())
