"""A whole denoising loop as one CUDA graph: launched at once instead of some 3000 kernels, one graph per shape.

Captured after a warm-up on a side stream; all graphs share one memory pool, as only one of them runs at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from typing import Any, Final

import torch

from zimage_core.engines.diffusers.fast.recent import Recent

Run = Callable[..., torch.Tensor]
"""Tensors of fixed shapes to one tensor, on the device, without a look at their values."""

KEPT_GRAPHS: Final = 6
"""A size and caption bucket in full batches and alone are two; each keeps only its inputs and outputs to itself."""
WARM_UPS: Final = 2
"""The first call compiles and lets cuBLAS and cuDNN choose, the second runs as the captured one will."""

log = logging.getLogger(__name__)


class CudaGraph:
    """One captured call of a function of CUDA tensors; `replay` answers for new values of the inputs."""

    def __init__(self, run: Run, inputs: Sequence[torch.Tensor], pool: Any, stream: Any) -> None:
        self._run = run  # its tables and weights are read at each replay, where they lie now: they must stay
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        outside = torch.cuda.current_stream()
        try:
            # thread_local: another thread may wait for its copies meanwhile, which a global capture would not survive
            with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                self._output = run(*self._inputs)
        finally:
            torch.cuda.set_stream(outside)  # a capture that fails stays on its own

    def replay(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what the function gives for these inputs; the tensor is the caller's own."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output.clone()


class Graphs:
    """The graphs of the shapes met lately. What cannot be captured is run as it is from then on, and logged once."""

    def __init__(self, capture: Callable[..., Any] = CudaGraph) -> None:
        self._capture = capture
        self._pool: Any = None
        self._stream: Any = None
        self._kept: Recent[Any] = Recent(KEPT_GRAPHS)
        self._refused: set[Hashable] = set()

    def run(self, key: Hashable, run: Run, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return run(*inputs), through the graph kept under this key, captured now if there is none.

        What the function itself raises in its warm-up passes through: running out of memory, a failed compilation.
        """
        if key in self._refused:
            return run(*inputs)
        with torch.cuda.device(inputs[0].device) if inputs[0].is_cuda else nullcontext():
            if key not in self._kept:
                self._warm_up(run, inputs)
            try:
                graph = self._kept.get(key, lambda: self._capture(run, inputs, self._pool, self._stream))
            except RuntimeError as error:  # a failed capture, and too little memory for its pool
                self._refused.add(key)
                log.warning(
                    "No CUDA graph for %s (%s); this shape runs without one, a few percent slower.",
                    key,
                    str(error).partition("\n")[0],
                )
                return run(*inputs)
            result: torch.Tensor = graph.replay(inputs)
            return result

    def clear(self) -> None:
        """Let go of all graphs and their memory: memory is needed, or the weights have changed."""
        self._kept.clear()
        self._pool = None

    def _warm_up(self, run: Run, inputs: Sequence[torch.Tensor]) -> None:
        """Run it on the stream of the captures, with a pool ready for them."""
        if not inputs[0].is_cuda:
            run(*inputs)
            return
        self._stream = self._stream or torch.cuda.Stream()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                run(*inputs)
        current.wait_stream(self._stream)
