"""The arithmetic of one transformer block, written so that a compiler can fuse all of it but the products.

As ZImageTransformerBlock (diffusers 0.42), rounding included; rotation is real-valued, because Inductor has no complex
numbers and the stock form is never fused; a block hands the next one its normalised input, so that the norm fuses with
what precedes it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch.nn import functional

from zimage_core.engines.diffusers.fast.attention import Kernel
from zimage_core.engines.diffusers.fast.fp8 import Weight, product

SHAPES_LIMIT: Final = 256
"""How many shapes one block may be compiled for; Dynamo's own limit is 8, beyond which it goes slow without a word."""


class BlockWeights(NamedTuple):
    """One block: four products, and the weights of its norms."""

    qkv: Weight
    out: Weight
    gate_up: Weight
    down: Weight
    norm_q: torch.Tensor
    norm_k: torch.Tensor
    norm_after_attention: torch.Tensor
    norm_before_ffn: torch.Tensor
    norm_after_ffn: torch.Tensor


class Modulation(NamedTuple):
    """What the time does to one block in one step: (1, 1, dim) each."""

    gate_attention: torch.Tensor
    scale_ffn: torch.Tensor
    gate_ffn: torch.Tensor


class Call(NamedTuple):
    """All that one block is called with in one step; `next_*` belong to the norm the following block starts with."""

    weights: BlockWeights
    modulation: Modulation
    next_norm: torch.Tensor
    next_scale: torch.Tensor


class Sizes(NamedTuple):
    """What is the same for every block."""

    heads: int
    eps: float
    head_eps: float


def rms_norm(values: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the root-mean-square norm over the last axis, rounded where diffusers' RMSNorm rounds."""
    exact = values.float()
    scale = torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + eps)
    return (exact * scale).to(weight.dtype) * weight


def rotate(values: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return (B, tokens, heads, width) with each pair of values turned by its position; tables (tokens, width / 2)."""
    first, second = values.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = torch.stack((first * cos - second * sin, first * sin + second * cos), -1)
    return turned.flatten(-2).type_as(values)


def enter(stream: torch.Tensor, norm: torch.Tensor, scale: torch.Tensor, eps: float) -> torch.Tensor:
    """Return what the first block of a stack starts with."""
    return rms_norm(stream, norm, eps) * scale


def block(
    stream: torch.Tensor, entering: torch.Tensor, call: Call, cos: torch.Tensor, sin: torch.Tensor, sizes: Sizes,
    attend: Kernel,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return the residual stream (B, tokens, dim) after one block, and what the next block starts with."""
    weights, modulation, next_norm, next_scale = call
    batch, tokens, dim = stream.shape
    qkv = product(entering, weights.qkv).view(batch, tokens, 3, sizes.heads, dim // sizes.heads)
    queries, keys, values = qkv.unbind(2)
    queries = rotate(rms_norm(queries, weights.norm_q, sizes.head_eps), cos, sin)
    keys = rotate(rms_norm(keys, weights.norm_k, sizes.head_eps), cos, sin)
    attended = attend(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2))
    attended = product(attended.transpose(1, 2).flatten(2), weights.out)
    stream = stream + modulation.gate_attention * rms_norm(attended, weights.norm_after_attention, sizes.eps)
    scaled = rms_norm(stream, weights.norm_before_ffn, sizes.eps) * modulation.scale_ffn
    gate, up = product(scaled, weights.gate_up).chunk(2, -1)
    lowered = product(functional.silu(gate) * up, weights.down)
    stream = stream + modulation.gate_ffn * rms_norm(lowered, weights.norm_after_ffn, sizes.eps)
    return stream, rms_norm(stream, next_norm, sizes.eps) * next_scale


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `per_shape` of a function that lives as long as the process: what one caller compiled serves the next."""
    return per_shape(function)


def per_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function or module compiled for each shape it meets, at its first call with that shape."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)  # the compiler's own imports
        import torch._dynamo
        import torch._inductor.compile_fx
        import torch.utils.mkldnn

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES_LIMIT)
    torch._dynamo.config.accumulated_recompile_limit = max(
        torch._dynamo.config.accumulated_recompile_limit, 4 * SHAPES_LIMIT
    )
    result: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
    return result
