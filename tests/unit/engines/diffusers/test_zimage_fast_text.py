"""Trimmed captions against the stock pipeline's encode_prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ZImagePipeline
from tiny_checkpoint import make_text_encoder, make_tokenizer
from transformers import Qwen3ForCausalLM

from zimage_core.engines.diffusers.fast.text import count_tokens, encode, templated
from zimage_core.errors import ConfigurationError

LONG = "a blue leather bag on a marble table in soft morning light, studio photo, " * 12
PROMPTS = ("a red mug on a wooden table", "shoe", LONG, "", "鞋子 on white", "a red mug on a wooden table")


@pytest.fixture(scope="module")
def stock(tiny_checkpoint: Path) -> Any:
    torch.set_num_threads(1)
    return ZImagePipeline.from_pretrained(str(tiny_checkpoint), dtype=torch.float32, local_files_only=True)


def reference(stock: Any, prompts: tuple[str, ...], max_tokens: int = 512) -> list[torch.Tensor]:
    with torch.no_grad():
        captions, _ = stock.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, max_sequence_length=max_tokens
        )
    return captions


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_captions_equal_the_stock_pipeline_in_any_batch(stock: Any, batch: int):
    ours = encode(stock.text_encoder, stock.tokenizer, PROMPTS, max_tokens=512, batch=batch)
    for caption, theirs in zip(ours, reference(stock, PROMPTS), strict=True):
        assert caption.shape == theirs.shape
        assert (caption - theirs).norm() <= 1e-6 * theirs.norm()


def test_a_prompt_beyond_the_window_is_cut_where_the_stock_pipeline_cuts_it(stock: Any):
    assert count_tokens(stock.tokenizer, LONG) > 100
    (ours,) = encode(stock.text_encoder, stock.tokenizer, [LONG], max_tokens=100, batch=4)
    (theirs,) = reference(stock, (LONG,), max_tokens=100)
    assert len(ours) == 100
    assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


def test_tokens_are_counted_with_the_template_and_uncut(stock: Any):
    for prompt, theirs in zip(PROMPTS, reference(stock, PROMPTS, max_tokens=1500), strict=True):
        assert count_tokens(stock.tokenizer, prompt) == len(theirs)
    assert templated(stock.tokenizer, "shoe") == "<|im_start|>user\nshoe<|im_end|>\n<|im_start|>assistant\n"


def test_neither_the_encoder_nor_the_prompts_are_changed(stock: Any):
    prompts = list(PROMPTS)
    names = [name for name, _ in stock.text_encoder.named_modules()]
    before = reference(stock, PROMPTS)
    encode(stock.text_encoder, stock.tokenizer, prompts, max_tokens=512, batch=4)
    assert prompts == list(PROMPTS)
    assert [name for name, _ in stock.text_encoder.named_modules()] == names
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(reference(stock, PROMPTS), before, strict=True))


def test_the_last_layer_is_not_run(stock: Any):
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
        for index, layer in enumerate(stock.text_encoder.layers)
    ]
    encode(stock.text_encoder, stock.tokenizer, ["shoe"], max_tokens=512, batch=4)
    for hook in hooks:
        hook.remove()
    assert ran == list(range(len(stock.text_encoder.layers) - 1))


def test_a_caption_holds_no_more_memory_than_its_own_tokens(stock: Any):
    (caption,) = encode(stock.text_encoder, stock.tokenizer, ["shoe"], max_tokens=512, batch=4)
    assert caption.untyped_storage().nbytes() == caption.numel() * caption.element_size()


def test_an_encoder_with_a_language_head_works_too(stock: Any):
    whole = Qwen3ForCausalLM(stock.text_encoder.config)
    whole.model = stock.text_encoder
    (ours,) = encode(whole, stock.tokenizer, ["shoe"], max_tokens=512, batch=4)
    assert torch.equal(ours, encode(stock.text_encoder, stock.tokenizer, ["shoe"], max_tokens=512, batch=4)[0])


def test_no_prompts_give_no_captions(stock: Any):
    assert encode(stock.text_encoder, stock.tokenizer, [], max_tokens=512, batch=4) == []


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_a_tokenizer_that_pads_or_cuts_on_the_left_is_refused(side: str):
    tokenizer = make_tokenizer()
    setattr(tokenizer, side, "left")
    with pytest.raises(ConfigurationError, match=side):
        encode(make_text_encoder(tokenizer), tokenizer, ["shoe"], max_tokens=512, batch=4)


def test_an_encoder_without_layers_is_refused():
    with pytest.raises(ConfigurationError, match=r"Linear.*model_index\.json"):
        encode(torch.nn.Linear(2, 2), make_tokenizer(), ["shoe"], max_tokens=512, batch=4)


def test_an_encoder_moved_by_hooks_is_refused():
    tokenizer = make_tokenizer()
    encoder = make_text_encoder(tokenizer)
    encoder._hf_hook = object()
    with pytest.raises(ConfigurationError, match="offloaded"):
        encode(encoder, tokenizer, ["shoe"], max_tokens=512, batch=4)
