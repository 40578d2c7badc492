"""Latents as tokens and back, and where every token sits: what the stock transformer redoes in each step, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from zimage_core.engines.diffusers.fast.batching import PATCH_PX, padded

PATCH = 2
"""A token is a patch of 2 x 2 latents of 16 channels."""


def to_tokens(latents: torch.Tensor) -> torch.Tensor:
    """Return (B, C, h, w) latents as (B, h * w / 4, 4 * C) tokens, each laid out (row, column, channel)."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, PATCH * PATCH * channels)


def to_latents(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return (B, h * w / 4, 4 * C) tokens as (B, C, h, w) latents; height and width count latents."""
    batch, _, values = tokens.shape
    channels = values // (PATCH * PATCH)
    patches = tokens.reshape(batch, height // PATCH, width // PATCH, PATCH, PATCH, channels)
    return patches.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """The rotary tables of one size and caption bucket.

    A sequence is `picture` image tokens, padding up to `padded_picture`, then the caption. `cos` and `sin` are
    (tokens, head width / 2) float32 for the whole sequence; the first `padded_picture` rows serve the picture alone.
    """

    picture: int
    padded_picture: int
    cos: torch.Tensor
    sin: torch.Tensor


def positions_of(rope_embedder: Any, width_px: int, height_px: int, bucket: int, device: torch.device) -> Positions:
    """Return the tables that the transformer's own embedder gives for this shape.

    Captions count 1, 2, ... on the first axis; the picture stands at bucket + 1, its rows and columns on the other two;
    its padding is at the origin (`patchify_and_embed` in diffusers' transformer_z_image.py).
    """
    rows, columns = height_px // PATCH_PX, width_px // PATCH_PX
    picture = rows * columns
    whole = padded(picture)
    ids = torch.zeros(whole + bucket, 3, dtype=torch.long, device=device)
    ids[:picture, 0] = bucket + 1
    ids[:picture, 1] = torch.arange(rows, device=device).repeat_interleave(columns)
    ids[:picture, 2] = torch.arange(columns, device=device).repeat(rows)
    ids[whole:, 0] = torch.arange(1, bucket + 1, device=device)
    turns = rope_embedder(ids)  # complex, of length 1
    return Positions(picture, whole, turns.real.contiguous(), turns.imag.contiguous())
