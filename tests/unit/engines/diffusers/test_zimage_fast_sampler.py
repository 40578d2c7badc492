"""The static-shape sampler against the stock pipelines: same weights, noise and captions in the same process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    ZImageInpaintPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from PIL import Image
from tiny_checkpoint import CAPTION_DIM, make_transformer, make_vae
from torch._dynamo.exc import TorchDynamoException

from zimage_core.engines.diffusers.fast import merging, transformer
from zimage_core.engines.diffusers.fast.repaint import repaint_inputs
from zimage_core.engines.diffusers.fast.sampler import FastSampler, Keep
from zimage_core.engines.diffusers.fast.schedule import noise_of, schedule_of, shift_of
from zimage_core.errors import ConfigurationError

STEPS, SHIFT = 8, 3.0
FP32_TOLERANCE = 1e-5  # the requirement is 1e-3


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def awake(model: Any) -> Any:
    """Give every norm, bias and padding token a value of its own: as initialised they are ones and zeros."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and parameter.ndim == 1:
                parameter.normal_(1.0, 0.2, generator=generator)
            elif parameter.ndim == 1 or "pad_token" in name:
                parameter.normal_(0.0, 0.3, generator=generator)
    return model


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, use_dynamic_shifting=False, shift=SHIFT)


def pipeline(model: Any, kind: Any = ZImagePipeline) -> Any:
    pipe = kind(scheduler=scheduler(), vae=make_vae(), text_encoder=None, tokenizer=None, transformer=model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def captions(*lengths: int, width: int = CAPTION_DIM) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randn(length, width, generator=generator) for length in lengths]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def stock(pipe: Any, given: Sequence[torch.Tensor], seeds: Sequence[int], width_px: int, height_px: int) -> Any:
    return pipe(
        prompt_embeds=list(given),
        width=width_px,
        height=height_px,
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=generators(seeds),
        output_type="latent",
        return_dict=False,
    )[0]


def sampler(model: Any, **changes: Any) -> FastSampler:
    return FastSampler(
        model, **({"steps": STEPS, "shift": SHIFT, "compiled": False, "graphs": True, "fp8": False} | changes)
    )


def fast(
    drawer: FastSampler, given: Sequence[torch.Tensor], seeds: Sequence[int], width_px: int, height_px: int
) -> Any:
    noise = torch.cat([noise_of(seed, width_px, height_px) for seed in seeds])
    return drawer.sample(noise, drawer.refine(given), width_px, height_px)


def distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


# ---------------------------------------------------------------- float32: equal


@pytest.mark.parametrize(
    ("width_px", "height_px", "lengths"),
    [
        (64, 128, (20,)),  # 32 image tokens: no padding
        (96, 64, (20,)),  # 24 image tokens, padded to 32
        (80, 112, (40, 64)),  # 35, padded to 64; captions of different length in one bucket
        (112, 80, (31, 1, 32)),  # a batch of three, a caption that fills its bucket and one of a single token
        (16, 16, (97,)),  # one token
    ],
)
def test_latents_equal_the_stock_pipeline_in_float32(width_px: int, height_px: int, lengths: tuple[int, ...]):
    model = awake(make_transformer())
    given, seeds = captions(*lengths), range(5, 5 + len(lengths))
    reference = stock(pipeline(model), given, seeds, width_px, height_px)
    ours = fast(sampler(model), given, seeds, width_px, height_px)
    assert ours.dtype == torch.float32
    assert ours.shape == reference.shape
    assert distance(ours, reference) <= FP32_TOLERANCE
    noise = torch.cat([noise_of(seed, width_px, height_px) for seed in seeds])
    assert distance(reference, noise) > 0.1  # the steps did something that could have differed


def test_painting_around_a_photo_equals_the_stock_inpaint_pipeline():
    model = awake(make_transformer())
    width_px, height_px = 96, 80
    rows, columns = np.mgrid[:height_px, :width_px]
    bases = [np.stack([rows + 90, columns * 2, rows * 0 + tint], -1).astype(np.uint8) for tint in (40, 200)]
    repaints = [((columns + rows) > limit).astype(np.uint8) * 255 for limit in (70, 110)]
    repaints[0][:40, :40], repaints[1][:40, :40] = 127, 128  # grey is rounded as the pipeline's mask processor does
    given, seeds = captions(20, 30), (3, 9)
    pipe = pipeline(model, ZImageInpaintPipeline)
    reference = pipe(
        prompt_embeds=list(given),
        image=[Image.fromarray(base) for base in bases],
        mask_image=[Image.fromarray(repaint) for repaint in repaints],
        strength=1.0,
        width=width_px,
        height=height_px,
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=generators(seeds),
        output_type="latent",
        return_dict=False,
    )[0]
    drawer = sampler(model)
    noise, keep = repaint_inputs(pipe.vae, bases, repaints, seeds, dtype=torch.float32)
    ours = drawer.sample(noise, drawer.refine(given), width_px, height_px, keep=keep)
    assert distance(ours, reference) <= FP32_TOLERANCE
    kept = (keep.mask == 0).expand_as(ours)
    assert torch.equal(ours[kept], keep.image_latents[kept])
    assert distance(drawer.sample(noise, drawer.refine(given), width_px, height_px), ours) > 0.01  # blending matters


def test_a_seed_gives_the_same_picture_alone_and_in_a_batch():
    drawer = sampler(awake(make_transformer()))
    given, seeds = captions(20, 25, 32), (5, 6, 7)
    together = fast(drawer, given, seeds, 96, 64)
    for index, seed in enumerate(seeds):
        alone = fast(drawer, [given[index]], [seed], 96, 64)
        assert distance(together[index : index + 1], alone) <= 1e-5
    assert distance(together[:1], together[1:2]) > 0.1


def test_the_same_call_again_is_equal_bit_for_bit():
    drawer = sampler(awake(make_transformer()))
    first = fast(drawer, captions(20), (5,), 96, 64)
    fast(drawer, captions(20, 40)[1:], (8,), 64, 64)
    assert torch.equal(first, fast(drawer, captions(20), (5,), 96, 64))


def test_the_stock_pipeline_is_untouched_by_sharing_its_weights():
    model = awake(make_transformer())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pipe = pipeline(model)
    reference = stock(pipe, captions(20), (5,), 64, 64)
    for steps in (4, STEPS):  # the second one finds them merged
        sampler(model, steps=steps)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(stock(pipe, captions(20), (5,), 64, 64), reference)


def test_merged_weights_are_held_once():
    model = make_transformer()
    attention = model.layers[0].attention
    parts = (attention.to_q, attention.to_k, attention.to_v)
    together = merging.merged(parts)
    assert together.data_ptr() == attention.to_q.weight.data_ptr()
    assert merging.merged(parts).data_ptr() == together.data_ptr()
    attention.to_v.weight.data.fill_(7.0)
    assert (together[-1] == 7.0).all()


# ---------------------------------------------------------------- bf16 and 8 bits: no worse than stock, and bounded


def larger_transformer() -> Any:
    """Wide and deep enough for rounding to look as it does in the real one: 256 wide, two heads of 128."""
    torch.manual_seed(0)
    return awake(
        ZImageTransformer2DModel(
            dim=256,
            n_layers=3,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=64,
            axes_lens=[1536, 512, 512],
        ).eval()
    )


def test_bf16_is_no_further_from_float32_than_the_stock_pipeline():
    model = larger_transformer().to(torch.bfloat16)
    given = [caption.bfloat16() for caption in captions(20, 29, width=64)]
    stock_bf16 = stock(pipeline(model), given, (1, 2), 96, 64)
    ours_bf16 = fast(sampler(model), given, (1, 2), 96, 64)
    model.float()  # the same weights, exactly
    reference = stock(pipeline(model), [caption.float() for caption in given], (1, 2), 96, 64)
    theirs, ours = distance(stock_bf16, reference), distance(ours_bf16, reference)
    print(f"error against float32: stock bf16 {theirs:.5f}, fast bf16 {ours:.5f}")
    assert theirs > 1e-4  # else there was nothing to compare
    assert ours <= 1.25 * theirs


def test_eight_bit_products_stay_within_a_few_percent():
    model = larger_transformer().to(torch.bfloat16)
    given = [caption.bfloat16() for caption in captions(20, 29, width=64)]
    reference = fast(sampler(model), given, (1, 2), 96, 64)
    drawer = sampler(model, fp8=True)
    error = distance(fast(drawer, given, (1, 2), 96, 64), reference)
    print(f"8-bit products move the latents by {error:.4f}")
    assert 0.001 < error < 0.06
    assert drawer.fingerprint["precision"] == "fp8"


# ---------------------------------------------------------------- schedule and noise


def test_the_noise_of_a_seed_is_what_the_stock_pipeline_draws():
    drawn: list[torch.Tensor] = []
    pipe = pipeline(make_transformer())
    prepare = pipe.prepare_latents
    pipe.prepare_latents = lambda *given, **named: drawn.append(prepare(*given, **named)) or drawn[-1]
    stock(pipe, captions(20, 20), (42, 7), 96, 64)
    assert torch.equal(drawn[0], torch.cat([noise_of(42, 96, 64), noise_of(7, 96, 64)]))


@pytest.mark.parametrize(("steps", "shift"), [(8, 3.0), (9, 3.0), (4, 1.5)])
def test_the_schedule_is_the_one_of_the_stock_scheduler(steps: int, shift: float):
    pipe = pipeline(make_transformer())
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    seen: list[float] = []
    pipe(
        prompt_embeds=captions(4), width=16, height=16, num_inference_steps=steps, guidance_scale=0.0,
        output_type="latent", generator=generators([1])[0],
        callback_on_step_end=lambda _pipe, _step, time, tensors: seen.append(float((1000 - time) / 1000)) or tensors,
    )  # fmt: skip
    schedule = schedule_of(steps, shift_of(pipe.scheduler))
    assert schedule.sigmas == tuple(pipe.scheduler.sigmas.tolist())
    assert schedule.times == tuple(seen)
    assert schedule.steps == steps
    assert sum(schedule.changes) == pytest.approx(-1.0)


@pytest.mark.parametrize("setting", ["use_dynamic_shifting", "stochastic_sampling", "use_karras_sigmas"])
def test_a_scheduler_with_another_grid_is_refused_by_name(setting: str):
    with pytest.raises(ConfigurationError, match=setting):
        shift_of(FlowMatchEulerDiscreteScheduler(shift=3.0, **{setting: True}))


def test_another_kind_of_scheduler_is_refused():
    with pytest.raises(ConfigurationError, match="path=stock"):
        shift_of(object())


# ---------------------------------------------------------------- progress, cancelling, waiting


def test_steps_are_reported_and_whoever_listens_may_stop_them():
    class StopIt(Exception):
        pass

    drawer = sampler(awake(make_transformer()))
    refined, noise = drawer.refine(captions(20)), noise_of(5, 64, 64)
    steps: list[int] = []
    whole = drawer.sample(noise, refined, 64, 64, on_step=steps.append)
    assert steps == list(range(STEPS))

    def stop_at_three(step: int) -> None:
        if step == 3:
            raise StopIt

    with pytest.raises(StopIt):
        drawer.sample(noise, refined, 64, 64, on_step=stop_at_three)
    assert torch.equal(drawer.sample(noise, refined, 64, 64), whole)


def test_with_a_graph_steps_are_reported_once_before_the_launch():
    drawer = sampler(make_transformer())
    launched: list[str] = []

    class Launches:
        def run(self, key: object, run: Any, inputs: Any) -> torch.Tensor:
            launched.append("launch")
            return run(*inputs)

    drawer._graphs = Launches()  # type: ignore[assignment]
    drawer.sample(
        noise_of(5, 64, 64), drawer.refine(captions(20)), 64, 64, on_step=lambda step: launched.append(str(step))
    )
    assert launched == ["-1", "launch"]


def test_nothing_is_read_back_from_the_device_between_noise_and_latents(monkeypatch: pytest.MonkeyPatch):
    """On the meta device reading a value fails, and so does mixing devices: a GPU would have to wait for the host."""
    monkeypatch.setattr(transformer, "why_not", lambda _model: None)
    model = make_transformer().to("meta")
    for fp8 in (False, True):
        drawer = sampler(model, fp8=fp8)
        refined = drawer.refine([caption.to("meta") for caption in captions(20, 30)])
        keep = Keep(torch.zeros(2, 16, 8, 12, device="meta"), torch.zeros(2, 1, 8, 12))
        latents = drawer.sample(torch.zeros(2, 16, 8, 12), refined, 96, 64, keep=keep)
        assert latents.is_meta
        assert latents.shape == (2, 16, 8, 12)


# ---------------------------------------------------------------- compiled


@pytest.mark.slow
def test_the_compiled_block_equals_the_stock_pipeline():
    model = awake(make_transformer())
    reference = stock(pipeline(model), captions(20, 30), (5, 6), 96, 64)
    drawer = sampler(model, compiled=True)
    assert distance(fast(drawer, captions(20, 30), (5, 6), 96, 64), reference) <= FP32_TOLERANCE
    assert drawer.fingerprint["compiled"] == "True"  # it did not fall back


def test_a_compiler_that_fails_is_logged_and_done_without(monkeypatch: pytest.MonkeyPatch, caplog: Any):
    def broken(_function: object) -> Any:
        def call(*_: object) -> None:
            raise TorchDynamoException("no C++ compiler found\nand much more")

        return call

    monkeypatch.setattr(transformer, "compiled", broken)
    model = awake(make_transformer())
    drawer = sampler(model, compiled=True)
    with caplog.at_level(logging.WARNING):
        ours = fast(drawer, captions(20), (5,), 64, 64)
    assert torch.equal(ours, fast(sampler(model), captions(20), (5,), 64, 64))
    assert "no C++ compiler found" in caplog.text
    assert drawer.fingerprint["compiled"] == "False"
