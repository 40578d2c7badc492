"""Products with a weight, in the weight's own precision or in 8 bits (e4m3): half the bytes, twice the rate on Hopper.

Row-wise dynamic scales: each token's activations and each output's weights are scaled to the largest value that e4m3
holds. It is lossy (latents move by 2 to 3 % on random weights, as measured by tests) and therefore asked for, never
chosen.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.nn import functional

from zimage_core.errors import ConfigurationError

E4M3: Final = torch.float8_e4m3fn
E4M3_MAX: Final = 448.0
SMALLEST_SCALE: Final = 1e-12
ADA_CAPABILITY: Final = (8, 9)
"""The first cards with 8-bit float units (RTX 40, L40S); Hopper is (9, 0)."""
SIDE_MULTIPLE: Final = 16
"""torch._scaled_mm takes matrices whose sides divide by 16."""

Weight = tuple[torch.Tensor, ...]
"""A weight as it is, (out, in); or its e4m3 form (out, in) with the scale of every output, (1, out) float32."""


def ensure_fp8(device: torch.device) -> None:
    """Raise ConfigurationError on a GPU without 8-bit float units; a CPU emulates them exactly and slowly."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < ADA_CAPABILITY:
        raise ConfigurationError(
            f"{torch.cuda.get_device_name(device)} has no 8-bit float units (they came with RTX 40, L40S and H100); "
            "leave quantization at 'none' on this card."
        )


def as_it_is(weight: torch.Tensor) -> Weight:
    """Return a weight (out, in) for products in its own precision."""
    return (weight,)


def in_8_bits(weight: torch.Tensor) -> Weight:
    """Return a weight (out, in) for 8-bit products; as it is when its sides do not divide by 16."""
    if any(side % SIDE_MULTIPLE for side in weight.shape):
        return as_it_is(weight)
    codes, scale = _rows_in_8_bits(weight)
    return codes, scale.t().contiguous()


def product(values: torch.Tensor, weight: Weight) -> torch.Tensor:
    """Return values (..., in) times the transposed weight, (..., out), in the dtype of the values."""
    if len(weight) == 1:
        return functional.linear(values, weight[0])
    codes, scale = weight
    rows, row_scale = _rows_in_8_bits(values.reshape(-1, values.shape[-1]))
    result = _scaled_product(rows, codes, row_scale, scale, values.dtype)
    return result.view(*values.shape[:-1], -1)


def _rows_in_8_bits(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (n, k) rows as e4m3 codes and the (n, 1) float32 scales that give them back."""
    exact = rows.float()
    scale = exact.abs().amax(1, keepdim=True).clamp(min=SMALLEST_SCALE * E4M3_MAX) / E4M3_MAX
    return (exact / scale).clamp(-E4M3_MAX, E4M3_MAX).to(E4M3), scale


def _scaled_product(rows: torch.Tensor, codes: torch.Tensor, row_scale: Any, scale: Any, dtype: Any) -> torch.Tensor:
    if rows.is_cuda:
        # row-wise scaled products come out in bf16 only
        result = torch._scaled_mm(
            rows, codes.t(), scale_a=row_scale, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True
        )
        return result.to(dtype)
    return ((rows.float() @ codes.float().t()) * row_scale * scale).to(dtype)
