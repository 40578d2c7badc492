"""Prompts to captions: what the stock pipeline's encode_prompt gives, with a fraction of the work.

The pipeline pads every prompt to 512 tokens, runs all layers and drops the padding. Qwen3 looks only backwards, so
padding to the right changes nothing before it: here prompts of one bucket share a batch as long as the bucket, and the
last layer, whose result `hidden_states[-2]` does not hold, is not run. At 128 tokens that is 4.3 times less work.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from zimage_core.engines.diffusers.fast.batching import bucket_of
from zimage_core.engines.diffusers.fast.transfer import sent
from zimage_core.errors import ConfigurationError


def templated(tokenizer: Any, prompt: str) -> str:
    """Return the prompt in the chat template, with the arguments that the stock pipeline uses."""
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
    )


def count_tokens(tokenizer: Any, prompt: str) -> int:
    """Return how many tokens the model would read for this prompt, its template included, nothing cut off."""
    return len(tokenizer(templated(tokenizer, prompt)).input_ids)


def ensure_pads_right(tokenizer: Any) -> None:
    """Raise ConfigurationError for a tokenizer that pads or cuts on the left: trimming would change the captions."""
    for side in ("padding_side", "truncation_side"):
        if getattr(tokenizer, side, "right") != "right":
            raise ConfigurationError(
                f"The tokenizer has {side}='left' and Z-Image's captions need 'right'; set it in the model's "
                "tokenizer_config.json."
            )


def encode(
    text_encoder: Any, tokenizer: Any, prompts: Sequence[str], *, max_tokens: int, batch: int
) -> list[torch.Tensor]:
    """Return one caption per prompt, in order: (tokens, width) in the encoder's dtype, on its device.

    `max_tokens` is where a templated prompt is cut (the pipeline's max_sequence_length); `batch` prompts of one bucket
    are encoded at once. Neither the encoder nor the prompts are changed. Raises ConfigurationError when the tokenizer
    pads on the left or the encoder cannot be used in part.
    """
    ensure_pads_right(tokenizer)
    if not prompts:
        return []
    trunk = without_last_layer(text_encoder)
    device = text_encoder.get_input_embeddings().weight.device
    texts = [templated(tokenizer, prompt) for prompt in prompts]
    ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=max_tokens).input_ids
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(ids):
        buckets[bucket_of(len(row))].append(index)
    captions: dict[int, torch.Tensor] = {}
    for bucket, members in sorted(buckets.items(), reverse=True):
        for at in range(0, len(members), batch):
            chunk = members[at : at + batch]
            padding = tokenizer.pad_token_id or 0
            rows = [ids[index] + [padding] * (bucket - len(ids[index])) for index in chunk]
            states = _states(trunk, sent(torch.tensor(rows), device))
            for index, state in zip(chunk, states, strict=True):
                captions[index] = state[: len(ids[index])].clone()  # not a view: the padding may go
    return [captions[index] for index in range(len(ids))]


@torch.no_grad()
def _states(trunk: Any, ids: torch.Tensor) -> torch.Tensor:
    return trunk(input_ids=ids, use_cache=False).last_hidden_state


def without_last_layer(text_encoder: Any) -> Any:
    """Return an encoder that shares all weights, lacks the last layer and the final norm, and ends where
    hidden_states[-2] is taken.

    Raises ConfigurationError for an encoder of another build, or one that accelerate moves in and out by hooks (their
    hooks run the whole encoder).
    """
    trunk = text_encoder if hasattr(text_encoder, "layers") else getattr(text_encoder, "model", None)
    if trunk is None or not hasattr(trunk, "layers") or not hasattr(trunk, "norm"):
        raise ConfigurationError(
            f"The text encoder is {type(text_encoder).__name__}, which has no list of layers to stop in; "
            "Z-Image uses Qwen3Model. Check text_encoder in the model's model_index.json."
        )
    if any(hasattr(module, "_hf_hook") for module in (text_encoder, trunk)):
        raise ConfigurationError(
            "The text encoder is offloaded by accelerate's hooks and cannot be run in part; move it to the device "
            "instead, or use path=stock."
        )
    short = copy.copy(trunk)
    short._modules = dict(trunk._modules)  # else the copy would put its parts into the original
    short.layers = torch.nn.ModuleList(list(trunk.layers)[:-1])
    short.norm = torch.nn.Identity()
    return short
