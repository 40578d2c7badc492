"""A Z-Image checkpoint of 2 MB with random weights: the real classes, tokenizer, scheduler and size rules, on any CPU.

What callers can observe is the real thing: VAE factor 8 and patch 2 (sides divide by 16), 16 latent channels, flow
matching with shift 3, Qwen2 tokenizer and Qwen3 encoder, chat template, a window of 512 tokens. What it draws is noise.
Two builds are equal byte for byte.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImageControlNetModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import pre_tokenizers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

DIM, HEADS, CAPTION_DIM = 32, 2, 16
AXES_DIMS = [8, 4, 4]  # their sum is DIM // HEADS
AXES_LENS = [1536, 512, 512]  # as published: text positions, rows, columns

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<think>", "</think>"]
WORDS = re.findall(
    r"\w+",
    """a an and at the of on in with white background studio light soft shadow product photo photography
    red blue green black wooden table marble kitchen room morning window sharp focus bottle shoe bag mug
    leather ceramic glass steel cotton wool front view close up high detail commercial catalogue image""",
)


def make_tokenizer() -> Qwen2Tokenizer:
    """Byte-level BPE whose merges spell the words above: no training, the same on every machine."""
    vocab: dict[str, int] = {}
    for token in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab[token] = len(vocab)
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for prefix in ("Ġ", ""):
            current, rest = prefix or word[0], word if prefix else word[1:]
            for letter in rest:
                if (current, letter) not in merges:
                    merges.append((current, letter))
                current += letter
                vocab.setdefault(current, len(vocab))
    for special in SPECIALS:
        vocab.setdefault(special, len(vocab))
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIALS[1:],
        model_max_length=131072,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_transformer(seed: int = 0) -> ZImageTransformer2DModel:
    torch.manual_seed(seed)
    return ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=DIM,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=HEADS,
        n_kv_heads=HEADS,
        norm_eps=1e-5,
        qk_norm=True,
        cap_feat_dim=CAPTION_DIM,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=AXES_DIMS,
        axes_lens=AXES_LENS,
    ).eval()


def make_vae(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 8, 8],
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=True,
    ).eval()


def make_text_encoder(tokenizer: Qwen2Tokenizer, seed: int = 0) -> Qwen3Model:
    torch.manual_seed(seed)
    return Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=CAPTION_DIM,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        )
    ).eval()


def make_components() -> dict[str, Any]:
    tokenizer = make_tokenizer()
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, use_dynamic_shifting=False, shift=3.0),
        "vae": make_vae(),
        "text_encoder": make_text_encoder(tokenizer),
        "tokenizer": tokenizer,
        "transformer": make_transformer(),
    }


def make_controlnet(control_in_dim: int = 33, seed: int = 1) -> ZImageControlNetModel:
    """33 input channels: Union 2.x (16 control, 1 mask, 16 image); 16: Union 1, which cannot repaint."""
    torch.manual_seed(seed)
    controlnet = ZImageControlNetModel(
        control_layers_places=[0, 1],
        control_refiner_layers_places=[0],
        control_in_dim=control_in_dim,
        add_control_noise_refiner="control_noise_refiner" if control_in_dim != 16 else None,
        dim=DIM,
        n_refiner_layers=1,
        n_heads=HEADS,
        n_kv_heads=HEADS,
    )
    with torch.no_grad():  # as initialised its projections are zero, and it would change nothing
        for name, parameter in controlnet.named_parameters():
            if "before_proj" in name or "after_proj" in name:
                parameter.normal_(0, 0.2)
    return controlnet.eval()


def build_tiny(folder: Path) -> Path:
    """Write the checkpoint in diffusers layout, `controlnet-v1` and `-v2` beside it; return the folder."""
    ZImagePipeline(**make_components()).save_pretrained(folder, safe_serialization=True)
    # saved apart from any pipeline: inside one, a ControlNet borrows the transformer's modules
    make_controlnet(16).save_pretrained(folder / "controlnet-v1")
    make_controlnet(33).save_pretrained(folder / "controlnet-v2")
    return folder


def copy_tiny(tiny: Path, folder: Path) -> Path:
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(tiny, folder))


def fused_names(state: dict[str, torch.Tensor], prefix: str = "") -> dict[str, torch.Tensor]:
    """Return a transformer's tensors under the original (ComfyUI) names: fused qkv, other words, an optional prefix."""
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        for ours, theirs in (
            ("all_final_layer.2-1.", "final_layer."),
            ("all_x_embedder.2-1.", "x_embedder."),
            (".attention.to_out.0.", ".attention.out."),
            (".attention.norm_q.", ".attention.q_norm."),
            (".attention.norm_k.", ".attention.k_norm."),
        ):
            key = key.replace(ours, theirs)
        renamed[key] = value.clone()
    for key in [key for key in renamed if key.endswith(".attention.to_q.weight")]:
        stem = key.removesuffix("to_q.weight")
        renamed[stem + "qkv.weight"] = torch.cat([renamed.pop(f"{stem}to_{part}.weight") for part in "qkv"])
    return {prefix + key: value.contiguous() for key, value in renamed.items()}
