"""Fewer bits: the picture stays near, memory goes down as promised, and GGUF files are read whole or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from diffusers import ZImageTransformer2DModel
from gguf import GGMLQuantizationType as Packing
from safetensors.torch import load_file
from tiny_answer import answer
from tiny_checkpoint import CAPTION_DIM, fused_names

from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.quantized import held_bytes, quantize, read_gguf
from zimage_core.errors import ConfigurationError

CPU = torch.device("cpu")


def wide_transformer() -> ZImageTransformer2DModel:
    """A transformer whose rows hold whole nf4 blocks (64 values) in attention, as the published one's do."""
    torch.manual_seed(0)
    return ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=192,
        n_layers=4,
        n_refiner_layers=1,
        n_heads=6,
        n_kv_heads=6,
        cap_feat_dim=CAPTION_DIM,
        axes_dims=[16, 8, 8],
        axes_lens=[1536, 512, 512],
    ).eval()


def drift(transformer: torch.nn.Module, plain: torch.Tensor) -> float:
    """How far its answer is from the plain one's, as a share of what the plain one varies."""
    return float((answer(transformer) - plain).square().mean().sqrt() / plain.std())


# ---------------------------------------------------------------- quantised on load


@pytest.mark.parametrize(("kind", "most_drift"), [("int8", 0.02), ("fp8", 0.1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_8_bits_take_a_byte_for_each_weight_and_keep_the_answer(kind: str, most_drift: float, dtype: torch.dtype):
    plain = wide_transformer().to(dtype)
    before, expected = held_bytes(plain), answer(plain)
    plain_left, notes = quantize(plain, Options(model="m", quantization=kind, path="stock"), dtype, CPU)
    assert not plain_left
    assert kind in notes[0]
    products = sum(
        module.weight.numel()
        for name, module in wide_transformer().named_modules()
        if isinstance(module, torch.nn.Linear) and (".attention." in name or ".feed_forward." in name)
    )
    saved = before - held_bytes(plain)
    assert 0.95 * products * (dtype.itemsize - 1) < saved < products * (dtype.itemsize - 1)
    assert 0 < drift(plain, expected) < most_drift + (0.02 if dtype is torch.bfloat16 else 0)


def test_nf4_takes_about_half_a_byte_for_each_weight_and_keeps_the_answer_roughly():
    transformer = wide_transformer()
    expected = answer(transformer)
    chosen = [
        module.weight.numel()
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear)
        and (".attention." in name or ".feed_forward." in name)
        and module.in_features % 64 == 0
    ]
    before = held_bytes(transformer)
    plain, notes = quantize(transformer, Options(model="m", quantization="nf4"), torch.float32, CPU)
    assert not plain
    assert "nf4" in notes[0]
    saved_per_weight = (before - held_bytes(transformer)) / sum(chosen)
    assert 4 - 0.5 - 0.2 < saved_per_weight < 4 - 0.5
    assert 0 < drift(transformer, expected) < 0.3


def test_nf4_of_a_model_without_whole_blocks_is_refused():
    from tiny_checkpoint import make_transformer

    with pytest.raises(ConfigurationError, match="rows of a multiple of 64"):
        quantize(make_transformer(), Options(model="m", quantization="nf4"), torch.float32, CPU)


def test_what_shapes_the_whole_picture_is_never_quantised():
    transformer = wide_transformer()
    quantize(transformer, Options(model="m", quantization="int8"), torch.float32, CPU)
    untouched = (transformer.t_embedder.mlp[0], transformer.cap_embedder[1], transformer.layers[0].adaLN_modulation[0])
    for module in (*untouched, transformer.all_final_layer["2-1"].linear, transformer.all_x_embedder["2-1"]):
        assert type(module.weight.data) is torch.Tensor
        assert module.weight.dtype == torch.float32
    assert type(transformer.layers[0].attention.to_q.weight.data) is not torch.Tensor


@pytest.mark.parametrize(("kind", "path"), [("none", "stock"), ("none", "fast"), ("fp8", "fast")])
def test_nothing_is_quantised_where_another_does_it_or_nobody_asked(kind: str, path: str):
    transformer = wide_transformer()
    expected = answer(transformer)
    plain, notes = quantize(transformer, Options(model="m", quantization=kind, path=path), torch.float32, CPU)
    assert plain
    assert torch.equal(answer(transformer), expected)
    assert ("fp8 is done by the fast path" in " ".join(notes)) == (kind == "fp8")


# ---------------------------------------------------------------- GGUF


@pytest.fixture
def write_gguf(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the tiny transformer as a real GGUF file, packed where rows fill whole blocks."""
    weights = load_file(tiny_checkpoint / "transformer" / "diffusion_pytorch_model.safetensors")

    def write(
        packing: Packing = Packing.Q8_0,
        change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = dict,
        packed: tuple[str, ...] = (".attention.qkv.", ".attention.out.", ".w1."),
    ) -> Path:
        path = tmp_path / "tiny.gguf"
        writer = gguf.GGUFWriter(str(path), "lumina2")
        for name, tensor in change(fused_names(weights)).items():
            values = tensor.numpy()
            if any(part in name for part in packed):
                writer.add_tensor(name, gguf.quants.quantize(values, packing), raw_dtype=packing)
            else:
                writer.add_tensor(name, values.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


@pytest.fixture
def plain(tiny_checkpoint: Path) -> torch.Tensor:
    return answer(ZImageTransformer2DModel.from_pretrained(str(tiny_checkpoint / "transformer")))


@pytest.mark.parametrize(("packing", "most"), [(Packing.BF16, 0.02), (Packing.Q8_0, 0.02), (Packing.Q4_0, 0.3)])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_gguf_file_answers_nearly_as_its_original(
    write_gguf: Callable[..., Path],
    tiny_checkpoint: Path,
    plain: torch.Tensor,
    packing: Packing,
    most: float,
    prefix: str,
):
    path = write_gguf(packing, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    transformer, notes = read_gguf(path, tiny_checkpoint / "transformer", torch.float32)
    assert 0 < drift(transformer, plain) < most
    assert notes == ("tiny.gguf is quantised; its weights are unpacked for every product.",)
    assert transformer.layers[0].attention.to_k.weight.dtype == torch.uint8
    assert not any(tensor.is_meta for tensor in transformer.parameters())


def test_norms_and_padding_tokens_that_are_packed_too_are_unpacked(
    write_gguf: Callable[..., Path], tiny_checkpoint: Path, plain: torch.Tensor
):
    path = write_gguf(Packing.BF16, packed=("pad_token", "norm", "bias"))
    transformer, _ = read_gguf(path, tiny_checkpoint / "transformer", torch.float32)
    assert transformer.x_pad_token.dtype == torch.float32
    assert drift(transformer, plain) < 0.02


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {name: v for name, v in t.items() if name != "cap_pad_token"}, "lacks cap_pad_token"),
        (lambda t: t | {"layers.9.ffn_norm1.weight": torch.ones(32)}, r"no place for: layers\.9"),
        (lambda t: t | {"layers.0.attention.qkv.weight": torch.ones(96, 64)}, "does not fit the configuration"),
        (lambda _: {"blk.0.attn_q.weight": torch.ones(32)}, "another model"),
    ],
)
def test_a_gguf_file_that_does_not_fit_is_refused(
    write_gguf: Callable[..., Path], tiny_checkpoint: Path, change: Callable[..., object], says: str
):
    path = write_gguf(change=change)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_gguf(path, tiny_checkpoint / "transformer", torch.float32)
    assert "tiny.gguf" in str(caught.value)


@pytest.mark.parametrize("kept", [3, 100, 0.5, 0.99])
def test_half_a_gguf_file_is_refused(write_gguf: Callable[..., Path], tiny_checkpoint: Path, kept: float):
    path = write_gguf()
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ConfigurationError, match=r"tiny\.gguf"):
        read_gguf(path, tiny_checkpoint / "transformer", torch.float32)


def test_another_file_named_gguf_is_refused(tmp_path: Path, tiny_checkpoint: Path):
    (tmp_path / "x.gguf").write_bytes(b"<html>please sign in</html>")
    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        read_gguf(tmp_path / "x.gguf", tiny_checkpoint / "transformer", torch.float32)
