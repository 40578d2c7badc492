"""Which device a process draws on, and what its card has: asked of torch, which honours CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext

import torch

from zimage_core.engines.diffusers.memory import Card
from zimage_core.engines.diffusers.options import Precision
from zimage_core.errors import ConfigurationError


def card_count() -> int:
    """Return how many CUDA devices this process may use, without making a context on any of them."""
    return int(torch.cuda.device_count())


def device_named(name: str) -> torch.device:
    """Return the device an option names; `auto` is the first GPU, else the CPU. ConfigurationError if it is not there.

    A CPU may be given a number too (`cpu:1`), so that several processes can be told apart.
    """
    if name == "auto":
        return torch.device("cuda:0" if card_count() else "cpu")
    if name.partition(":")[0] == "cpu":
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"'{name}' is not a device; give auto, cpu, or cuda:0, cuda:1, ...") from None
    if device.type != "cuda":
        raise ConfigurationError(f"Device '{name}' is not supported; give auto, cpu, or cuda:0, cuda:1, ...")
    index = device.index or 0
    if index >= card_count():
        raise ConfigurationError(f"There is no device cuda:{index}; this process sees {card_count()} GPUs.")
    return torch.device("cuda", index)


def card_of(device: torch.device) -> Card | None:
    """Return the card behind a device, all its memory counted as free (no context is made for asking); CPU: None."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return Card(str(properties.name), int(properties.total_memory), int(properties.total_memory))


def card_now(device: torch.device) -> Card | None:
    """Return the card with what is free at this moment, for the process that is about to use it; CPU: None."""
    if device.type != "cuda":
        return None
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return Card(str(torch.cuda.get_device_name(device)), int(total_bytes), int(free_bytes))


def current(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which this thread's CUDA work goes to this card; nothing on a CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def free_memory(device: torch.device) -> None:
    """Give back to the device what Python no longer holds."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type weights are held in: bf16 on a GPU that has it, else fp32; never fp16 (Tongyi-MAI/Z-Image#14)."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8:
        return torch.bfloat16
    return torch.float32
