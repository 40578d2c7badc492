"""From files to components: whole, in one type, ready to draw; and what is said of a model that is not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from diffusers import ZImageControlNetInpaintPipeline, ZImagePipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_answer import answer
from tiny_checkpoint import copy_tiny, fused_names

from zimage_core.engines.diffusers.loading import Components, load_components
from zimage_core.engines.diffusers.options import Adapter, Options
from zimage_core.engines.diffusers.quantized import read_gguf
from zimage_core.engines.diffusers.weights import find_model
from zimage_core.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[4]
Tensors = dict[str, torch.Tensor]


def load(options: Options, dtype: torch.dtype = torch.float32) -> Components:
    return load_components(options, find_model(options), dtype=dtype)


def draw(parts: Components) -> torch.Tensor:
    pipeline = ZImagePipeline(parts.scheduler, parts.vae, parts.text_encoder, parts.tokenizer, parts.transformer)
    pipeline.set_progress_bar_config(disable=True)
    generator = [torch.Generator().manual_seed(1)]
    return pipeline(
        ["a red mug"],
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=0.0,
        generator=generator,
        output_type="pt",
    ).images.float()


def transformer_file(folder: Path) -> Path:
    return folder / "transformer" / "diffusion_pytorch_model.safetensors"


def rewrite(path: Path, change: Callable[[Tensors], Tensors]) -> None:
    # cloned, because the tensors are views of the file that is being written
    save_file({name: tensor.clone() for name, tensor in change(load_file(path)).items()}, path)


@pytest.fixture
def spoilt(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return copy_tiny(tiny_checkpoint, tmp_path / "model")


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path) -> Components:
    return load(Options(model=str(tiny_checkpoint)))


@pytest.fixture(scope="module")
def picture(whole: Components) -> torch.Tensor:
    return draw(whole)


# ---------------------------------------------------------------- accepted


def test_a_folder_draws_as_the_library_draws_it(tiny_checkpoint: Path, picture: torch.Tensor):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    theirs = ZImagePipeline.from_pretrained(str(tiny_checkpoint), dtype=torch.float32, local_files_only=True)
    ours = Components(**theirs.components, controlnet=None, loaded_bytes=0, loading_s=0.0, notes=())
    torch.testing.assert_close(draw(ours), picture, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_part_is_of_one_type_whole_and_without_gradients(tiny_checkpoint: Path, dtype: torch.dtype):
    parts = load(Options(model=str(tiny_checkpoint), controlnet=tiny_checkpoint / "controlnet-v2"), dtype)
    modules = (parts.transformer, parts.vae, parts.text_encoder, parts.controlnet)
    tensors = [tensor for module in modules for tensor in module.parameters()]
    assert {tensor.dtype for tensor in tensors} == {dtype}
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)
    assert not any(child.training for module in modules for child in module.modules())
    buffers = [tensor for module in modules for tensor in module.buffers()]
    assert parts.loaded_bytes == sum(tensor.nbytes for tensor in (*tensors, *buffers))
    assert parts.loading_s > 0
    assert parts.plain
    assert parts.notes == ()
    assert torch.isfinite(draw(parts)).all()


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "transformer."])
def test_one_file_and_a_base_draw_as_the_folder(
    tiny_checkpoint: Path, tmp_path: Path, picture: torch.Tensor, prefix: str
):
    file = tmp_path / "brand.safetensors"
    save_file(fused_names(load_file(transformer_file(tiny_checkpoint)), prefix), file)
    parts = load(Options(model=str(file), base=str(tiny_checkpoint)))
    # mapped files place tensors at other offsets, and the CPU adds up in another order there
    torch.testing.assert_close(draw(parts), picture, rtol=0, atol=1e-5)


def test_8_bit_floats_are_widened_to_the_type_asked_for(tiny_checkpoint: Path, tmp_path: Path):
    file = tmp_path / "brand.safetensors"
    weights = load_file(transformer_file(tiny_checkpoint))
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()}, file)
    parts = load(Options(model=str(file), base=str(tiny_checkpoint)), torch.bfloat16)
    assert {tensor.dtype for tensor in parts.transformer.parameters()} == {torch.bfloat16}
    assert parts.notes == ("brand.safetensors holds 8-bit floats; they were widened on load.",)


def test_a_sharded_folder_draws_as_one_file(spoilt: Path, picture: torch.Tensor):
    file = transformer_file(spoilt)
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    file.unlink()
    names = list(tensors)
    for shard in ("a", "b"):
        save_file({name: tensors[name] for name in names[shard == "b" :: 2]}, file.parent / f"{shard}.safetensors")
    index = {"weight_map": {name: f"{'ab'[place % 2]}.safetensors" for place, name in enumerate(names)}}
    file.with_name(file.name + ".index.json").write_text(json.dumps(index))
    torch.testing.assert_close(draw(load(Options(model=str(spoilt)))), picture, rtol=0, atol=1e-5)


def gguf_of(tensors: Tensors, path: Path) -> Path:
    writer = gguf.GGUFWriter(str(path), "lumina2")
    packing = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in tensors.items():
        if ".attention.to_" in name:
            writer.add_tensor(name, gguf.quants.quantize(tensor.numpy(), packing), raw_dtype=packing)
        else:
            writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def lora_of(tiny: Path, path: Path) -> Path:
    rows = load_file(transformer_file(tiny))["layers.0.attention.to_q.weight"].shape[0]
    halves = {"A": torch.full((2, rows), 0.3), "B": torch.full((rows, 2), 0.3)}
    save_file(
        {f"transformer.layers.0.attention.to_v.lora_{half}.weight": value for half, value in halves.items()}, path
    )
    return path


def test_an_adapter_beside_packed_weights_draws_as_one_that_was_fused(
    tiny_checkpoint: Path, tmp_path: Path, whole: Components
):
    lora = Adapter(lora_of(tiny_checkpoint, tmp_path / "brand.safetensors"), 0.8)
    packed = gguf_of(load_file(transformer_file(tiny_checkpoint)), tmp_path / "tiny.gguf")
    fused = load(Options(model=str(tiny_checkpoint), lora=(lora,)))
    beside = load(Options(model=str(packed), base=str(tiny_checkpoint), lora=(lora,)))
    eight = load(Options(model=str(tiny_checkpoint), lora=(lora,), quantization="int8"))
    assert (fused.plain, beside.plain, eight.plain) == (True, False, False)
    assert "stays beside the packed weights" in beside.notes[-1]
    assert fused.notes == ("LoRA brand.safetensors at 0.8 was fused into the weights.",)
    expected, moved = answer(fused.transformer), (answer(fused.transformer) - answer(whole.transformer)).abs().max()
    for parts in (beside, eight):
        assert (answer(parts.transformer) - expected).abs().max() < moved / 4


def test_a_controlnet_repaints(tiny_checkpoint: Path):
    parts = load(Options(model=str(tiny_checkpoint), controlnet=tiny_checkpoint / "controlnet-v2"))
    pipeline = ZImageControlNetInpaintPipeline(
        parts.scheduler, parts.vae, parts.text_encoder, parts.tokenizer, parts.transformer, parts.controlnet
    )
    pipeline.set_progress_bar_config(disable=True)
    grey = Image.new("RGB", (64, 64), (120, 130, 140))
    drawn = [
        pipeline(
            ["a mug"],
            image=[grey],
            mask_image=[Image.new("L", (64, 64), 255)],
            control_image=[grey],
            width=64,
            height=64,
            num_inference_steps=2,
            guidance_scale=0.0,
            controlnet_conditioning_scale=scale,
            generator=[torch.Generator().manual_seed(1)],
            output_type="pt",
        ).images
        for scale in (0.0, 0.75)
    ]
    assert not torch.equal(drawn[0], drawn[1])


def test_a_controlnet_may_be_one_file_with_its_configuration_beside_it(tiny_checkpoint: Path, tmp_path: Path):
    folder = tiny_checkpoint / "controlnet-v2"
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    file = tmp_path / "Union-2.1.safetensors"
    file.write_bytes((folder / "diffusion_pytorch_model.safetensors").read_bytes())
    parts = load(Options(model=str(tiny_checkpoint), controlnet=file))
    saved = load_file(file)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in parts.controlnet.state_dict().items())


def test_loading_draws_no_bars_and_logs_nothing(tiny_checkpoint: Path, tmp_path: Path, caplog: Any, capfd: Any):
    lora = Adapter(lora_of(tiny_checkpoint, tmp_path / "brand.safetensors"), 0.8)
    with caplog.at_level(logging.INFO):
        load(Options(model=str(tiny_checkpoint), lora=(lora,), quantization="int8"))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_importing_the_libraries_is_silent_and_hides_nothing_later():
    code = (
        "import zimage_core.engines.diffusers.loading, torchao, bitsandbytes, logging\n"
        "logging.getLogger('torchao').warning('Failed to load the next one')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == ""
    assert done.stderr.strip() == "Failed to load the next one"


# ---------------------------------------------------------------- refused


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def no_chat_template(folder: Path) -> None:
    (folder / "tokenizer" / "chat_template.jinja").unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])


def drop(path: Path, name: str) -> None:
    rewrite(path, lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name})


VAE, ENCODER = Path("vae/diffusion_pytorch_model.safetensors"), Path("text_encoder/model.safetensors")
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "transformer-tensor": (lambda f: drop(transformer_file(f), "x_pad_token"), "lacks x_pad_token"),
    "transformer-extra": (
        lambda f: rewrite(transformer_file(f), lambda t: t | {"layers.5.extra": torch.ones(1)}),
        r"no place for: layers\.5\.extra",
    ),
    "transformer-cut": (lambda f: cut(transformer_file(f)), "not whole"),
    "transformer-scaled": (
        lambda f: rewrite(transformer_file(f), lambda t: t | {"scaled_fp8": torch.ones(1)}),
        r"scaled weights \(scaled_fp8\)",
    ),
    "vae-tensor": (lambda f: drop(f / VAE, "decoder.conv_in.weight"), r"lacks decoder\.conv_in\.weight"),
    "vae-cut": (lambda f: cut(f / VAE), "not whole"),
    "vae-channels": (
        lambda f: change_json(f / "transformer" / "config.json", in_channels=8),
        "model of another size",
    ),
    "encoder-tensor": (lambda f: drop(f / ENCODER, "norm.weight"), r"text encoder .* lacks norm\.weight"),
    "encoder-cut": (lambda f: cut(f / ENCODER), "not whole"),
    "encoder-kind": (lambda f: change_json(f / "text_encoder" / "config.json", model_type="llama"), "is a llama"),
    "encoder-layers": (
        lambda f: change_json(f / "text_encoder" / "config.json", intermediate_size=48),
        "text_encoder cannot be loaded",
    ),
    "scheduler-kind": (
        lambda f: change_json(f / "scheduler" / "scheduler_config.json", _class_name="DDIMScheduler"),
        "is a DDIMScheduler",
    ),
    "no-chat-template": (no_chat_template, "no chat template"),
    "vae-of-another-class": (
        lambda f: change_json(f / "vae" / "config.json", _class_name="AutoencoderKLWan"),
        "describes a AutoencoderKLWan",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_is_not_right_is_refused_before_it_draws(spoilt: Path, case: str):
    spoil, says = REFUSED[case]
    spoil(spoilt)
    with pytest.raises(ConfigurationError, match=says) as caught:
        load(Options(model=str(spoilt)))
    assert str(spoilt) in str(caught.value)


def test_a_vae_of_other_latents_is_refused(spoilt: Path):
    rewrite(
        spoilt / VAE,
        lambda tensors: (
            tensors
            | {
                "decoder.conv_in.weight": tensors["decoder.conv_in.weight"][:, :4],
                "encoder.conv_out.weight": tensors["encoder.conv_out.weight"][:8],
                "encoder.conv_out.bias": tensors["encoder.conv_out.bias"][:8],
            }
        ),
    )
    change_json(spoilt / "vae" / "config.json", latent_channels=4)
    with pytest.raises(ConfigurationError, match="latents of 4 channels and the transformer reads 16"):
        load(Options(model=str(spoilt)))


def test_a_controlnet_of_version_1_is_refused_because_it_cannot_repaint(tiny_checkpoint: Path):
    with pytest.raises(ConfigurationError, match=r"controlnet-v1 reads 16 channels and cannot repaint.*33"):
        load(Options(model=str(tiny_checkpoint), controlnet=tiny_checkpoint / "controlnet-v1"))


def test_a_controlnet_of_another_model_or_with_a_tensor_missing_is_refused(spoilt: Path):
    folder = spoilt / "controlnet-v2"
    drop(folder / "diffusion_pytorch_model.safetensors", "control_layers.0.after_proj.weight")
    with pytest.raises(ConfigurationError, match=r"lacks control_layers\.0\.after_proj\.weight"):
        load(Options(model=str(spoilt), controlnet=folder))
    change_json(folder / "config.json", dim=64)
    with pytest.raises(ConfigurationError, match="made for another model: its dim is 64"):
        load(Options(model=str(spoilt), controlnet=folder))


def test_a_part_that_a_library_left_without_values_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from zimage_core.engines.diffusers import loading

    def read_hollow(*given: Any) -> Any:
        transformer, notes = read_gguf(*given)
        transformer.x_pad_token = torch.nn.Parameter(torch.empty(1, 32, device="meta"))
        return transformer, notes

    monkeypatch.setattr(loading, "read_gguf", read_hollow)
    packed = gguf_of(load_file(transformer_file(tiny_checkpoint)), tmp_path / "tiny.gguf")
    with pytest.raises(ConfigurationError, match="without a value for x_pad_token"):
        load(Options(model=str(packed), base=str(tiny_checkpoint)))


def test_quantising_what_is_quantised_is_refused(tiny_checkpoint: Path, tmp_path: Path):
    packed = gguf_of(load_file(transformer_file(tiny_checkpoint)), tmp_path / "tiny.gguf")
    with pytest.raises(ConfigurationError, match=r"tiny\.gguf is quantised already; leave option quantization=int8"):
        load(Options(model=str(packed), base=str(tiny_checkpoint), quantization="int8"))
