"""What a device says when it cannot draw, put into our words; and frames that need not be waited for."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final

import torch

from zimage_core.engines.diffusers.frames import Frame
from zimage_core.engines.diffusers.memory import Rung, Size
from zimage_core.errors import EngineOutOfMemory, EngineUnavailable

SAID: Final[Mapping[Rung, str]] = {
    "halve": "the batch is halved, and stays so for this size",
    "tiling": "pictures are decoded in tiles from now on",
    "offload": "weights are streamed from host memory from now on, which is slow",
    "shrink": "soft stages of this size are drawn at three quarters from now on",
    "give_up": "this picture is given up",
}
"""What each rung of the ladder means, for the log."""

_SIGNS: Final = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out: the GPU's allocator, cuDNN or cuBLAS for it, or the host's."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(sign in str(error) for sign in _SIGNS)


def landed(frame: Frame) -> Future[Frame]:
    """Return a frame that is there already."""
    future: Future[Frame] = Future()
    future.set_result(frame)
    return future


def broken(error: BaseException) -> Future[Frame]:
    """Return the frame that an error of the device took away: it raises EngineUnavailable with the device's words."""
    future: Future[Frame] = Future()
    failure = EngineUnavailable(f"The device could not draw this picture: {type(error).__name__}: {error}.")
    failure.__cause__ = error
    future.set_exception(failure)
    return future


def too_large(size: Size, reason: str) -> Future[Frame]:
    """Return the frame that did not fit at last: it raises EngineOutOfMemory with what can be done."""
    future: Future[Frame] = Future()
    said = reason.splitlines()[0] if reason else "nothing more"
    future.set_exception(
        EngineOutOfMemory(
            f"One picture of {size[0]} x {size[1]} px does not fit into memory, with tiling and offloading in use; use "
            f"a smaller size, profile=quantized, or a larger card. The device said: {said}"
        )
    )
    return future
