"""Prompts to encoded files on disk, everything included: what images per second means."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_parts.flops import decode_flops, forward_flops
from gpu_parts.measure import Bench
from gpu_parts.models import Model, caption_bucket, prompts
from gpu_parts.phases import Size
from PIL import Image

from zimage_core.engines.diffusers.fast.batching import Piece, batch_size, plan_batches
from zimage_core.engines.diffusers.fast.decoder import Decoder, Pixels
from zimage_core.engines.diffusers.fast.sampler import FastSampler
from zimage_core.engines.diffusers.fast.schedule import noise_of
from zimage_core.engines.diffusers.fast.text import encode
from zimage_core.engines.diffusers.fast.transfer import FrameQueue
from zimage_core.engines.diffusers.frames import Frame

WRITERS = 4
QUALITY: dict[str, dict[str, Any]] = {"jpg": {"quality": 92}, "png": {"compress_level": 1}}
SCRIPT_IMAGES = 4


def write(rgb: np.ndarray[Any, Any], path: Path) -> int:
    """Encode one picture into a file; return its bytes. Pillow lets other threads run meanwhile."""
    Image.fromarray(rgb).save(path, **QUALITY[path.suffix[1:]])
    return path.stat().st_size


class Busy:
    """CUDA events around what is issued on the current stream; their times add up to what the GPU was busy."""

    def __init__(self, *, is_cuda: bool) -> None:
        self._is_cuda = is_cuda
        self._marks: list[tuple[Any, Any]] = []

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Count what is issued in the body. Gaps inside, where the host is too slow, count as busy."""
        if not self._is_cuda:
            yield
            return
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        yield
        end.record()
        self._marks.append((start, end))

    def seconds(self) -> float:
        """Return the sum so far, all of it done."""
        return sum(start.elapsed_time(end) for start, end in self._marks) / 1e3


class MarkedDecoder(Decoder):
    """A decoder whose work counts as busy; waiting for a free buffer does not."""

    def __init__(self, vae: Any, busy: Busy) -> None:
        super().__init__(vae)
        self._busy = busy

    def decode(self, latents: torch.Tensor) -> Pixels:
        """Decode as ever, between two events."""
        with self._busy.marked():
            return super().decode(latents)


def shard(bench: Bench, model: Model, sampler: FastSampler, size: Size, texts: list[str], paths: list[Path]) -> float:
    """Make every picture from its prompt into its file; return the seconds that the GPU was busy."""
    busy = Busy(is_cuda=bench.is_cuda)
    written: list[Future[int]] = []
    waiting: list[tuple[Future[Frame], Path]] = []
    with ThreadPoolExecutor(WRITERS) as writers, FrameQueue(MarkedDecoder(model.vae, busy)) as frames:
        with busy.marked():
            captions = encode(model.text_encoder, model.tokenizer, texts, max_tokens=512, batch=32)
        for batch in plan_batches([Piece(*size, len(one)) for one in captions], device=bench.device.type):
            noise = torch.cat([noise_of(seed, *size) for seed in batch.indices])
            with busy.marked():
                refined = sampler.refine([captions[index] for index in batch.indices])
                latents = sampler.sample(noise, refined, *size)
            waiting += zip(frames.submit(latents), [paths[index] for index in batch.indices], strict=True)
            ready = [(future, path) for future, path in waiting if future.done()]
            waiting = [(future, path) for future, path in waiting if not future.done()]
            written += _hand_on(ready, writers)
        written += _hand_on(waiting, writers)
        sizes = [future.result() for future in written]
    if len(sizes) != len(texts) or min(sizes) < 100:
        raise RuntimeError(f"{len(sizes)} of {len(texts)} files were written, the smallest of {min(sizes)} bytes.")
    return busy.seconds()


def _hand_on(frames: list[tuple[Future[Frame], Path]], writers: ThreadPoolExecutor) -> list[Future[int]]:
    written = []
    for future, path in frames:
        frame = future.result()
        if not frame.finite:
            raise RuntimeError(f"{path.name} is not finite.")
        written.append(writers.submit(write, frame.rgb, path))
    return written


def end_to_end(
    bench: Bench, model: Model, sampler: FastSampler, steps: int, size: Size, *, label: str, suffixes: tuple[str, ...]
) -> None:
    """Time a shard into files of each kind, after one batch that warms up; with idle share and peak memory."""
    model.add_text_encoder()
    batch = batch_size(*size, device=bench.device.type)
    images = max(bench.arguments.images, 4 * batch) // batch * batch
    texts = prompts(model, images)
    bucket = caption_bucket(model)
    flops = images * (steps * forward_flops(model.transformer, *size, bucket) + decode_flops(model.vae, *size))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shard(bench, model, sampler, size, texts[: 2 * batch], [folder / f"warm{at}.jpg" for at in range(2 * batch)])
        for suffix in suffixes:
            if bench.is_cuda:
                torch.cuda.reset_peak_memory_stats()
            bench.wait()
            before = time.perf_counter()
            busy_s = shard(bench, model, sampler, size, texts, [folder / f"{at}.{suffix}" for at in range(images)])
            seconds = time.perf_counter() - before
            note = f"{images} files, batches of {batch}"
            if bench.is_cuda:
                peak_gib = torch.cuda.max_memory_allocated() / 2**30
                note += f", GPU idle {max(0.0, 1 - busy_s / seconds):.1%}, peak {peak_gib:.1f} GiB"
            what = f"{size[0]}x{size[1]} ours, {label}, {suffix}"
            bench.add("end to end", what, seconds, images, flops=flops, note=note)


def plain_script(bench: Bench, model: Model, steps: int, size: Size) -> None:
    """Time what the model card's example does for each picture: prompt in, PIL out, saved as PNG, one after another."""
    model.add_text_encoder()
    pipe = model.pipeline()
    texts = prompts(model, SCRIPT_IMAGES)
    with tempfile.TemporaryDirectory() as name:

        def script() -> None:
            for at, prompt in enumerate(texts):
                pictures = pipe(
                    prompt,
                    width=size[0],
                    height=size[1],
                    num_inference_steps=steps,
                    guidance_scale=0.0,
                    generator=torch.Generator("cpu").manual_seed(at),
                ).images
                pictures[0].save(Path(name) / f"{at}.png")

        seconds = bench.seconds(script, groups=1, warm_ups=1)
    what = f"{size[0]}x{size[1]} stock, one by one, png in series"
    bench.add("end to end", what, seconds, SCRIPT_IMAGES, note=f"{SCRIPT_IMAGES} files")
