"""What the engine can be told: every wrong word is refused in a sentence before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from zimage_core.engines.diffusers.options import Adapter, Options, read_options
from zimage_core.errors import ConfigurationError


def test_turbo_is_eight_steps_without_guidance() -> None:
    options = read_options({"model": "somewhere"})
    assert (options.variant, options.steps, options.guidance) == ("turbo", 8, 0.0)
    assert options == Options(model="somewhere")


def test_the_base_model_has_its_own_steps_and_guidance_and_both_may_be_set() -> None:
    assert read_options({"model": "m", "variant": "base"}).steps == 50
    assert read_options({"model": "m", "variant": "base"}).guidance == 4.0
    chosen = read_options({"model": "m", "variant": "base", "steps": "28", "guidance": "3"})
    assert (chosen.steps, chosen.guidance) == (28, 3.0)


def test_guidance_for_turbo_is_refused_unless_it_is_meant() -> None:
    with pytest.raises(ConfigurationError, match="made for 0: more doubles the time"):
        read_options({"model": "m", "guidance": "1"})
    assert read_options({"model": "m", "guidance": "1", "allow_guidance": "yes"}).guidance == 1.0


def test_adapters_are_files_with_weights() -> None:
    options = read_options({"model": "m", "lora": "brand.safetensors:0.8, C:/x/style.safetensors,b.safetensors:-1"})
    assert options.lora == (
        Adapter(Path("brand.safetensors"), 0.8),
        Adapter(Path("C:/x/style.safetensors"), 1.0),
        Adapter(Path("b.safetensors"), -1.0),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs to know its model"),
        ({"model": "  "}, "needs to know its model"),
        ({"model": "m", "colour": "red"}, "has no option colour; its options are"),
        ({"model": "m", "precision": "fp16"}, "black pictures in fp16"),
        ({"model": "m", "precision": "int4"}, "one of auto, bf16, fp32, not 'int4'"),
        ({"model": "m", "steps": "0"}, "a whole number from 1 to 200, not '0'"),
        ({"model": "m", "steps": "eight"}, "a whole number from 1 to 200, not 'eight'"),
        ({"model": "m", "steps": "٨"}, "a whole number from 1 to 200"),
        ({"model": "m", "guidance": "nan"}, "a number from 0 to 20, not 'nan'"),
        ({"model": "m", "detail": "maybe"}, "yes or no, not 'maybe'"),
        ({"model": "m", "max_prompt_tokens": "1505"}, "from 32 to 1504"),
        ({"model": "m", "lora": "brand.safetensors:strong"}, "brand.safetensors"),
        ({"model": "m", "profile": "huge"}, "one of auto, fast, balanced, small, quantized"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_options(given)
    assert said in raised.value.sentence
