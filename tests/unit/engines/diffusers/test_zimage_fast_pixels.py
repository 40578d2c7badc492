"""Decoding and bringing pictures to the host, against what the stock pipeline hands out."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from tiny_checkpoint import make_vae
from torch._dynamo.exc import TorchDynamoException

from zimage_core.engines.diffusers.fast import decoder
from zimage_core.engines.diffusers.fast.decoder import Decoder, Pixels
from zimage_core.engines.diffusers.fast.transfer import FrameQueue

WAIT_S = 30


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def latents(batch: int = 2, seed: int = 0, rows: int = 10, columns: int = 12) -> torch.Tensor:
    return torch.randn(batch, 16, rows, columns, generator=torch.Generator().manual_seed(seed))


def stock_pictures(vae: Any, given: torch.Tensor) -> list[np.ndarray[Any, Any]]:
    """What ZImagePipeline does after its loop, to PIL."""
    with torch.no_grad():
        scaled = given.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        decoded = vae.decode(scaled, return_dict=False)[0]
    pictures = VaeImageProcessor(vae_scale_factor=16).postprocess(decoded, output_type="pil")
    return [np.asarray(picture) for picture in pictures]


def levels_apart(ours: torch.Tensor, theirs: list[np.ndarray[Any, Any]]) -> int:
    return max(
        int(np.abs(one.numpy().astype(int) - other.astype(int)).max()) for one, other in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixels_are_within_one_level_of_the_stock_pipeline(dtype: torch.dtype):
    vae = make_vae().to(dtype)
    theirs = stock_pictures(vae, latents())
    as_it_lay = Decoder(vae, channels_last=False).decode(latents())
    assert as_it_lay.rgb.dtype == torch.uint8
    assert as_it_lay.rgb.shape == (2, 80, 96, 3)
    assert levels_apart(as_it_lay.rgb, theirs) == 0
    # another order of sums: one level in float32, bf16's own spacing (2 levels around 1.0) otherwise
    reordered = Decoder(vae, channels_last=True).decode(latents())
    assert levels_apart(reordered.rgb, theirs) <= (1 if dtype == torch.float32 else 2)


def test_tiling_switched_on_later_is_obeyed():
    vae = make_vae()
    tiling = Decoder(vae)
    whole = tiling.decode(latents(1, rows=20, columns=20)).rgb
    vae.enable_tiling()
    tiled = tiling.decode(latents(1, rows=20, columns=20)).rgb
    assert not torch.equal(whole, tiled)
    assert levels_apart(tiled, stock_pictures(vae, latents(1, rows=20, columns=20))) <= 1


def test_a_compiler_that_fails_is_logged_and_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise TorchDynamoException("no C++ compiler found")

    monkeypatch.setattr(decoder, "per_shape", lambda _module: broken)
    vae = make_vae()
    compiled = Decoder(vae, compiled=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(compiled.decode(latents()).rgb, Decoder(vae).decode(latents()).rgb)
    assert len(caplog.records) == 1
    assert "no C++ compiler found" in caplog.text


def test_a_picture_that_is_not_finite_is_flagged_alone_and_has_no_undefined_pixels():
    spoiled = latents(3)
    spoiled[1, 0, 0, 0] = float("nan")
    pixels = Decoder(make_vae()).decode(spoiled)
    assert pixels.finite.tolist() == [True, False, True]
    assert torch.equal(pixels.rgb[2], Decoder(make_vae()).decode(latents(3)).rgb[2])


def test_frames_come_home_in_order_with_their_flags():
    plain = Decoder(make_vae())
    spoiled = latents(2, seed=1)
    spoiled[0] = float("inf")
    given = [latents(2, seed=0), spoiled, latents(1, seed=2, rows=8, columns=8), latents(3, seed=3)]
    due = [plain.decode(each) for each in given]
    with FrameQueue(plain) as frames:
        futures = [frames.submit(each) for each in given]
        got = [[future.result(WAIT_S) for future in batch] for batch in futures]
    for batch, pixels in zip(got, due, strict=True):
        assert [frame.finite for frame in batch] == pixels.finite.tolist()
        assert all(np.array_equal(frame.rgb, rgb.numpy()) for frame, rgb in zip(batch, pixels.rgb, strict=True))


def test_frames_are_the_callers_own():
    with FrameQueue(Decoder(make_vae()), buffers=1) as frames:
        (first,) = (future.result(WAIT_S) for future in frames.submit(latents(1, seed=0)))
        kept = first.rgb.copy()
        [future.result(WAIT_S) for future in frames.submit(latents(1, seed=1))]
        assert np.array_equal(first.rgb, kept)
        first.rgb[:] = 0  # writable: overlays are drawn into it


def test_no_more_batches_are_on_their_way_than_there_are_buffers():
    gate, started = threading.Event(), threading.Event()

    class SlowToLeave(FrameQueue):
        def _empty(self, buffer: Any, futures: Any) -> None:
            started.set()
            assert gate.wait(WAIT_S)
            super()._empty(buffer, futures)

    with SlowToLeave(Decoder(make_vae()), buffers=2) as frames:
        futures = [frames.submit(latents(1, seed=seed)) for seed in (0, 1)]
        assert started.wait(WAIT_S)
        third = threading.Thread(target=lambda: futures.append(frames.submit(latents(1, seed=2))))
        third.start()
        third.join(0.3)
        assert third.is_alive()  # waits for a buffer
        gate.set()
        third.join(WAIT_S)
        assert not third.is_alive()
        assert all(future.result(WAIT_S).finite for batch in futures for future in batch)


def test_a_decoder_that_fails_leaves_the_queue_usable():
    vae = make_vae()

    class RunsOutOnce(Decoder):
        failed = False

        def decode(self, latents: torch.Tensor) -> Pixels:
            if not self.failed:
                self.failed = True
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().decode(latents)

    with FrameQueue(RunsOutOnce(vae), buffers=1) as frames:
        with pytest.raises(torch.OutOfMemoryError):
            frames.submit(latents(1))
        assert frames.submit(latents(1))[0].result(WAIT_S).finite


def test_a_copy_that_fails_is_raised_to_whoever_waits_for_its_frames():
    class Faulty:
        def synchronize(self) -> None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    class LosesOne(FrameQueue):
        def _send(self, pixels: Pixels, buffer: Any) -> None:
            super()._send(pixels, buffer)
            buffer.arrived = Faulty() if pixels.rgb.shape[0] == 2 else None

    with LosesOne(Decoder(make_vae()), buffers=1) as frames:
        futures = frames.submit(latents(2))
        for future in futures:
            with pytest.raises(RuntimeError, match="illegal memory access"):
                future.result(WAIT_S)
        assert frames.submit(latents(1))[0].result(WAIT_S).finite


def test_closing_waits_for_what_is_on_its_way_and_may_be_repeated():
    frames = FrameQueue(Decoder(make_vae()))
    futures = frames.submit(latents(2))
    frames.close()
    frames.close()
    assert all(future.done() for future in futures)
