"""Latents to 8-bit pixels on the device: the pipeline's decoding and denormalisation, without its way through PIL."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import torch
from torch._dynamo.exc import TorchDynamoException

from zimage_core.engines.diffusers.fast.block import per_shape

log = logging.getLogger(__name__)


class Pixels(NamedTuple):
    """Pictures on the device: (B, H, W, 3) uint8, and per picture whether all values were finite before that, (B,)."""

    rgb: torch.Tensor
    finite: torch.Tensor


class Decoder:
    """Decodes with one VAE, whose decoder it keeps in channels_last order (same values, faster convolutions).

    `compiled`: the decoder is compiled for every shape it meets (a compiler that fails is logged and done without); not
    while the VAE tiles or slices. Whether it does is asked at every call, so that tiling can be switched on when memory
    runs out.
    """

    def __init__(self, vae: Any, *, compiled: bool = False, channels_last: bool = True) -> None:
        self._vae = vae
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        vae.decoder.to(memory_format=self._format)
        self._compiled = per_shape(vae.decoder) if compiled else None

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> Pixels:
        """Return the pictures of latents (B, 16, h, w), in the VAE's precision, rounded as the pipeline rounds."""
        vae = self._vae
        scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        decoded = self._decoded(scaled.contiguous(memory_format=self._format))
        finite = torch.isfinite(decoded).flatten(1).all(1)
        shares = (decoded * 0.5 + 0.5).clamp(0, 1).float().nan_to_num(0.0)
        rgb = (shares * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return Pixels(rgb, finite)

    def _decoded(self, scaled: torch.Tensor) -> torch.Tensor:
        vae = self._vae
        if self._compiled is None or vae.use_tiling or vae.use_slicing:
            return vae.decode(scaled, return_dict=False)[0]
        try:
            return self._compiled(scaled if vae.post_quant_conv is None else vae.post_quant_conv(scaled))
        except TorchDynamoException as error:
            self._compiled = None
            reason = " ".join(str(error).split())[:300]
            log.warning("The VAE cannot be compiled here (%s); it runs uncompiled, some 10 ms slower.", reason)
            return vae.decode(scaled, return_dict=False)[0]
