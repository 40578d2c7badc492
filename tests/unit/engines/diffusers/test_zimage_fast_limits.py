"""What the static-shape sampler refuses: requests that fit no table, and weights that it cannot merge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from tiny_checkpoint import CAPTION_DIM, make_transformer

from zimage_core.engines.diffusers.fast import merging
from zimage_core.engines.diffusers.fast.fp8 import ensure_fp8
from zimage_core.engines.diffusers.fast.sampler import FastSampler
from zimage_core.engines.diffusers.fast.schedule import noise_of
from zimage_core.errors import ConfigurationError, EngineRefused


def sampler(model: Any) -> FastSampler:
    return FastSampler(model, steps=8, shift=3.0, compiled=False, graphs=True, fp8=False)


def captions(*lengths: int) -> list[torch.Tensor]:
    return [torch.zeros(length, CAPTION_DIM) for length in lengths]


def test_captions_of_two_buckets_cannot_share_a_batch():
    with pytest.raises(EngineRefused, match="20, 40 tokens"):
        sampler(make_transformer()).refine(captions(20, 40))


@pytest.mark.parametrize(
    ("width_px", "height_px", "sentence"),
    [
        (72, 64, "multiples of 16"),
        (64, 0, "multiples of 16"),
        (16, 8208, "8192"),
        (8208, 16, "8192"),
        (64, 96, "noise"),
    ],
)
def test_sizes_that_the_model_cannot_draw_are_refused(width_px: int, height_px: int, sentence: str):
    drawer = sampler(make_transformer())
    with pytest.raises(EngineRefused, match=sentence):
        drawer.sample(noise_of(5, 64, 64), drawer.refine(captions(20)), width_px, height_px)


def test_a_caption_beyond_the_position_table_is_refused():
    drawer = sampler(make_transformer())
    with pytest.raises(EngineRefused, match="max_prompt_tokens"):
        drawer.sample(noise_of(5, 64, 64), torch.zeros(1, 1536, 32), 64, 64)


# ---------------------------------------------------------------- transformers that are left to the stock pipeline


def with_lora() -> Any:
    from peft import LoraConfig

    model = make_transformer()
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    return model


def with_8_bit_storage() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = make_transformer()
    quantize_(model, Int8WeightOnlyConfig())
    return model


def without_qk_norm() -> Any:
    torch.manual_seed(0)
    return ZImageTransformer2DModel(
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        qk_norm=False,
    )


def mixed() -> Any:
    model = make_transformer()
    model.layers[0].feed_forward.w2.bfloat16()
    return model


def streamed() -> Any:
    model = make_transformer()
    model.enable_group_offload(
        onload_device=torch.device("cpu"), offload_device=torch.device("cpu"), offload_type="leaf_level"
    )
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_lora, "LoRA"),
        (with_8_bit_storage, "quantised"),
        (without_qk_norm, "normalise"),
        (streamed, "offload"),
        (lambda: make_transformer().to("meta"), "meta"),
        (mixed, "not in torch.float32"),
    ],
)
def test_weights_that_cannot_be_merged_are_refused_with_the_reason(make: Any, reason: str):
    model = make()
    assert reason in str(merging.why_not(model))
    with pytest.raises(ConfigurationError, match="path=stock"):
        sampler(model)


def test_the_transformer_as_published_can_be_merged():
    assert merging.why_not(make_transformer()) is None


def test_8_bits_are_refused_on_a_card_without_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "A card of 2020")
    with pytest.raises(ConfigurationError, match="A card of 2020 has no 8-bit"):
        ensure_fp8(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 9))
    ensure_fp8(torch.device("cuda"))
