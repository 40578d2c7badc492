"""Which attention kernel is fastest for one exact shape on this card: found by timing it once, about a second.

On Hopper cuDNN's kernel reaches some 600 TFLOP/s where the flash kernel that torch ships (FA2) reaches 380; which one
torch picks by itself depends on its version. FlashAttention 3 takes flash's place where its package is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Queries, keys and values (B, heads, tokens, width) to (B, heads, tokens, width): no mask, not causal."""

TIMED_CALLS: Final = 10
FA3_PACKAGE: Final = "flash_attn_interface"
HOPPER_CAPABILITY: Final = (9, 0)
MOST_ERROR: Final = 0.02
"""Kernels differ by bf16 rounding, some 0.003 relative; one that is further off than this computes something else."""

log = logging.getLogger(__name__)


def by_default(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with whatever torch picks."""
    return functional.scaled_dot_product_attention(queries, keys, values)


def by_flash(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with FlashAttention: the one in torch, or version 3 once it is registered."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(queries, keys, values)


def by_cudnn(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with cuDNN."""
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return functional.scaled_dot_product_attention(queries, keys, values)


KERNELS: Final[Mapping[str, Kernel]] = {"default": by_default, "flash": by_flash, "cudnn": by_cudnn}


@functools.cache
def probe(batch: int, heads: int, tokens: int, width: int, dtype: torch.dtype, device: torch.device) -> str:
    """Return the name in KERNELS of the fastest one for this shape; `default` on a CPU and for float32.

    A kernel that does not run on this card, or whose result is not the default's, is left out and logged.
    """
    if device.type != "cuda" or dtype == torch.float32:
        return "default"
    _use_flash_3(device)
    generator = torch.Generator(device).manual_seed(0)
    shape = (batch, heads, tokens, width)
    inputs = [torch.randn(shape, generator=generator, device=device, dtype=dtype) for _ in range(3)]
    seconds: dict[str, float] = {}
    with torch.no_grad(), torch.cuda.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of every reason why a kernel does not fit
        for name, kernel in KERNELS.items():
            timed = time_kernel(name, kernel, inputs, _event_seconds)
            if timed is not None:
                seconds[name] = timed
    best = min(seconds, key=seconds.__getitem__, default="default")
    found = ", ".join(f"{name} {1e3 * seconds[name]:.2f} ms" for name in seconds)
    log.info("Attention for %d x %d tokens: %s (%s).", batch, tokens, best, found)
    return best


def time_kernel(
    name: str, kernel: Kernel, inputs: list[torch.Tensor], seconds_of: Callable[[Callable[[], object]], float]
) -> float | None:
    """Return the seconds of one call, or None for a kernel that does not run or gives another result."""
    reference = by_default(*inputs)
    try:
        result = kernel(*inputs)
        seconds = seconds_of(lambda: kernel(*inputs))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.info("Attention kernel %s does not run here: %s", name, str(error).partition("\n")[0])
        return None
    error_ratio = float((result.float() - reference.float()).norm() / reference.float().norm())
    if not error_ratio <= MOST_ERROR:  # NaN is refused too
        log.warning("Attention kernel %s is off by %.3f and is not used; update its package.", name, error_ratio)
        return None
    return seconds


def _event_seconds(call: Callable[[], object]) -> float:
    for _ in range(3):
        call()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(TIMED_CALLS):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / TIMED_CALLS


@functools.cache
def _use_flash_3(device: torch.device) -> None:
    """Put FlashAttention 3 behind torch's flash kernel, for this whole process, where it is installed and runs."""
    if torch.cuda.get_device_capability(device) != HOPPER_CAPABILITY or importlib.util.find_spec(FA3_PACKAGE) is None:
        return
    from torch.nn.attention import activate_flash_attention_impl

    try:
        activate_flash_attention_impl("FA3")
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("FlashAttention 3 is installed but cannot be used: %s", error)
