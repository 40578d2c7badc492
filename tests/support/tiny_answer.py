"""What a tiny transformer predicts for one fixed question: the quickest way to see whether two of them are the same."""

from __future__ import annotations

from typing import Any

import torch


def answer(transformer: Any, caption_width: int = 16) -> torch.Tensor:
    """Return the transformer's prediction (16, 1, 8, 8) in float32 for a fixed latent, time and caption."""
    generator = torch.Generator().manual_seed(7)
    dtype = transformer.x_pad_token.dtype
    latent = torch.randn(16, 1, 8, 8, generator=generator).to(dtype)
    caption = torch.randn(5, caption_width, generator=generator).to(dtype)
    with torch.no_grad():
        predicted = transformer([latent], torch.tensor([0.3], dtype=dtype), [caption], return_dict=False)[0]
    return predicted[0].float()
