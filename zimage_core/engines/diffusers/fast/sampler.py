"""Noise and captions to latents: the steps of ZImagePipeline and ZImageInpaintPipeline at guidance 0."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch._dynamo.exc import TorchDynamoException

from zimage_core.engines.diffusers.fast import attention
from zimage_core.engines.diffusers.fast.batching import PATCH_PX
from zimage_core.engines.diffusers.fast.fp8 import ensure_fp8
from zimage_core.engines.diffusers.fast.graphs import Graphs
from zimage_core.engines.diffusers.fast.layout import Positions, positions_of, to_latents, to_tokens
from zimage_core.engines.diffusers.fast.recent import Recent
from zimage_core.engines.diffusers.fast.schedule import LATENT_CHANNELS, LATENT_PX, schedule_of
from zimage_core.engines.diffusers.fast.transfer import sent
from zimage_core.engines.diffusers.fast.transformer import StaticTransformer
from zimage_core.errors import EngineRefused

KEPT_POSITIONS: Final = 32
"""Tables of so many shapes; one of 1024 x 1024 pixels takes 2 MB."""
BEFORE_THE_FIRST: Final = -1

log = logging.getLogger(__name__)

OnStep = Callable[[int], None]
"""Called with the number of the step just issued, from 0; what it raises ends the sampling and passes through."""


@dataclass(frozen=True, slots=True, eq=False)
class Keep:
    """What is kept of given pictures: their latents (B, 16, h, w), and a mask (B, 1, h, w), 1 = paint, 0 = keep."""

    image_latents: torch.Tensor
    mask: torch.Tensor


class FastSampler:
    """Draws batches with one transformer on its device; one caller at a time.

    `compiled`: the block is compiled for every shape it meets (tens of seconds for a new one; a compiler that fails is
    logged and done without). `graphs`: on CUDA, a whole loop is launched at once. `fp8`: 8-bit products, lossy.
    `kernel` names the attention kernel (`attention.KERNELS`); None = the fastest for each shape, by a probe. The
    transformer must stay on its device, and a LoRA fused later is not seen: make another sampler then.

    Raises ConfigurationError for a transformer whose weights cannot be merged and for fp8 on a card without it.
    """

    def __init__(
        self,
        transformer: Any,
        *,
        steps: int,
        shift: float,
        compiled: bool,
        graphs: bool,
        fp8: bool,
        kernel: str | None = None,
    ) -> None:
        if fp8:
            ensure_fp8(transformer.device)
        self.schedule = schedule_of(steps, shift)
        self._model = StaticTransformer(transformer, self.schedule, fp8=fp8, is_compiled=compiled)
        self._graphs = Graphs() if graphs and transformer.device.type == "cuda" else None
        self._positions: Recent[Positions] = Recent(KEPT_POSITIONS)
        self._compiled, self._fp8, self._kernel_name = compiled, fp8, kernel
        self._kernels: dict[tuple[int, int], str] = {}

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What decides the bits of a picture besides its inputs, for provenance; kernels are those met so far."""
        kernels = sorted(f"{batch}x{tokens}:{name}" for (batch, tokens), name in self._kernels.items())
        return {
            "sigmas": " ".join(f"{sigma:.6g}" for sigma in self.schedule.sigmas),
            "precision": "fp8" if self._fp8 else str(self._model.dtype).removeprefix("torch."),
            "compiled": str(self._compiled),
            "graphs": str(self._graphs is not None),
            "attention": " ".join(kernels),
        }

    def refine(self, captions: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return captions (tokens, caption width) of one 32-bucket as `sample` takes them, (B, bucket, dim).

        It is the same in every step and for every size. Raises EngineRefused for captions of several buckets.
        """
        return self._model.refine(captions)

    def clear(self) -> None:
        """Let go of graphs and tables: memory is needed."""
        self._positions.clear()
        if self._graphs is not None:
            self._graphs.clear()

    @torch.no_grad()
    def sample(
        self,
        noise: torch.Tensor,
        refined: torch.Tensor,
        width_px: int,
        height_px: int,
        *,
        on_step: OnStep | None = None,
        keep: Keep | None = None,
    ) -> torch.Tensor:
        """Return the latents (B, 16, height_px / 8, width_px / 8) float32 that this noise of the same shape becomes.

        With `keep`, what its mask keeps is blended back after every step at that step's noise level, as
        ZImageInpaintPipeline does at strength 1. `on_step` is called after every step; on a GPU steps are issued ahead
        of their completion, and with a graph there is one launch, so that it is called once before it, with -1. Raises
        EngineRefused for sizes that the model cannot draw and inputs that do not fit them.
        """
        self._ensure_fitting(noise, refined, width_px, height_px)
        batch, bucket = refined.shape[:2]
        positions = self._positions_of(width_px, height_px, bucket)
        attend = self._kernel(batch, len(positions.cos))
        inputs = self._inputs(noise, refined, keep)

        def run(*tensors: torch.Tensor) -> torch.Tensor:
            return self._loop(positions, attend, on_step if self._graphs is None else None, *tensors)

        if self._graphs is not None and on_step is not None:
            on_step(BEFORE_THE_FIRST)
        try:
            tokens = self._run((width_px, height_px, bucket, batch, keep is not None), run, inputs)
        except TorchDynamoException as error:
            self._stop_compiling(error)
            tokens = self._run((width_px, height_px, bucket, batch, keep is not None), run, inputs)
        return to_latents(tokens, height_px // LATENT_PX, width_px // LATENT_PX)

    # ---------------------------------------------------------------- parts of a call

    def _run(self, key: Any, run: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        return run(*inputs) if self._graphs is None else self._graphs.run(key, run, inputs)

    def _loop(
        self,
        positions: Positions,
        attend: attention.Kernel,
        on_step: OnStep | None,
        tokens: torch.Tensor,
        refined: torch.Tensor,
        *kept: torch.Tensor,
    ) -> torch.Tensor:
        """Return tokens (B, n, 64) after all steps; `kept` is empty or the noise, picture and mask to blend, alike."""
        sigmas = self.schedule.sigmas
        if kept:
            tokens = _noised(kept[1], kept[0], sigmas[0])
        for step, change in enumerate(self.schedule.changes):
            velocity = self._model.velocity(tokens, refined, step, positions, attend)
            tokens = tokens - change * velocity.float()
            if kept:
                noise, picture, mask = kept
                tokens = (1 - mask) * _noised(picture, noise, sigmas[step + 1]) + mask * tokens
            if on_step is not None:
                on_step(step)
        return tokens

    def _inputs(self, noise: torch.Tensor, refined: torch.Tensor, keep: Keep | None) -> list[torch.Tensor]:
        device = self._model.device
        tokens = to_tokens(sent(noise, device, torch.float32))
        inputs = [tokens, refined.to(device, self._model.dtype)]
        if keep is not None:
            picture = to_tokens(sent(keep.image_latents, device, torch.float32))
            mask = sent(keep.mask, device, torch.float32).expand(-1, LATENT_CHANNELS, -1, -1)
            inputs += [tokens, picture, to_tokens(mask)]
        return inputs

    def _positions_of(self, width_px: int, height_px: int, bucket: int) -> Positions:
        model = self._model
        return self._positions.get(
            (width_px, height_px, bucket),
            lambda: positions_of(model.source.rope_embedder, width_px, height_px, bucket, model.device),
        )

    def _kernel(self, batch: int, tokens: int) -> attention.Kernel:
        model = self._model
        name = self._kernel_name or attention.probe(
            batch, model.heads, tokens, model.head_width, model.dtype, model.device
        )
        self._kernels[batch, tokens] = name
        return attention.KERNELS[name]

    def _stop_compiling(self, error: Exception) -> None:
        if not self._compiled:
            raise error
        self._compiled = False
        self._model.stop_compiling()
        reason = " ".join(str(error).split())[:300]
        log.warning("The transformer cannot be compiled here (%s); it runs uncompiled, about a third slower.", reason)

    def _ensure_fitting(self, noise: torch.Tensor, refined: torch.Tensor, width_px: int, height_px: int) -> None:
        most_caption, most_rows, most_columns = self._model.source.axes_lens
        bucket = refined.shape[1]
        if width_px % PATCH_PX or height_px % PATCH_PX or min(width_px, height_px) <= 0:
            raise EngineRefused(f"{width_px} x {height_px} px are not multiples of {PATCH_PX}.", engine="diffusers")
        if height_px > most_rows * PATCH_PX or width_px > most_columns * PATCH_PX:
            raise EngineRefused(
                f"{width_px} x {height_px} px are more than the {most_columns * PATCH_PX} x {most_rows * PATCH_PX} px "
                "that the model has positions for.",
                engine="diffusers",
            )
        if bucket + 2 > most_caption:
            raise EngineRefused(
                f"A caption of {bucket} tokens is longer than the {most_caption - 2} that the model has positions "
                "for; lower max_prompt_tokens.",
                engine="diffusers",
            )
        due = (len(refined), LATENT_CHANNELS, height_px // LATENT_PX, width_px // LATENT_PX)
        if tuple(noise.shape) != due:
            raise EngineRefused(f"The noise has shape {tuple(noise.shape)}, not {due}.", engine="diffusers")


def _noised(picture: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return a picture at a noise level (flow matching, `scale_noise` of the scheduler)."""
    return sigma * noise + (1.0 - sigma) * picture
