"""A transformer from one file: every spelling in use gives the same tensors, everything else is refused by its keys."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from safetensors.torch import load_file, save_file
from tiny_checkpoint import fused_names

from zimage_core.engines.diffusers.header import read_header
from zimage_core.engines.diffusers.single_file import empty_model, expected_tensors, read_tensors
from zimage_core.errors import ConfigurationError

Tensors = dict[str, torch.Tensor]
QKV = "layers.0.attention.qkv.weight"


@pytest.fixture(scope="module")
def weights(tiny_checkpoint: Path) -> Tensors:
    return load_file(tiny_checkpoint / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def expected(tiny_checkpoint: Path) -> dict[str, torch.Size]:
    return expected_tensors(empty_model(ZImageTransformer2DModel, tiny_checkpoint / "transformer"))


@pytest.fixture
def read(tmp_path: Path, expected: dict[str, torch.Size]) -> Callable[[Tensors], tuple[Tensors, tuple[str, ...]]]:
    def save_and_read(tensors: Tensors) -> tuple[Tensors, tuple[str, ...]]:
        save_file(tensors, tmp_path / "brand.safetensors")
        return read_tensors([tmp_path / "brand.safetensors"], expected)

    return save_and_read


# ---------------------------------------------------------------- accepted


@pytest.mark.parametrize("fused", [False, True], ids=["library-names", "original-names"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model.", "transformer.", "model."])
def test_every_spelling_gives_the_same_tensors(weights: Tensors, read: Any, prefix: str, fused: bool):
    spelled = fused_names(weights, prefix) if fused else {prefix + name: tensor for name, tensor in weights.items()}
    found, notes = read(spelled)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert notes == ()


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_what_belongs_to_other_models_of_a_checkpoint_is_left_out(weights: Tensors, read: Any, prefix: str):
    strays = {"vae.decoder.conv_in.weight": torch.ones(2), "text_encoders.qwen3_4b.norm.weight": torch.ones(2)}
    strays |= {"text_encoders.qwen3_4b.scaled_fp8": torch.ones(1), f"{prefix}norm_final.weight": torch.ones(2)}
    found, _ = read(fused_names(weights, prefix) | strays)
    assert found.keys() == weights.keys()


def test_shards_are_read_as_one(weights: Tensors, expected: dict[str, torch.Size], tmp_path: Path):
    names = list(weights)
    for shard in (0, 1):
        save_file({name: weights[name] for name in names[shard::2]}, tmp_path / f"{shard}.safetensors")
    found, _ = read_tensors([tmp_path / "0.safetensors", tmp_path / "1.safetensors"], expected)
    assert found.keys() == weights.keys()


def test_8_bit_floats_without_factors_are_taken_and_noted(weights: Tensors, read: Any):
    found, notes = read({name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()})
    assert found[QKV.replace("qkv", "to_q")].dtype == torch.float8_e4m3fn
    assert notes == ("brand.safetensors holds 8-bit floats; they were widened on load.",)


# ---------------------------------------------------------------- refused


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


def with_added(name: str, tensor: torch.Tensor | None = None) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: torch.ones(1) if tensor is None else tensor}


REFUSED = {
    "one-tensor-missing": (without("cap_pad_token"), "lacks cap_pad_token"),
    "a-fused-tensor-missing": (without(QKV), r"lacks layers\.0\.attention\.to_k\.weight, .*to_q\.weight"),
    "one-tensor-too-many": (with_added("layers.0.extra.weight"), r"has no place for: .*layers\.0\.extra\.weight"),
    "more-layers-than-the-configuration": (with_added("layers.2.ffn_norm1.weight"), r"no place for: .*layers\.2\.ffn"),
    "scale-weight": (with_added("layers.0.attention.qkv.scale_weight"), r"scaled weights \(.*qkv\.scale_weight\)"),
    "scaled-fp8-marker": (with_added("scaled_fp8"), r"scaled weights \(.*scaled_fp8\)"),
    "comfy-quant": (with_added("layers.0.attention.qkv.comfy_quant"), r"scaled weights \(.*comfy_quant\)"),
    "weight-scale": (with_added("layers.0.attention.qkv.weight_scale"), r"scaled weights \(.*weight_scale\)"),
    "weight-scale-2": (with_added("layers.0.attention.qkv.weight_scale_2"), r"scaled weights \(.*weight_scale_2\)"),
    "input-scale": (with_added("layers.0.attention.qkv.input_scale"), r"scaled weights \(.*input_scale\)"),
    "a-lora": (lambda _: {"diffusion_model.layers.0.attention.to_q.lora_A.weight": torch.ones(1)}, "is a LoRA .*lora"),
    "a-kohya-lora": (lambda _: {"lora_unet_layers_0_attention_to_q.alpha": torch.ones(1)}, "is a LoRA"),
    "a-controlnet": (lambda _: {"control_layers.0.after_proj.weight": torch.ones(1)}, "is a ControlNet"),
    "another-model": (lambda _: {"double_blocks.0.img_attn.qkv.weight": torch.ones(1)}, "another model.*double_blocks"),
    "nothing": (lambda _: {}, "another model"),
    "another-size": (with_added("cap_pad_token", torch.ones(1, 64)), r"cap_pad_token with shape \(1, 64\).*\(1, 32\)"),
    "another-fused-size": (with_added(QKV, torch.ones(64, 32)), r"qkv\.weight with shape \(64, 32\).*\(96, 32\)"),
    "packed-integers": (with_added(QKV, torch.ones(96, 32, dtype=torch.int8)), r"qkv\.weight as I8, quantised"),
    "the-same-twice": (
        with_added("layers.0.attention.to_q.weight", torch.ones(32, 32)),
        r"layers\.0\.attention\.to_q\.weight twice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_what_cannot_be_right_is_refused_with_file_and_key(weights: Tensors, read: Any, case: str, prefix: str):
    change, says = REFUSED[case]
    changed = change(fused_names(weights))
    ours = {name for name in changed if not name.startswith(("lora_unet", "diffusion_model.", "control_"))}
    with pytest.raises(ConfigurationError, match=says) as caught:
        read({prefix + name if name in ours else name: tensor for name, tensor in changed.items()})
    assert "brand.safetensors" in str(caught.value)


def test_many_keys_are_counted_after_the_first_few(weights: Tensors, read: Any):
    with pytest.raises(ConfigurationError, match=r"text_encoder\.x0, .* and 15 more\)"):
        read({f"text_encoder.x{number}": torch.ones(1) for number in range(20)})


# ---------------------------------------------------------------- not a whole safetensors file


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_half_a_file_says_how_much_is_missing(weights: Tensors, tmp_path: Path, kept: float):
    file = tmp_path / "brand.safetensors"
    save_file(weights, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ConfigurationError, match=f"not whole: its header promises {len(whole):,} bytes"):
        read_header(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"GGUF\x03\x00\x00\x00more", "is a GGUF file"),
        (b"PK\x03\x04archive.zip....", "pickled PyTorch checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!doctype html><title>Sign in</title>", "a web page"),
        (b"plain text, and quite long for a file of weights", "not a safetensors file"),
        (struct.pack("<Q", 20) + b"{not json at all.... and more", "not a safetensors file"),
        (struct.pack("<Q", 4) + b"[1] and more of it", "not a safetensors file"),
        (struct.pack("<Q", 16) + b'{"a": {"b": 1}} ', "not a safetensors file"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path: Path, content: bytes, says: str):
    file = tmp_path / "brand.safetensors"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_header(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"none\.safetensors: No such file"):
        read_header(tmp_path / "none.safetensors")


def test_a_configuration_of_another_model_is_named(tiny_checkpoint: Path, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "FluxTransformer2DModel"}))
    with pytest.raises(ConfigurationError, match=r"config\.json describes a FluxTransformer2DModel"):
        empty_model(ZImageTransformer2DModel, tmp_path)
