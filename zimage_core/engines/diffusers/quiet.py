"""Importing diffusers with torchao and bitsandbytes beside it says what no reader can act on; this drops just that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    # C++ kernels built for another Python or card; the Python ones are used
    "torchao": ("Failed to load ", "Skipping import of cpp extensions"),
    # Triton is for GPUs; the CPU has kernels of its own
    "torchao.kernel.intmm": ("Warning: Detected no triton",),
    # torchao registers its enumerations with a torch that knows them already
    "torch.utils._pytree": ("%s is an Enum subclass",),
    # an optional kernel for 4-bit products on the CPU
    "bitsandbytes.backends.cpu.ops": ("Failed to load CPU gemm_4bit_forward",),
    # concerns checkpoints saved by torchao, which we never read: we quantise on load
    "diffusers.quantizers.torchao.torchao_quantizer": ("Unable to import `torchao` Tensor objects",),
}


class _Drop(logging.Filter):
    def __init__(self, starts: tuple[str, ...]) -> None:
        super().__init__()
        self.starts = starts

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self.starts)


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Drop the messages known to be harmless while libraries are imported; everything else passes."""
    filters = {logging.getLogger(name): _Drop(starts) for name, starts in _KNOWN.items()}
    for logger, drop in filters.items():
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger, drop in filters.items():
            logger.removeFilter(drop)
