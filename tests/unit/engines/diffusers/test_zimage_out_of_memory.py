"""Memory that runs out while drawing: errors like the allocator's are injected, and what is given up is watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zimage_requests import STAGE, request_for

from zimage_core.engines.base import EngineFailure, Rendered
from zimage_core.engines.diffusers import create
from zimage_core.engines.diffusers.engine import DiffusersEngine
from zimage_core.engines.diffusers.failures import is_out_of_memory
from zimage_core.errors import EngineOutOfMemory, EngineUnavailable

SOFT = request_for("stage", size=(256, 256))


@pytest.fixture
def engine(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[DiffusersEngine]:
    made = create({"model": str(tiny_checkpoint), "cache": str(tmp_path)})
    assert isinstance(made, DiffusersEngine)
    made.render([request_for()])
    yield made
    made.close()


class Card:
    """Stands before the sampler and says that memory ran out for whatever is larger than it can hold."""

    def __init__(self, engine: DiffusersEngine, holds_px: float, error: Exception | None = None) -> None:
        self.holds_px, self.tried = holds_px, list[tuple[int, int, int]]()
        self._error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        painter: Any = engine._painter
        self._plain = painter._fast.sample
        painter._fast.sample = self.sample

    def sample(self, noise: torch.Tensor, refined: torch.Tensor, width_px: int, height_px: int, **more: Any) -> Any:
        self.tried.append((len(noise), width_px, height_px))
        if len(noise) * width_px * height_px > self.holds_px:
            raise self._error
        return self._plain(noise, refined, width_px, height_px, **more)


def test_the_batch_is_halved_until_it_fits_and_stays_so_for_its_size(engine: DiffusersEngine) -> None:
    requests = [request_for(shot=f"shot{i}") for i in range(4)]
    expected = [answer.rgb for answer in engine.render(requests) if isinstance(answer, Rendered)]
    card = Card(engine, holds_px=1.5 * 128 * 96)
    answers = engine.render(requests)
    assert [size[0] for size in card.tried] == [4, 2, 1, 1, 1, 1]
    for answer, before in zip(answers, expected, strict=True):
        assert isinstance(answer, Rendered)
        assert np.abs(answer.rgb.astype(int) - before).max() <= 1, "seeds stay valid when the batch changes"
    card.tried.clear()
    engine.render(requests)
    assert [size[0] for size in card.tried] == [1, 1, 1, 1], "what fitted is remembered"
    card.holds_px = 1e9
    engine.render([request_for(shot=f"wide{i}", size=(192, 96)) for i in range(2)])
    assert card.tried[-1] == (2, 192, 96), "another size is not held back"


def test_a_soft_stage_is_drawn_smaller_before_it_is_given_up(engine: DiffusersEngine) -> None:
    card = Card(engine, holds_px=200 * 200)
    (answer,) = engine.render([SOFT])
    assert card.tried == [(1, 256, 256), (1, 256, 256), (1, 192, 192)], "tiling comes before resolution"
    assert isinstance(answer, Rendered)
    assert answer.rgb.shape == (256, 256, 3)
    assert any("drawn at 192 px" in note for note in answer.notes)
    assert engine._painter is not None
    assert engine._painter._parts.vae.use_tiling


def test_where_the_scene_does_not_allow_less_the_picture_is_given_up_alone(engine: DiffusersEngine) -> None:
    """A picture from words keeps its resolution: what it cannot have, it cannot be."""
    Card(engine, holds_px=150 * 150)
    answers = engine.render([request_for(shot="a"), request_for(shot="large", size=(256, 256)), request_for(shot="b")])
    assert [type(answer) for answer in answers] == [Rendered, EngineFailure, Rendered]
    assert isinstance(answers[1], EngineFailure)
    error = answers[1].error
    assert isinstance(error, EngineOutOfMemory)
    assert error.retryable
    assert "256 x 256 px does not fit" in error.sentence
    assert "CUDA out of memory" in error.sentence


def test_a_surface_with_structure_is_never_drawn_smaller(engine: DiffusersEngine) -> None:
    import dataclasses

    Card(engine, holds_px=200 * 200)
    lying = request_for("stage", size=(256, 256), stage=dataclasses.replace(STAGE, backdrop="surface"))
    (answer,) = engine.render([lying])
    assert isinstance(answer, EngineFailure)


def test_a_model_that_does_not_load_is_loaded_in_the_next_smaller_profile(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from zimage_core.engines.diffusers import engine as module

    tried: list[str] = []

    class Crowded(module.Painter):  # type: ignore[name-defined,misc]
        def __init__(self, setup: Any, watch: Any, profile: Any) -> None:
            tried.append(profile.name)
            if profile.name == "fast":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            super().__init__(setup, watch, profile)

    monkeypatch.setattr(module, "Painter", Crowded)
    made = create({"model": str(tiny_checkpoint), "cache": str(tmp_path)})
    (answer,) = made.render([request_for()])
    made.close()
    assert isinstance(answer, Rendered)
    assert tried == ["fast", "balanced"]
    assert "profile balanced, because loading in profile fast ran out of memory" in caplog.text


def test_a_profile_that_was_asked_for_is_not_swapped() -> None:
    from zimage_core.engines.diffusers.memory import Profile, smaller_profile
    from zimage_core.engines.diffusers.options import Options

    assert smaller_profile(Profile("fast", ""), Options(model="m", profile="fast")) is None
    assert smaller_profile(Profile("small", ""), Options(model="m")) is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_every_way_of_saying_it_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_what_is_not_memory_fails_its_own_picture_only(engine: DiffusersEngine) -> None:
    painter: Any = engine._painter
    plain = painter._fast.sample
    poison = request_for(shot="poison").seed

    def sample(noise: torch.Tensor, refined: torch.Tensor, width_px: int, height_px: int, **more: Any) -> Any:
        from zimage_core.engines.diffusers.fast.schedule import noise_of

        if any(torch.equal(one[None], noise_of(poison, width_px, height_px)) for one in noise):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return plain(noise, refined, width_px, height_px, **more)

    painter._fast.sample = sample
    answers = engine.render([request_for(shot="one"), request_for(shot="poison"), request_for(shot="two")])
    assert [type(answer) for answer in answers] == [Rendered, EngineFailure, Rendered]
    assert isinstance(answers[1], EngineFailure)
    assert isinstance(answers[1].error, EngineUnavailable)
    assert "illegal memory access" in answers[1].error.sentence
