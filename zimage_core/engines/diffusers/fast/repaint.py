"""What painting around a photo starts from: noise, the photo's latents and the mask, as the stock pipeline has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from zimage_core.engines.diffusers.fast.sampler import Keep
from zimage_core.engines.diffusers.fast.schedule import LATENT_CHANNELS, LATENT_PX
from zimage_core.engines.diffusers.fast.transfer import sent
from zimage_core.imaging.pixels import Plane, Rgb


@torch.no_grad()
def repaint_inputs(
    vae: Any, bases: Sequence[Rgb], repaints: Sequence[Plane], seeds: Sequence[int], *, dtype: torch.dtype
) -> tuple[torch.Tensor, Keep]:
    """Return the noise (B, 16, h, w) and what to keep of the `bases` where `repaints` is below 128 (255 = paint).

    All bases have one size, a multiple of 16. `dtype` is the captions': ZImageInpaintPipeline encodes photos and draws
    noise in it, and from each picture's own generator it samples the photo's latents first and the noise second.
    """
    device = vae.device
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    latents = []
    for base, generator in zip(bases, generators, strict=True):
        # as VaeImageProcessor: 0..1, then -1..1, in float32
        pixels = torch.from_numpy(base.astype(np.float32) / 255.0).permute(2, 0, 1)[None] * 2.0 - 1.0
        latents.append(vae.encode(sent(pixels, device, dtype)).latent_dist.sample(generator))
    image_latents = (torch.cat(latents) - vae.config.shift_factor) * vae.config.scaling_factor
    shape = (1, LATENT_CHANNELS, *image_latents.shape[2:])
    noise = torch.cat([torch.randn(shape, generator=generator, dtype=dtype) for generator in generators])
    masks = torch.stack([torch.from_numpy((repaint >= 128).astype(np.float32)) for repaint in repaints])[:, None]
    small = torch.nn.functional.interpolate(masks, scale_factor=1 / LATENT_PX, mode="nearest")
    return sent(noise, device, torch.float32), Keep(image_latents.float(), sent(small, device))
