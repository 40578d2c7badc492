"""Z-Image-Turbo at full size with random weights, made on the device in seconds; and a tiny one for a CPU.

Speed does not depend on what the weights say, and equality with the stock pipeline does not either. The tokenizer is
the small one of the tests: its ids are words of the full vocabulary too.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zimage_core.engines.diffusers.quiet import quiet_imports

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))
with quiet_imports():
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from tiny_checkpoint import make_tokenizer
    from transformers import Qwen3Config, Qwen3Model

    from zimage_core.engines.diffusers.fast.batching import bucket_of
    from zimage_core.engines.diffusers.fast.text import count_tokens

PUBLISHED = {"axes_lens": [1536, 512, 512]}
"""As in the published transformer/config.json; everything else is the class's default (dim 3840, 30 + 2 + 2 blocks)."""
TINY = {"dim": 256, "n_layers": 3, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2, "cap_feat_dim": 64}
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "norm_num_groups": 32,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
QWEN3_4B = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
}
TINY_QWEN3 = QWEN3_4B | {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
SENTENCE = "a red mug on the wooden table in soft light with white background sharp focus high detail product photo"
WORDS = SENTENCE.split()


@dataclass
class Model:
    """The parts of one pipeline on one device, in bf16; `text_encoder` is made by `add_text_encoder`."""

    transformer: Any
    vae: Any
    scheduler: Any
    tokenizer: Any
    device: torch.device
    is_tiny: bool
    text_encoder: Any = None

    def pipeline(self) -> Any:
        """Return the stock pipeline over these parts."""
        pipe = ZImagePipeline(
            scheduler=self.scheduler,
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            transformer=self.transformer,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def add_text_encoder(self) -> None:
        """Make the text encoder: 8 GB at full size, so that it is made only when it is measured."""
        config = Qwen3Config(**(TINY_QWEN3 if self.is_tiny else QWEN3_4B), bos_token_id=None, eos_token_id=0)
        self.text_encoder = self.text_encoder or _on_device(lambda: Qwen3Model(config).eval(), self.device)


def build(device: torch.device, *, is_tiny: bool) -> Model:
    """Return a model whose norms, gates and padding tokens are all awake: nothing is timed or checked on zeros."""
    torch.manual_seed(0)
    transformer = _on_device(lambda: ZImageTransformer2DModel(**PUBLISHED, **(TINY if is_tiny else {})).eval(), device)
    channels = (32, 32, 32, 32) if is_tiny else (128, 256, 512, 512)
    layers = 1 if is_tiny else 2
    vae = _on_device(lambda: AutoencoderKL(**VAE, block_out_channels=channels, layers_per_block=layers).eval(), device)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if parameter.ndim == 1 and "norm" in name:
                parameter.normal_(1.0, 0.1)
            elif "adaLN" in name and name.endswith("bias"):
                parameter.normal_(0.0, 0.3)
            elif "pad_token" in name or parameter.ndim == 1:
                parameter.normal_(0.0, 0.1)
            else:
                parameter.normal_(0.0, min(0.02, 1 / math.sqrt(parameter.shape[-1])))
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, use_dynamic_shifting=False, shift=3.0)
    return Model(transformer, vae, scheduler, make_tokenizer(), device, is_tiny)


def _on_device(make: Any, device: torch.device) -> Any:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return make()
    finally:
        torch.set_default_dtype(default)


def captions(model: Model, batch: int, tokens: int) -> list[torch.Tensor]:
    """Return captions whose lengths differ inside one bucket, as those of real prompts do."""
    generator = torch.Generator().manual_seed(1)
    width = model.transformer.config.cap_feat_dim
    return [
        torch.randn(tokens - index % 3, width, generator=generator).to(model.device, model.transformer.dtype)
        for index in range(batch)
    ]


def prompts(model: Model, count: int) -> list[str]:
    """Return different prompts of different lengths in one bucket: some 110 tokens with the template, 20 if tiny."""
    words = 3 if model.is_tiny else 60
    texts = [
        " ".join(WORDS[(index + at * (1 + index % 5)) % len(WORDS)] for at in range(words - index % 3))
        for index in range(count)
    ]
    bucket = caption_bucket(model)
    assert all(bucket_of(count_tokens(model.tokenizer, text)) == bucket for text in texts)
    return texts


def caption_bucket(model: Model) -> int:
    """Return the bucket that all captions of the benchmark are in."""
    return 32 if model.is_tiny else 128
