"""What is drawn together: captions by 32s, batches by tokens, the longest pictures first. Pure arithmetic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TOKEN_MULTIPLE: Final = 32
"""The model pads captions and pictures to this many tokens, and attends to the padding (`SEQ_MULTI_OF` in diffusers'
transformer_z_image.py): captions of one padded length can share a batch without a mask, others cannot."""
PATCH_PX: Final = 16
"""One token is 16 x 16 pixels: VAE factor 8 times patch 2."""
TYPICAL_BUCKET: Final = 128
GPU_TOKENS: Final = 9800
"""Enough to fill a card of 132 multiprocessors: 2 pictures of 1024 x 1024 (8448 tokens with a caption of 128), 4 of
768 x 768 (9728), 8 of 512 x 512 (9216): the waves of its products are then 94 to 100 % full, more costs memory."""
CPU_TOKENS: Final = 2048
MAX_BATCH: Final = {"cuda": 8, "cpu": 4}


def padded(tokens: int) -> int:
    """Return the number of tokens rounded up to the model's multiple of 32."""
    return tokens + -tokens % TOKEN_MULTIPLE


def bucket_of(tokens: int) -> int:
    """Return the padded length of a caption of so many tokens; captions of one bucket can be drawn together."""
    return max(padded(tokens), TOKEN_MULTIPLE)


def image_tokens(width_px: int, height_px: int) -> int:
    """Return how many tokens a picture takes, padding included."""
    return padded((width_px // PATCH_PX) * (height_px // PATCH_PX))


def batch_size(width_px: int, height_px: int, *, bucket: int = TYPICAL_BUCKET, device: str = "cuda") -> int:
    """Return how many pictures of this size with captions of this bucket are drawn at once on a `cuda` or `cpu` device.

    At least 1: a picture beyond the budget is drawn alone.
    """
    budget, most = (CPU_TOKENS, MAX_BATCH["cpu"]) if device == "cpu" else (GPU_TOKENS, MAX_BATCH["cuda"])
    return max(1, min(most, budget // (image_tokens(width_px, height_px) + bucket)))


@dataclass(frozen=True, slots=True)
class Piece:
    """One picture to draw: its size, and the tokens of its templated prompt."""

    width_px: int
    height_px: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures drawn at once: all of one size and one caption bucket; `indices` point into what was planned."""

    width_px: int
    height_px: int
    bucket: int
    indices: tuple[int, ...]


def plan_batches(pieces: Sequence[Piece], *, device: str = "cuda", limit: int | None = None) -> tuple[Batch, ...]:
    """Return the batches that draw every piece once, the longest first: a run then ends with small change, not a tail.

    On a GPU a group's last pictures that do not fill a batch are drawn one by one: every other number would be one more
    shape to compile and capture. `limit` caps every batch (None = by tokens alone).
    """
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        groups[piece.width_px, piece.height_px, bucket_of(piece.tokens)].append(index)
    longest_first = sorted(groups.items(), key=lambda group: (-_tokens(group[0]), group[0]))
    batches = []
    for (width_px, height_px, bucket), indices in longest_first:
        size = min(batch_size(width_px, height_px, bucket=bucket, device=device), limit or len(pieces))
        full = len(indices) - len(indices) % size
        tail = indices[full:]
        chunks = [indices[at : at + size] for at in range(0, full, size)]
        chunks += [[index] for index in tail] if device != "cpu" else [tail] * bool(tail)
        batches += [Batch(width_px, height_px, bucket, tuple(chunk)) for chunk in chunks]
    return tuple(batches)


def _tokens(shape: tuple[int, int, int]) -> int:
    width_px, height_px, bucket = shape
    return image_tokens(width_px, height_px) + bucket
