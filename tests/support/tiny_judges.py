"""Tiny CLIP and vision-language folders with random weights: the real classes, processors and files, on any CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_checkpoint import make_tokenizer
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2Config,
)

SIDE_PX, WIDTH = 32, 16
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE_PX,
    "patch_size": 8,
}
ASKING = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- for part in message.content %}{{- '<image>' if part.type == 'image' else part.text }}{%- endfor %}"
    "{{- '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def pictures() -> CLIPImageProcessor:
    size = {"height": SIDE_PX, "width": SIDE_PX}
    return CLIPImageProcessor(size=size, crop_size=size)


def build_tiny_clip(folder: Path) -> Path:
    """Write a CLIP folder as published ones are: model, tokenizer and preprocessor."""
    torch.manual_seed(3)
    letters = [chr(code) for code in range(33, 127)]
    vocab = {token: n for n, token in enumerate([*letters, *(f"{letter}</w>" for letter in letters)])}
    vocab |= {"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1}
    text = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
    )
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=CLIPVisionConfig(**VISION).to_dict(), projection_dim=8
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(pictures(), CLIPTokenizer(vocab, [], model_max_length=24)).save_pretrained(folder)
    return folder


def write_head(path: Path, *widths: int) -> Path:
    """Write the linear layers of an aesthetic head: 8 values in, then these widths."""
    generator = torch.Generator().manual_seed(4)
    tensors, before = {}, 8
    for number, width in enumerate(widths):
        tensors[f"layers.{2 * number}.weight"] = torch.randn(width, before, generator=generator)
        tensors[f"layers.{2 * number}.bias"] = torch.full((width,), 0.5)
        before = width
    save_file(tensors, str(path))
    return path


def build_tiny_vlm(folder: Path, *, template: str | None = ASKING) -> Path:
    """Write a vision-language folder: a CLIP eye, a Qwen2 mouth, and a tokenizer that knows yes and no."""
    torch.manual_seed(5)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    tokenizer.add_tokens(["<image>", "yes", "no"], special_tokens=False)
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION).to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        pictures(),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    return folder
