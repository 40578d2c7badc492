"""The engine on the tiny checkpoint: every mode, sizes, seeds, prompts, frames that are no pictures, and stopping."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zimage_requests import request_for

from zimage_core.domain import Prompt
from zimage_core.engines.base import EngineFailure, Rendered, render_checked
from zimage_core.engines.diffusers import create
from zimage_core.engines.diffusers.engine import DiffusersEngine
from zimage_core.engines.diffusers.watch import Progress
from zimage_core.errors import BadImage, ConfigurationError, EngineRefused, EngineUnavailable


@pytest.fixture
def new_engine(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Any]:
    """A function that makes an engine on the tiny checkpoint with more options; all of them are closed at the end."""
    made: list[DiffusersEngine] = []

    def make(**options: str) -> DiffusersEngine:
        engine = create({"model": str(tiny_checkpoint), "cache": str(tmp_path / "cache"), **options})
        assert isinstance(engine, DiffusersEngine)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


def picture(answer: Rendered | EngineFailure) -> Rendered:
    assert isinstance(answer, Rendered), answer
    return answer


def failure(answer: Rendered | EngineFailure) -> EngineFailure:
    assert isinstance(answer, EngineFailure), answer
    return answer


def forwards(engine: DiffusersEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Load the engine and keep a list of the batch size of every evaluation of its transformer by the pipelines."""
    engine.render([request_for()])
    seen: list[int] = []
    transformer = engine._painter._parts.transformer  # type: ignore[union-attr]
    plain = transformer.forward

    def counted(latents: list[torch.Tensor], *rest: Any, **more: Any) -> Any:
        seen.append(len(latents))
        return plain(latents, *rest, **more)

    monkeypatch.setattr(transformer, "forward", counted)
    return seen


# ---------------------------------------------------------------- what is drawn


def test_turbo_is_evaluated_exactly_eight_times_and_never_doubled(
    new_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(path="stock")
    seen = forwards(engine, monkeypatch)
    engine.render([request_for()])
    assert seen == [1] * 8


def test_the_base_model_is_evaluated_with_guidance(new_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(variant="base", steps="3", guidance="4")
    seen = forwards(engine, monkeypatch)
    engine.render([request_for()])
    assert seen == [2] * 3


@pytest.mark.parametrize("mode", ["text", "stage", "inpaint"])
def test_the_fast_path_draws_what_the_pipelines_draw(new_engine: Any, mode: Any) -> None:
    requests = [request_for(mode, f"shot{i}", size=(144, 112)) for i in range(3)]
    fast, stock = (new_engine(path=path).render(requests) for path in ("fast", "stock"))
    for one, other in zip(fast, stock, strict=True):
        assert np.abs(picture(one).rgb.astype(int) - picture(other).rgb).max() <= 1
        assert picture(one).placement == picture(other).placement


def test_sides_that_do_not_divide_by_16_are_drawn_larger_and_cut_back(new_engine: Any) -> None:
    for mode in ("text", "stage", "inpaint"):
        rendered = picture(new_engine().render([request_for(mode, size=(130, 97))])[0])
        assert rendered.rgb.shape == (97, 130, 3)


def test_inpainting_with_a_controlnet_looks_at_edges_or_depth(new_engine: Any, tiny_checkpoint: Path) -> None:
    plain, canny, depth = (
        picture(new_engine(**more).render([request_for("inpaint")])[0]).rgb.astype(int)
        for more in (
            {},
            {"controlnet": str(tiny_checkpoint / "controlnet-v2"), "control": "canny"},
            {"controlnet": str(tiny_checkpoint / "controlnet-v2"), "control": "depth"},
        )
    )
    assert np.abs(plain - canny).mean() > 3
    assert np.abs(canny - depth).mean() > 0.5


def test_the_detail_step_draws_small_and_doubles(new_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(detail="yes", path="stock")
    assert engine.info.planned_area_px == 4 * 1024 * 1024
    seen = forwards(engine, monkeypatch)
    rendered = picture(engine.render([request_for("inpaint", size=(256, 192))])[0])
    assert rendered.rgb.shape == (192, 256, 3)
    assert len(seen) == 8 + 3, "eight steps at half the size, then the last three of eight over the one tile"


def test_the_small_profile_decodes_in_tiles_and_says_so(new_engine: Any) -> None:
    rendered = picture(new_engine(profile="small").render([request_for()])[0])
    assert rendered.notes == ("Decoded in tiles, to save memory.",)


def test_packshots_are_made_without_the_model_where_they_are_asked_for(new_engine: Any) -> None:
    assert "packshot" not in new_engine().info.modes
    engine = new_engine(packshots="yes")
    rendered = picture(render_checked(engine, [request_for("packshot", size=(320, 320))])[0])
    assert (rendered.rgb[0] == 255).all()
    assert rendered.cost_usd == 0.0


def test_what_is_drawn_costs_what_the_card_costs(new_engine: Any) -> None:
    rendered = picture(new_engine(rent_usd_per_hour="36").render([request_for()])[0])
    assert 0 < rendered.cost_usd <= rendered.seconds * 0.01


# ---------------------------------------------------------------- prompts


def test_a_prompt_that_is_too_long_is_refused_alone_with_its_length(new_engine: Any) -> None:
    long = request_for(shot="long", text="a red mug on a wooden table " * 40)
    answers = new_engine(max_prompt_tokens="64").render([request_for(), long])
    assert isinstance(answers[0], Rendered)
    error = failure(answers[1]).error
    assert isinstance(error, EngineRefused)
    assert "the model reads 64" in error.sentence
    assert error.sku == "LIP-021"


def test_a_prompt_may_be_cut_and_then_the_attempt_says_so(new_engine: Any) -> None:
    text = "a red mug on a wooden table " * 40
    rendered = picture(new_engine(max_prompt_tokens="64", long_prompt="cut").render([request_for(text=text)])[0])
    assert any("cut before" in note and "the model reads 64" in note for note in rendered.notes)


def test_prompts_are_encoded_ahead_once_and_change_nothing(new_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for()
    expected = picture(new_engine().render([request])[0]).rgb
    engine = new_engine()
    engine.expect([request.prompt, Prompt("another", "", "en", ())])
    captions = engine._painter.captions
    assert captions.encode_ahead([request.prompt.text, "another"]) == 0
    assert np.array_equal(picture(engine.render([request])[0]).rgb, expected)
    assert request.prompt.text == "A lipstick on a paper sweep, soft light."


# ---------------------------------------------------------------- batches


def test_batches_are_not_drawn_where_the_gate_finds_them_unsafe(
    new_engine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from zimage_core.engines.diffusers import painter

    monkeypatch.setattr(painter, "ask_gate", lambda *_: painter_finding())
    engine = new_engine(path="stock")
    seen = forwards(engine, monkeypatch)
    engine.render([request_for(shot=f"shot{i}") for i in range(3)])
    assert set(seen) == {1}
    assert "no good" in caplog.text


def painter_finding() -> Any:
    from zimage_core.engines.diffusers.gate import GateFinding

    return GateFinding(False, 30.0, "Batches are no good here.")


def test_safe_batches_are_drawn_together(new_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(path="stock")
    seen = forwards(engine, monkeypatch)
    engine.render([request_for(shot=f"shot{i}") for i in range(4)])
    assert seen == [4] * 8


def test_what_cannot_share_a_batch_is_not_put_into_one(new_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(path="stock")
    seen = forwards(engine, monkeypatch)
    requests = [
        request_for(shot="small"),
        request_for(shot="large", size=(192, 128)),
        request_for(shot="wordy", text="a red mug on a wooden table " * 8),
        request_for("inpaint", shot="around"),
    ]
    answers = engine.render(requests)
    assert [answer.attempt_id for answer in answers] == [request.attempt_id for request in requests]
    assert seen == [1] * 32


# ---------------------------------------------------------------- frames that are no pictures


def spoil(checkpoint: Path, name: str, value: float) -> None:
    from safetensors.torch import load_file, save_file

    path = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights[name] = torch.full_like(weights[name], value)
    save_file(weights, path)


def test_not_a_number_is_found_drawn_again_and_stops_the_engine_in_the_end(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tiny_checkpoint import copy_tiny

    broken = copy_tiny(tiny_checkpoint, tmp_path / "broken")
    spoil(broken, "decoder.conv_out.bias", float("nan"))
    engine = create({"model": str(broken), "cache": str(tmp_path), "bad_frames_limit": "2"})
    answers = engine.render([request_for(shot="one")])
    error = failure(answers[0]).error
    assert isinstance(error, BadImage)
    assert "not numbers" in error.sentence
    assert "drawn once more" in caplog.text
    engine.render([request_for(shot="two")])
    (stopped,) = render_checked(engine, [request_for(shot="three")])
    assert isinstance(failure(stopped).error, EngineUnavailable)
    assert "2 pictures in a row could not be used" in failure(stopped).error.sentence
    engine.close()


def test_a_frame_that_was_bad_once_is_drawn_again_and_believed(
    new_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine()
    expected = picture(engine.render([request_for()])[0]).rgb
    fast = engine._painter._fast
    plain = fast.sample
    monkeypatch.setattr(fast, "sample", lambda *given, **more: plain(*given, **more) * float("nan"))
    rendered = picture(engine.render([request_for()])[0])
    assert np.abs(rendered.rgb.astype(int) - expected).max() <= 1


# ---------------------------------------------------------------- stopping, failing, closing


def test_progress_is_told_step_by_step(new_engine: Any) -> None:
    engine = new_engine()
    engine.render([request_for()])
    told: list[Progress] = []
    engine.watch._listener = told.append
    engine.render([request_for(shot=f"shot{i}") for i in range(2)])
    assert [progress.step for progress in told] == list(range(9))
    assert {(progress.steps, progress.pictures) for progress in told} == {(8, 2)}
    assert engine.watch.progress == Progress()


@pytest.mark.parametrize("path", ["fast", "stock"])
def test_drawing_can_be_cancelled_between_two_steps_and_taken_up_again(new_engine: Any, path: str) -> None:
    engine = new_engine(path=path)
    expected = picture(engine.render([request_for()])[0]).rgb
    engine.watch._listener = lambda progress: engine.watch.cancel() if progress.step == 3 else None
    (cancelled,) = engine.render([request_for()])
    assert isinstance(failure(cancelled).error, EngineUnavailable)
    assert "cancelled" in failure(cancelled).error.sentence
    engine.watch._listener = None
    engine.watch.resume()
    assert np.array_equal(picture(engine.render([request_for()])[0]).rgb, expected)


def test_a_model_that_cannot_be_loaded_is_tried_once_and_its_sentence_kept(
    new_engine: Any, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(controlnet=str(tiny_checkpoint / "controlnet-v1"))
    for _ in range(2):
        (answer,) = render_checked(engine, [request_for()])
        error = failure(answer).error
        assert isinstance(error, EngineUnavailable)
        assert "16 channels" in error.sentence
        monkeypatch.delattr("zimage_core.engines.diffusers.painter.load_components", raising=False)


def test_a_closed_engine_says_so(new_engine: Any) -> None:
    engine = new_engine()
    engine.render([request_for()])
    engine.close()
    (answer,) = render_checked(engine, [request_for()])
    assert "closed" in failure(answer).error.sentence


# ---------------------------------------------------------------- identity


def test_what_decides_pixels_decides_the_fingerprint_and_nothing_else_does(
    new_engine: Any, tiny_checkpoint: Path
) -> None:
    plain = new_engine().info.fingerprint
    same = [{"path": "stock"}, {"profile": "small"}, {"device": "cpu:3"}, {"batch_limit": "1"}, {"offline": "yes"}]
    other = [
        {"steps": "9"},
        {"precision": "bf16"},
        {"quantization": "int8"},
        {"quantization": "fp8"},
        {"quantization": "fp8", "path": "stock"},
        {"variant": "base"},
        {"detail": "yes"},
        {"max_prompt_tokens": "256"},
        {"controlnet": str(tiny_checkpoint / "controlnet-v2")},
    ]
    assert {new_engine(**options).info.fingerprint for options in same} == {plain}
    found = [new_engine(**options).info.fingerprint for options in other]
    assert len({plain, *found}) == 1 + len(other)


def test_other_weights_are_another_engine_and_a_copy_is_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from tiny_checkpoint import copy_tiny

    def fingerprint(folder: Path) -> str:
        engine = create({"model": str(folder), "cache": str(tmp_path)})
        try:
            return engine.info.fingerprint
        finally:
            engine.close()

    copied = copy_tiny(tiny_checkpoint, tmp_path / "copy")
    assert fingerprint(copied) == fingerprint(tiny_checkpoint)
    spoil(copied, "decoder.conv_out.bias", 0.25)
    assert fingerprint(copied) != fingerprint(tiny_checkpoint)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:7", "tpu", "mps"])
def test_a_device_that_is_not_there_is_an_error_before_anything_is_loaded(new_engine: Any, device: str) -> None:
    if device == "cuda:0" and torch.cuda.is_available():
        device = "cuda:99"
    with pytest.raises(ConfigurationError) as raised:
        new_engine(device=device)
    assert device in raised.value.sentence


def test_requests_are_answered_where_one_cannot_be_drawn(new_engine: Any) -> None:
    engine = new_engine()
    lost = dataclasses.replace(request_for("stage", shot="lost"), reference=None)
    answers = engine.render([request_for(), lost, request_for("inpaint")])
    assert [type(answer) for answer in answers] == [Rendered, EngineFailure, Rendered]
