"""The weights of blocks, stacked for fewer and larger products; and which transformers they cannot be stacked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from zimage_core.engines.diffusers.fast.block import BlockWeights
from zimage_core.engines.diffusers.fast.fp8 import Weight, as_it_is, in_8_bits

PATCH_NAME: Final = "2-1"
"""The only patch size that Z-Image is trained with: 2 x 2 latents of 1 frame."""


def why_not(transformer: Any) -> str | None:
    """Return why a transformer cannot be run with merged weights, as a sentence, or None where it can."""
    if PATCH_NAME not in transformer.all_x_embedder:
        return f"The transformer has no embedder for patches of {PATCH_NAME}, the ones of Z-Image."
    for name, part in transformer.named_modules():
        if any(hasattr(part, hook) for hook in ("_hf_hook", "_diffusers_hook")):
            return f"{name or 'The transformer'} is moved in and out by hooks (offload), which merged weights forgo."
    for number, one in enumerate((*transformer.noise_refiner, *transformer.layers)):
        if one.attention.norm_q is None or one.attention.norm_k is None:
            return "The transformer does not normalise queries and keys; Z-Image does."
        for linear in _linears(one):
            if type(linear) is not nn.Linear or type(linear.weight.data) is not torch.Tensor:
                return (
                    f"Block {number} has a {type(linear).__name__} of {type(linear.weight.data).__name__}: weights "
                    "that are quantised, or a LoRA that is not fused, cannot be merged."
                )
            if linear.bias is not None or linear.weight.is_meta or linear.weight.dtype != transformer.dtype:
                return f"Block {number} has a weight with a bias, on the meta device or not in {transformer.dtype}."
    return None


def _linears(one: Any) -> tuple[Any, ...]:
    attention, ffn = one.attention, one.feed_forward
    return attention.to_q, attention.to_k, attention.to_v, attention.to_out[0], ffn.w1, ffn.w3, ffn.w2


@torch.no_grad()
def merged(linears: Sequence[Any]) -> torch.Tensor:
    """Return the weights of linears stacked by outputs, and let the linears use that memory from now on.

    Their values stay as they are and both forms can be used, as nothing is held twice. Linears merged before give the
    same memory again.
    """
    weights = [linear.weight.data for linear in linears]
    rows = [weight.shape[0] for weight in weights]
    first = weights[0]
    starts = [first.storage_offset() + first.shape[1] * sum(rows[:index]) for index in range(len(rows))]
    if all(
        weight.is_contiguous()
        and weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and weight.storage_offset() == start
        for weight, start in zip(weights, starts, strict=True)
    ):
        return first.as_strided((sum(rows), first.shape[1]), first.stride(), first.storage_offset())
    together = torch.cat(weights)
    for linear, part in zip(linears, together.split(rows), strict=True):
        linear.weight.data = part
    return together


def block_weights(one: Any, fp8: bool) -> BlockWeights:
    """Return the weights of a ZImageTransformerBlock: merged, or in 8 bits beside the block's own."""
    query, key, value, out, gate, up, down = _linears(one)
    return BlockWeights(
        qkv=_stacked((query, key, value), fp8),
        out=_stacked((out,), fp8),
        gate_up=_stacked((gate, up), fp8),
        down=_stacked((down,), fp8),
        norm_q=one.attention.norm_q.weight.data,
        norm_k=one.attention.norm_k.weight.data,
        norm_after_attention=one.attention_norm2.weight.data,
        norm_before_ffn=one.ffn_norm1.weight.data,
        norm_after_ffn=one.ffn_norm2.weight.data,
    )


def _stacked(linears: Sequence[Any], fp8: bool) -> Weight:
    if not fp8:
        return as_it_is(merged(linears))
    return in_8_bits(torch.cat([linear.weight.data for linear in linears]))
