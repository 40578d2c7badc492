"""One evaluation of the model as plain tensor work: no lists, no host synchronisation, nothing done twice.

The same arithmetic as ZImageTransformer2DModel (diffusers 0.42), rounding included, with these differences: query, key
and value are one product and so are the two halves of the gate; the modulation of every block in every step is computed
once, because the time takes only as many values as there are steps; captions are refined once, not in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from zimage_core.engines.diffusers.fast.attention import Kernel
from zimage_core.engines.diffusers.fast.batching import bucket_of
from zimage_core.engines.diffusers.fast.block import Call, Modulation, Sizes, block, compiled, enter
from zimage_core.engines.diffusers.fast.layout import Positions
from zimage_core.engines.diffusers.fast.merging import PATCH_NAME, block_weights, why_not
from zimage_core.engines.diffusers.fast.schedule import Schedule
from zimage_core.engines.diffusers.fast.transfer import sent
from zimage_core.errors import ConfigurationError, EngineRefused


class StaticTransformer:
    """A ZImageTransformer2DModel for one schedule, with everything that does not depend on the picture in tables."""

    def __init__(self, transformer: Any, schedule: Schedule, *, fp8: bool, is_compiled: bool) -> None:
        if (reason := why_not(transformer)) is not None:
            raise ConfigurationError(f"{reason} Use path=stock.")
        self.source = transformer
        self.dtype, self.device = transformer.dtype, transformer.device
        first = transformer.layers[0]
        self.heads, self.head_width = transformer.n_heads, transformer.dim // transformer.n_heads
        self.sizes = Sizes(transformer.n_heads, first.attention_norm1.eps, first.attention.norm_q.eps)
        self._embed, self._final = transformer.all_x_embedder[PATCH_NAME], transformer.all_final_layer[PATCH_NAME]
        self._block: Callable[..., Any] = compiled(block) if is_compiled else block
        self._enter: Callable[..., Any] = compiled(enter) if is_compiled else enter
        self._tabulate(schedule, fp8)

    def stop_compiling(self) -> None:
        """Run the blocks as they are from now on."""
        self._block, self._enter = block, enter

    @torch.no_grad()
    def _tabulate(self, schedule: Schedule, fp8: bool) -> None:
        source = self.source
        times = torch.tensor(schedule.times, device=self.device)
        embedded = source.t_embedder(times * source.t_scale).to(self.dtype)
        self._final_scales = [scale[None, None] for scale in 1.0 + self._final.adaLN_modulation(embedded)]
        self._picture_calls = self._calls(source.noise_refiner, embedded, fp8)
        self._all_calls = self._calls(source.layers, embedded, fp8)

    @staticmethod
    def _calls(blocks: Sequence[Any], embedded: torch.Tensor, fp8: bool) -> list[list[Call]]:
        """Return, per step, the calls of a stack; its last block prepares for one like itself, and nobody uses it."""
        weights = [block_weights(one, fp8) for one in blocks]
        rows = [one.adaLN_modulation(embedded)[:, None, None].chunk(4, -1) for one in blocks]
        norms = [one.attention_norm1.weight.data for one in blocks]
        last = len(blocks) - 1
        steps = []
        for step in range(len(embedded)):
            calls = []
            for index in range(len(blocks)):
                _, gate, scale_ffn, gate_ffn = (row[step].clone() for row in rows[index])
                following = min(index + 1, last)
                next_scale = 1.0 + rows[following][0][step]
                modulation = Modulation(gate.tanh(), 1.0 + scale_ffn, gate_ffn.tanh())
                calls.append(Call(weights[index], modulation, norms[following], next_scale))
            first_scale = 1.0 + rows[0][0][step]
            steps.append([Call(weights[0], calls[0].modulation, norms[0], first_scale), *calls])
        return steps

    @torch.no_grad()
    def refine(self, captions: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return captions (tokens, width) of one bucket embedded and refined, (B, bucket, dim): the same in every step.

        Raises EngineRefused for captions of several buckets: their padding would be attended to.
        """
        source = self.source
        lengths = [len(caption) for caption in captions]
        bucket = bucket_of(max(lengths))
        if any(bucket_of(length) != bucket for length in lengths):
            raise EngineRefused(
                f"Captions of {', '.join(map(str, lengths))} tokens cannot share a batch: their padded lengths differ.",
                engine="diffusers",
            )
        stacked = torch.zeros(len(captions), bucket, captions[0].shape[-1], dtype=self.dtype, device=self.device)
        for row, caption in zip(stacked, captions, strict=True):
            row[: len(caption)] = caption
        numbers = torch.arange(bucket, device=self.device)
        is_padding = numbers >= sent(torch.tensor(lengths), self.device)[:, None]
        stream = source.cap_embedder(stacked)
        stream = torch.where(is_padding[..., None], source.cap_pad_token.to(stream.dtype), stream)
        ids = torch.zeros(bucket, 3, dtype=torch.long, device=self.device)
        ids[:, 0] = numbers + 1
        turns = source.rope_embedder(ids)[None].expand(len(captions), -1, -1)
        for one in source.context_refiner:
            stream = one(stream, None, turns)
        return stream

    def velocity(
        self, tokens: torch.Tensor, refined: torch.Tensor, step: int, positions: Positions, attend: Kernel
    ) -> torch.Tensor:
        """Return the model's answer for image tokens (B, n, 64) and refined captions (B, bucket, dim), (B, n, 64)."""
        picture, whole = positions.picture, positions.padded_picture
        stream = self._embed(tokens.to(self.dtype))
        if whole > picture:
            padding = self.source.x_pad_token.to(stream.dtype).expand(len(stream), whole - picture, -1)
            stream = torch.cat([stream, padding], 1)
        cos, sin = positions.cos, positions.sin
        stream = self._stack(self._picture_calls[step], stream, cos[:whole], sin[:whole], attend)
        stream = self._stack(self._all_calls[step], torch.cat([stream, refined], 1), cos, sin, attend)
        return self._final.linear(self._final.norm_final(stream[:, :picture]) * self._final_scales[step])

    def _stack(
        self, calls: Sequence[Call], stream: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Kernel
    ) -> torch.Tensor:
        opening, *rest = calls
        entering = self._enter(stream, opening.next_norm, opening.next_scale, self.sizes.eps)
        for call in rest:
            stream, entering = self._block(stream, entering, call, cos, sin, self.sizes, attend)
        return stream
