"""Drawing with the pipelines of diffusers as they are: what every other path is compared with, and falls back to.

Every call says its steps and its guidance (the classes default to 50 and 5.0), gives each picture a fresh CPU generator
of its own, and passes lists of images and masks: with one image for several prompts only the first generator advances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    ZImageControlNetInpaintPipeline,
    ZImageImg2ImgPipeline,
    ZImageInpaintPipeline,
    ZImagePipeline,
)
from PIL import Image

from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.watch import StepWatch
from zimage_core.imaging.pixels import Plane, Rgb


@dataclass(frozen=True, slots=True, eq=False)
class Caption:
    """A prompt as the model reads it, (tokens, width of the text encoder), and the negative one under guidance."""

    positive: torch.Tensor
    negative: torch.Tensor | None = None


def fresh_generator(seed: int) -> torch.Generator:
    """Return a new CPU generator: the same noise on any device, whatever was drawn before."""
    return torch.Generator("cpu").manual_seed(seed)


class StockSampler:
    """The pipelines over one set of weights, each with a scheduler of its own; one caller at a time.

    `parts` has transformer, vae, scheduler, text_encoder, tokenizer and controlnet (or None); `device` is where the
    transformer runs. Every method returns latents (B, 16, height / 8, width / 8) in float32 on that device.
    """

    def __init__(self, parts: Any, options: Options, device: torch.device, watch: StepWatch) -> None:
        self._options, self._device, self._watch = options, device, watch
        shared = {"vae": parts.vae, "transformer": parts.transformer, "text_encoder": None, "tokenizer": None}
        self._whole = self._pipeline(ZImagePipeline, parts, shared)
        self._refine = self._pipeline(ZImageImg2ImgPipeline, parts, shared)
        self._around = (
            self._pipeline(ZImageInpaintPipeline, parts, shared)
            if parts.controlnet is None
            else self._pipeline(ZImageControlNetInpaintPipeline, parts, shared | {"controlnet": parts.controlnet})
        )

    @staticmethod
    def _pipeline(kind: Any, parts: Any, shared: dict[str, Any]) -> Any:
        # the scheduler holds the state of a run: pipelines that share it spoil each other's
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler.config)
        pipeline = kind(scheduler=scheduler, **shared)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw_whole(
        self, captions: Sequence[Caption], seeds: Sequence[int], width_px: int, height_px: int
    ) -> torch.Tensor:
        """Return the latents of whole pictures drawn from words."""
        return self._call(self._whole, captions, seeds, width=width_px, height=height_px)

    def draw_around(
        self,
        captions: Sequence[Caption],
        seeds: Sequence[int],
        bases: Sequence[Rgb],
        repaints: Sequence[Plane],
        controls: Sequence[Rgb] | None = None,
    ) -> torch.Tensor:
        """Return the latents of pictures painted around what `repaints` (255 = paint) keeps of the `bases`.

        `controls` are the edge or depth pictures of a ControlNet, one each; None without one.
        """
        height_px, width_px = bases[0].shape[:2]
        given: dict[str, Any] = {
            "image": [Image.fromarray(base) for base in bases],
            "mask_image": [Image.fromarray(repaint) for repaint in repaints],
            "width": width_px,
            "height": height_px,
        }
        if controls is None:
            given["strength"] = 1.0
        else:
            given["control_image"] = [Image.fromarray(control) for control in controls]
            given["controlnet_conditioning_scale"] = self._options.control_scale
        return self._call(self._around, captions, seeds, **given)

    def refine(
        self, captions: Sequence[Caption], seeds: Sequence[int], pictures: Sequence[Rgb], strength: float
    ) -> torch.Tensor:
        """Return the latents of pictures (all of one size, multiples of 16) drawn over at a strength of 0 to 1."""
        height_px, width_px = pictures[0].shape[:2]
        images = [Image.fromarray(picture) for picture in pictures]
        return self._call(
            self._refine, captions, seeds, image=images, strength=strength, width=width_px, height=height_px
        )

    def _call(self, pipeline: Any, captions: Sequence[Caption], seeds: Sequence[int], **given: Any) -> torch.Tensor:
        negatives = [caption.negative for caption in captions]
        self._watch.start(self._options.steps, len(seeds))
        try:
            latents = pipeline(
                prompt=None,
                prompt_embeds=[caption.positive for caption in captions],
                negative_prompt_embeds=negatives if self._options.guidance > 0 else None,
                num_inference_steps=self._options.steps,
                guidance_scale=self._options.guidance,
                generator=[fresh_generator(seed) for seed in seeds],
                output_type="latent",
                return_dict=False,
                callback_on_step_end=self._watch.callback,
                **given,
            )[0]
        finally:
            self._watch.finish()
        return torch.as_tensor(latents).float()
