"""Finished pictures leave the device while the next batch is drawn: pinned buffers, a side stream, back-pressure."""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self

import torch

from zimage_core.engines.diffusers.fast.decoder import Decoder, Pixels
from zimage_core.engines.diffusers.frames import Frame

BUFFERS: Final = 3
"""One being filled, one being emptied, one spare for when the host is late."""


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a tensor on a device; from the host to a GPU without waiting for what the GPU still has to do.

    A plain `.to` waits, and the GPU then waits for the host in turn.
    """
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, dtype, non_blocking=True)
    return tensor.to(device, dtype)


class FrameQueue:
    """Decodes latents and brings the pictures to the host, in order, without making the GPU wait.

    At most `buffers` batches are on their way; `submit` blocks while there are as many. On a CPU the same, but nothing
    is pinned or asynchronous except the last copy. Use it from one thread; close it, or use it in a `with`.
    """

    def __init__(self, decoder: Decoder, *, buffers: int = BUFFERS) -> None:
        self._decoder = decoder
        self._free: queue.SimpleQueue[_Buffer] = queue.SimpleQueue()
        for _ in range(buffers):
            self._free.put(_Buffer())
        self._emptying = ThreadPoolExecutor(1, thread_name_prefix="frames")
        self._side: Any = None

    def submit(self, latents: torch.Tensor) -> list[Future[Frame]]:
        """Return one future per picture of latents (B, 16, h, w), in order; decoding is issued on the current stream.

        A frame's pixels are the caller's own. What goes wrong later is raised by the futures.
        """
        futures: list[Future[Frame]] = [Future() for _ in range(len(latents))]
        buffer = self._free.get()  # back-pressure: waits until a batch has left
        try:
            self._send(self._decoder.decode(latents), buffer)
        except BaseException:
            self._free.put(buffer)
            raise
        self._emptying.submit(self._empty, buffer, futures)
        return futures

    def close(self) -> None:
        """Wait for what is on its way, and let go of the buffers; may be called twice."""
        self._emptying.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, pixels: Pixels, buffer: _Buffer) -> None:
        """Issue the copies of pixels and flags into a buffer, after everything issued so far."""
        buffer.fit(pixels)
        if not pixels.rgb.is_cuda:
            buffer.rgb.copy_(pixels.rgb)
            buffer.finite.copy_(pixels.finite)
            return
        if self._side is None:
            self._side = torch.cuda.Stream(pixels.rgb.device)
        self._side.wait_stream(torch.cuda.current_stream(pixels.rgb.device))
        with torch.cuda.stream(self._side):
            buffer.rgb.copy_(pixels.rgb, non_blocking=True)
            buffer.finite.copy_(pixels.finite, non_blocking=True)
            buffer.arrived = torch.cuda.Event(blocking=True)  # the waiting thread sleeps
            buffer.arrived.record(self._side)
        for tensor in pixels:
            tensor.record_stream(self._side)  # else its memory could be given away before the copy is done

    def _empty(self, buffer: _Buffer, futures: list[Future[Frame]]) -> None:
        """Wait for a buffer's copies and hand out its pictures; runs on the queue's own thread."""
        try:
            if buffer.arrived is not None:
                buffer.arrived.synchronize()
            frames = [
                Frame(rgb.numpy().copy(), bool(finite))
                for rgb, finite in zip(buffer.rgb, buffer.finite.tolist(), strict=True)
            ]
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the frames
            for future in futures:
                future.set_exception(error)
        else:
            for future, frame in zip(futures, frames, strict=True):
                future.set_result(frame)
        finally:
            self._free.put(buffer)


class _Buffer:
    """Host memory for one batch; pinned when it comes from a GPU. `arrived` marks the end of its last copy."""

    def __init__(self) -> None:
        self._store: torch.Tensor | None = None
        self.rgb: Any = None
        self.finite: Any = None
        self.arrived: Any = None

    def fit(self, pixels: Pixels) -> None:
        """Make room for such pixels: the memory is kept between batches and only ever grows."""
        pinned = bool(pixels.rgb.is_cuda)
        needed = pixels.rgb.numel()
        if self._store is None or self._store.numel() < needed:
            self._store = torch.empty(needed, dtype=torch.uint8, pin_memory=pinned)
        self.rgb = self._store[:needed].view(pixels.rgb.shape)
        if self.finite is None or len(self.finite) != len(pixels.finite):
            self.finite = torch.empty(len(pixels.finite), dtype=torch.bool, pin_memory=pinned)
