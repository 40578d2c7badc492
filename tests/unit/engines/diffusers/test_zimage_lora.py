"""LoRA: every spelling changes the picture in the same way, weights add up, and what would load nothing is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import ZImagePipeline
from safetensors.torch import save_file
from tiny_answer import answer
from tiny_checkpoint import make_transformer

from zimage_core.engines.diffusers.lora import apply_adapters
from zimage_core.engines.diffusers.lora_file import read_adapter
from zimage_core.engines.diffusers.options import Adapter
from zimage_core.errors import ConfigurationError

Tensors = dict[str, torch.Tensor]
RANK = 4
BLOCKS = ("layers.0", "layers.1", "noise_refiner.0", "context_refiner.0")
OUT = "attention.to_out.0"


def products() -> dict[str, torch.nn.Linear]:
    return {name: module for name, module in make_transformer().named_modules() if isinstance(module, torch.nn.Linear)}


SIZES = {name: (module.in_features, module.out_features) for name, module in products().items()}


def factors(seed: int = 3) -> Tensors:
    """A LoRA over every product, to_q, to_k and to_v of a block sharing their lora_A, as a fused one must."""
    generator = torch.Generator().manual_seed(seed)
    made: Tensors = {}
    for name, (reads, gives) in SIZES.items():
        down = torch.randn(RANK, reads, generator=generator) * 0.2
        if name.endswith((".to_k", ".to_v")):
            down = made[name[:-1] + "q.lora_A.weight"].clone()
        made[f"{name}.lora_A.weight"] = down
        made[f"{name}.lora_B.weight"] = torch.randn(gives, RANK, generator=generator) * 0.2
    return made


def original(name: str) -> str:
    for ours, theirs in (
        ("all_final_layer.2-1.", "final_layer."),
        ("all_x_embedder.2-1", "x_embedder"),
        (".to_out.0", ".out"),
    ):
        name = name.replace(ours, theirs)
    return name


def fused(tensors: Tensors) -> Tensors:
    """The same LoRA for the original model: its names, qkv in one."""
    made = {original(key): value for key, value in tensors.items()}
    for block in BLOCKS:
        parts = [f"{block}.attention.to_{part}" for part in "qkv"]
        made[f"{block}.attention.qkv.lora_A.weight"] = made[f"{parts[0]}.lora_A.weight"]
        made[f"{block}.attention.qkv.lora_B.weight"] = torch.cat([made[f"{part}.lora_B.weight"] for part in parts])
        for part in parts:
            del made[f"{part}.lora_A.weight"], made[f"{part}.lora_B.weight"]
    return made


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}


def renamed(tensors: Tensors, down: str, up: str) -> Tensors:
    return {key.replace(".lora_A.weight", down).replace(".lora_B.weight", up): value for key, value in tensors.items()}


def kohya(tensors: Tensors) -> Tensors:
    """Underscores for dots in module names, lora_down and lora_up."""
    return {
        "lora_unet_" + key.rpartition(".lora_")[0].replace(".", "_") + ".lora_" + key.rpartition(".lora_")[2]: value
        for key, value in renamed(tensors, ".lora_down.weight", ".lora_up.weight").items()
    }


def with_alpha(tensors: Tensors, alpha: float) -> Tensors:
    """The same LoRA with an alpha beside each module and a lora_B that makes up for it."""
    made = dict(tensors)
    for key, value in tensors.items():
        if ".lora_B." in key or ".lora_up." in key or ".lora.up." in key:
            made[key] = value * RANK / alpha
            made[key[: key.index(".lora")] + ".alpha"] = torch.tensor(alpha)
    return made


SPELLINGS: dict[str, Callable[[Tensors], Tensors]] = {
    "transformer": lambda t: prefixed("transformer.", t),
    "diffusion_model": lambda t: prefixed("diffusion_model.", t),
    "no-prefix": lambda t: t,
    "peft": lambda t: prefixed("base_model.model.", t),
    "peft-of-a-pipeline": lambda t: prefixed("base_model.model.transformer.", t),
    "peft-adapter-name": lambda t: renamed(t, ".lora_A.default.weight", ".lora_B.default.weight"),
    "down-up": lambda t: prefixed("diffusion_model.", renamed(t, ".lora_down.weight", ".lora_up.weight")),
    "down-up-alpha": lambda t: with_alpha(
        prefixed("diffusion_model.", renamed(t, ".lora_down.weight", ".lora_up.weight")), 2.0
    ),
    "transformer-alpha": lambda t: with_alpha(prefixed("transformer.", t), 1.0),
    "dots": lambda t: prefixed("diffusion_model.", renamed(fused(t), ".lora.down.weight", ".lora.up.weight")),
    "fused-A-B": lambda t: prefixed("diffusion_model.", fused(t)),
    "fused-A-B-alpha": lambda t: with_alpha(prefixed("diffusion_model.", fused(t)), 8.0),
    "fused-down-up": lambda t: prefixed("diffusion_model.", renamed(fused(t), ".lora_down.weight", ".lora_up.weight")),
    "kohya": kohya,
    "kohya-alpha": lambda t: with_alpha(kohya(t), 2.0),
    "kohya-fused": lambda t: kohya(fused(t)),
    "kohya-fused-alpha": lambda t: with_alpha(kohya(fused(t)), 16.0),
    "to.q": lambda t: {f"diffusion_model.{key.replace('.to_q.', '.to.q.')}": value for key, value in t.items()},
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(tensors: Tensors, name: str = "brand.safetensors", metadata: dict[str, str] | None = None) -> Path:
        path = tmp_path / name
        save_file({key: value.clone().contiguous() for key, value in tensors.items()}, path, metadata)
        return path

    return write


@pytest.fixture(scope="module")
def plain_answer() -> torch.Tensor:
    return answer(make_transformer())


def answer_with(*adapters: Adapter, fuse: bool = True) -> torch.Tensor:
    transformer = make_transformer()
    apply_adapters(transformer, adapters, fuse=fuse)
    return answer(transformer)


# ---------------------------------------------------------------- accepted


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_factors(save: Callable[..., Path], spelling: str):
    ours = factors()
    read = read_adapter(save(SPELLINGS[spelling](ours)), SIZES)
    assert read.keys() == ours.keys()
    for product in SIZES:
        torch.testing.assert_close(
            read[f"{product}.lora_B.weight"] @ read[f"{product}.lora_A.weight"],
            ours[f"{product}.lora_B.weight"] @ ours[f"{product}.lora_A.weight"],
        )


def test_fusing_is_what_the_library_computes_beside_the_weights(
    save: Callable[..., Path], tiny_checkpoint: Path, plain_answer: torch.Tensor
):
    path = save(prefixed("transformer.", factors()))
    transformer = make_transformer()
    pipeline = ZImagePipeline(None, None, None, None, transformer)
    pipeline.load_lora_weights(str(path), adapter_name="brand")
    pipeline.set_adapters(["brand"], [0.8])
    theirs = answer(transformer)
    torch.testing.assert_close(answer_with(Adapter(path, 0.8)), theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer_with(Adapter(path, 0.8), fuse=False), theirs, rtol=1e-4, atol=1e-5)
    assert (theirs - plain_answer).abs().max() > 0.05


def test_weight_nought_is_the_model_itself(save: Callable[..., Path], plain_answer: torch.Tensor):
    assert torch.equal(answer_with(Adapter(save(factors()), 0.0)), plain_answer)


def test_several_adapters_add_up_in_their_weights(save: Callable[..., Path]):
    first, second = save(factors(3), "one.safetensors"), save(factors(4), "two.safetensors")
    transformer = make_transformer()
    with torch.no_grad():
        for name, module in transformer.named_modules():
            for seed, weight in ((3, 0.6), (4, -0.5)):
                if isinstance(module, torch.nn.Linear):
                    made = factors(seed)
                    module.weight += weight * made[f"{name}.lora_B.weight"] @ made[f"{name}.lora_A.weight"]
    torch.testing.assert_close(
        answer_with(Adapter(first, 0.6), Adapter(second, -0.5)), answer(transformer), rtol=1e-4, atol=1e-5
    )


def test_files_of_one_name_in_two_folders_are_two_adapters(save: Callable[..., Path], tmp_path: Path):
    (tmp_path / "b").mkdir()
    one, two = save(factors(3), "v1.0.safetensors"), save(factors(4), "b/v1.0.safetensors")
    both = answer_with(Adapter(one, 1.0), Adapter(two, 1.0))
    assert not torch.allclose(both, answer_with(Adapter(one, 1.0)), atol=1e-3)
    assert not torch.allclose(both, answer_with(Adapter(two, 1.0)), atol=1e-3)


def test_fused_weights_are_plain_again_and_the_file_is_untouched(save: Callable[..., Path]):
    path = save(factors())
    before = path.read_bytes()
    transformer = make_transformer()
    notes = apply_adapters(transformer, [Adapter(path, 0.8)], fuse=True)
    assert notes == ("LoRA brand.safetensors at 0.8 was fused into the weights.",)
    assert {type(module) for name, module in transformer.named_modules() if name in SIZES} == {torch.nn.Linear}
    assert not hasattr(transformer, "peft_config")
    assert transformer.state_dict().keys() == make_transformer().state_dict().keys()
    assert path.read_bytes() == before


def test_no_adapter_changes_nothing_and_says_nothing(plain_answer: torch.Tensor):
    transformer = make_transformer()
    assert apply_adapters(transformer, [], fuse=True) == ()
    assert torch.equal(answer(transformer), plain_answer)


def test_a_fused_qkv_beside_its_own_thirds_is_taken_once(save: Callable[..., Path]):
    ours = prefixed("diffusion_model.", factors())
    both = ours | {key: value for key, value in prefixed("diffusion_model.", fused(factors())).items() if "qkv" in key}
    assert read_adapter(save(both), SIZES).keys() == factors().keys()


# ---------------------------------------------------------------- alpha that is not among the tensors


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"lora_alpha": 8, "r": RANK}, 2.0),
        ({"lora_alpha": 8, "r": RANK, "use_rslora": True}, 8 / math.sqrt(RANK)),
        ({"lora_alpha": 4, "alpha_pattern": {"attention.to_q": 12}}, 3.0),
        ({}, 1.0),
    ],
)
@pytest.mark.parametrize("kept", ["in the header", "beside the file"])
def test_the_alpha_of_pefts_settings_counts(
    save: Callable[..., Path], tmp_path: Path, settings: dict[str, object], scale: float, kept: str
):
    ours = factors()
    if kept == "in the header":
        spelled = json.dumps({f"transformer.{name}": value for name, value in settings.items()})
        path = save(prefixed("transformer.", ours), metadata={"lora_adapter_metadata": spelled})
    else:
        path = save(prefixed("base_model.model.", ours), "adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    product = "layers.0.attention.to_q.lora_B.weight"
    torch.testing.assert_close(read_adapter(path, SIZES)[product], ours[product] * scale)


def test_settings_that_cannot_be_read_are_refused(save: Callable[..., Path]):
    with pytest.raises(ConfigurationError, match="lora_adapter_metadata in its header that is not JSON"):
        read_adapter(save(factors(), metadata={"lora_adapter_metadata": "{"}), SIZES)
    with pytest.raises(ConfigurationError, match="lora_alpha 'high'"):
        read_adapter(save(factors(), metadata={"lora_adapter_metadata": '{"lora_alpha": "high"}'}), SIZES)
    with pytest.raises(ConfigurationError, match="is a DoRA by its settings"):
        read_adapter(save(factors(), metadata={"lora_adapter_metadata": '{"transformer.use_dora": true}'}), SIZES)


# ---------------------------------------------------------------- refused


def changed(key: str, value: torch.Tensor | None) -> Callable[[Tensors], Tensors]:
    return lambda t: {name: old for name, old in t.items() if name != key} | ({key: value} if value is not None else {})


A, B = "layers.0.attention.to_q.lora_A.weight", "layers.0.attention.to_q.lora_B.weight"
REFUSED: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "unknown-module": (
        lambda t: t | {"layers.7.attention.to_q.lora_A.weight": t[A], "layers.7.attention.to_q.lora_B.weight": t[B]},
        r"another model: this transformer has no layers\.7\.attention\.to_q",
    ),
    "unknown-prefix": (lambda t: prefixed("unet.", t), r"another model: this transformer has no unet\..* more"),
    "of-flux": (
        lambda t: {f"transformer.single_transformer_blocks.0.attn.to_q.lora_{half}.weight": t[A] for half in "AB"},
        r"has no transformer\.single_transformer_blocks\.0",
    ),
    "lost-half": (changed(B, None), r"lacks the other half of layers\.0\.attention\.to_q \(down alone\)"),
    "other-width": (changed(A, torch.ones(RANK, 64)), r"of shape \(4, 64\).*needs \(rank, 32\)"),
    "other-height": (changed(B, torch.ones(64, RANK)), r"of shape \(64, 4\).*needs .* and \(32, rank\)"),
    "other-rank": (changed(B, torch.ones(32, 2)), r"of shape \(32, 2\)"),
    "convolution": (changed(A, torch.ones(RANK, 32, 1, 1)), r"\(4, 32, 1, 1\)"),
    "rank-nought": (lambda t: changed(A, torch.ones(0, 32))(changed(B, torch.ones(32, 0))(t)), r"\(0, 32\)"),
    "not-finite": (changed(B, torch.full((32, RANK), float("nan"))), "not finite in layers.0.attention.to_q"),
    "infinite-alpha": (lambda t: t | {"layers.0.attention.to_q.alpha": torch.tensor(float("inf"))}, "not finite"),
    "not-a-lora": (lambda _: {"layers.0.attention.to_q.weight": torch.ones(2)}, "is not a LoRA: layers.0"),
    "empty": (lambda _: {}, "is not a LoRA: it holds nothing"),
    "dora": (lambda t: t | {"layers.0.attention.to_q.dora_scale": torch.ones(2)}, "is a DoRA"),
    "dora-of-peft": (lambda t: t | {"layers.0.attention.to_q.lora_magnitude_vector": torch.ones(2)}, "is a DoRA"),
    "lokr": (lambda _: {"diffusion_model.layers.0.attention.to_q.lokr_w1": torch.ones(2)}, "is a LoKr"),
    "loha": (lambda _: {"diffusion_model.layers.0.attention.to_q.hada_w1_a": torch.ones(2)}, "is a LoHa"),
    "bias": (lambda t: t | {"layers.0.attention.to_q.lora_B.bias": torch.ones(2)}, "also changes biases"),
    "text-encoder": (
        lambda t: t | {"text_encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2)},
        "also changes the text encoder",
    ),
    "twice": (
        lambda t: t | {"transformer." + A: t[A], "transformer." + B: t[B]},
        r"changes layers\.0\.attention\.to_q twice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_load_nothing_or_something_else_is_refused(save: Callable[..., Path], case: str):
    change, says = REFUSED[case]
    path = save(change(factors()))
    with pytest.raises(ConfigurationError, match=says) as caught:
        apply_adapters(make_transformer(), [Adapter(path, 1.0)], fuse=True)
    assert str(path) in str(caught.value)


def test_half_a_file_is_refused(save: Callable[..., Path]):
    path = save(factors())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigurationError, match="not whole"):
        read_adapter(path, SIZES)


def test_the_same_file_twice_is_refused_also_by_another_name(save: Callable[..., Path], tmp_path: Path):
    path = save(factors())
    (tmp_path / "link.safetensors").symlink_to(path)
    for second in (path, tmp_path / "link.safetensors"):
        with pytest.raises(ConfigurationError, match="given twice"):
            apply_adapters(make_transformer(), [Adapter(path, 0.5), Adapter(second, 0.5)], fuse=True)
