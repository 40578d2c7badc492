"""Clause templates: Jinja2 in its immutable sandbox, with product text entering as data and never as a template."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from zimage_core.domain import Brand, Language, Product, Promotion
from zimage_core.errors import PromptError

MAX_PROMPT_TOKENS = 512
"""Z-Image's text window, counted on the templated prompt; what is longer is cut in silence (diffusers 0.42.1)."""

TEMPLATE_OVERHEAD_TOKENS = 16
"""What the Qwen3 chat template adds around a prompt; counted as 9 to 12, rounded up."""

TEXT_LIMITS: Mapping[str, int] = {"name": 80, "color": 24, "material": 40, "brand": 40, "promotion": 40}
"""The variables a clause may use, and how many characters of each reach a prompt."""

# `<|im_end|>` and its kind are commands to the text encoder's tokenizer, whoever wrote them.
_TOKENIZER_COMMANDS = re.compile(r"<\|[^<>]*?\|>|</?think>|</?tool_call>", re.IGNORECASE)
_RUNS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|[A-Za-z]+|\d|[^\sA-Za-z\d]")

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def clean_text(value: str | None, limit: int) -> str:
    """Return catalogue text fit for a prompt: no control or invisible characters, single spaces, at most `limit` long.

    Commands of the text encoder's chat template are removed until none is left. None becomes the empty string.
    """
    text = value or ""
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    while (less := _TOKENIZER_COMMANDS.sub("", text)) != text:
        text = less
    return " ".join(text.split())[:limit].rstrip()


def estimated_tokens(text: str) -> int:
    """Return an upper estimate of the tokens of a templated prompt, without a tokenizer.

    One per Han character, kana, hangul, digit or mark; one per started four letters of a Latin word; plus the chat
    template. Qwen's BPE merges more than that (about 0.7 tokens per Han character), so what passes here fits.
    """
    runs = _RUNS.findall(text)
    return TEMPLATE_OVERHEAD_TOKENS + sum(-(-len(run) // 4) if run.isascii() else 1 for run in runs)


def variables_of(product: Product, brand: Brand, promotion: Promotion, language: Language) -> dict[str, str]:
    """Return what a clause may say about this product, cleaned and bounded; absent facts are empty strings.

    English falls back to the catalogue's own name: the model reads both languages, and nothing is translated by guess.
    """
    zh = language == "zh"
    raw = {
        "name": product.name if zh else product.name_en or product.name,
        "color": product.color,
        "material": product.material,
        "brand": brand.name,
        "promotion": promotion.name_zh if zh else promotion.name_en,
    }
    return {key: clean_text(value, TEXT_LIMITS[key]) for key, value in raw.items()}


@lru_cache(maxsize=2048)
def _compiled(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)


def undefined_in(template: str) -> tuple[str, ...]:
    """Return the variables a template asks for that do not exist, sorted. Raises PromptError if it does not parse."""
    try:
        asked = meta.find_undeclared_variables(_ENVIRONMENT.parse(template))
    except TemplateSyntaxError as error:
        raise PromptError(f"the template {template!r} does not parse: {error.message}") from error
    return tuple(sorted(asked - TEXT_LIMITS.keys()))


def render(template: str, variables: Mapping[str, str], *, file: str, key: str) -> str:
    """Return the clause a template makes, with single spaces and no end mark (compose sets those).

    Raises PromptError naming file and key when the template is wrong, unsafe, or says nothing.
    """
    try:
        text = _compiled(template).render(variables)
    except (TemplateError, ArithmeticError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise PromptError(f"{file}: {key}: the template {template!r} cannot be filled in: {error}.") from error
    clause = " ".join(text.split()).rstrip("。.，, ")
    if not clause:
        raise PromptError(f"{file}: {key}: the template {template!r} came out empty.")
    return clause
