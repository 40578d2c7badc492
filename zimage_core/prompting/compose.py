"""Product + scene + brand + promotion → Prompt: which clauses, in which order, with where each came from."""

from __future__ import annotations

from collections.abc import Mapping

from zimage_core.domain import Brand, Clause, Language, Mode, Product, Prompt, Refusal
from zimage_core.errors import PromptError
from zimage_core.prompting.blocklist import Blocklist
from zimage_core.prompting.files import Source
from zimage_core.prompting.shapes import ClauseKind, WordsShape
from zimage_core.prompting.templates import MAX_PROMPT_TOKENS, clean_text, estimated_tokens, render

_DRAWN: tuple[ClauseKind, ...] = ("subject", "setting", "light", "camera", "mood")
_VACANT: tuple[ClauseKind, ...] = ("vacant", "setting", "light", "camera", "mood")

CLAUSES_BY_MODE: Mapping[Mode, tuple[ClauseKind, ...]] = {
    "packshot": ("vacant", "light", "camera"),
    "stage": _VACANT,
    "inpaint": _DRAWN,
    "text": _DRAWN,
}
"""Where the engine does not draw the product, the prompt does not name it: it would be painted twice. A packshot is
the photo itself, so taste (mood, brand words) stays out of its prompt and out of its identity."""

SENTENCE_END: Mapping[Language, str] = {"zh": "。", "en": ". "}
_LIST_MARK: Mapping[Language, str] = {"zh": "、", "en": ", "}


def blocked_in_product(product: Product, blocklist: Blocklist) -> Refusal | None:
    """Return why this product's text may not reach a picture, or None. Whole texts are read, as they
    would reach a prompt: a word broken up by invisible marks is still that word.
    """
    named: list[tuple[str, str | None]] = [
        ("name", product.name),
        ("name_en", product.name_en),
        ("brand", product.brand),
        ("color", product.color),
        ("material", product.material),
    ]
    named.extend(("selling_points", point) for point in product.selling_points)
    for field, text in named:
        found = blocklist.find(clean_text(text, len(text))) if text else None
        if found is not None:
            return Refusal(
                stage="plan",
                code="blocked_word",
                reason=f"The {field} of {product.sku} contains the blocked word “{found.word}”: {found.reason}.",
                sku=product.sku,
                record_no=product.record_no,
                field=field,
                value=text,
            )
    return None


def picked(paraphrases: tuple[str, ...], wording: int) -> str:
    """Return the paraphrase for a wording; wordings go round, so any attempt number gets one."""
    return paraphrases[wording % len(paraphrases)]


def joined(clauses: tuple[Clause, ...], language: Language) -> str:
    """Return the prompt that clauses make up: one sentence each."""
    end = SENTENCE_END[language]
    return "".join(f"{clause.text}{end}" for clause in clauses).strip()


def compose_prompt(
    words: WordsShape | None,
    mode: Mode,
    source: Source,
    brand: Brand,
    brand_source: Source,
    variables: Mapping[str, str],
    *,
    language: Language,
    wording: int = 0,
) -> Prompt:
    """Return the prompt of a scene in one language.

    `wording` (0 or more) picks among paraphrases: the model varies little by seed alone, so a new attempt says the
    same differently. Raises PromptError where the scene has no such language, a template is wrong, or the estimate is
    above MAX_PROMPT_TOKENS.
    """
    if words is None:
        raise PromptError(f"{source.file}: has no words in {language!r}; add a {language} block.")
    clauses = tuple(
        Clause(
            text=render(picked(words.of(kind), wording), variables, file=source.file, key=f"{language}.{kind}"),
            file=source.file,
            version=source.version,
        )
        for kind in CLAUSES_BY_MODE[mode]
    )
    style = brand.style_words_zh if language == "zh" else brand.style_words_en
    if style and mode != "packshot":
        taste = _LIST_MARK[language].join(style)
        clauses += (Clause(f"{taste[0].upper()}{taste[1:]}", brand_source.file, brand_source.version),)
    text = joined(clauses, language)
    tokens = estimated_tokens(text)
    if tokens > MAX_PROMPT_TOKENS:
        raise PromptError(
            f"{source.file}: the {language} prompt is about {tokens} tokens long and the model reads"
            f" {MAX_PROMPT_TOKENS}; shorten its clauses."
        )
    drawn = mode in ("text", "inpaint")
    negative = words.negative if drawn else f"{words.negative}{_LIST_MARK[language]}{words.vacant_negative}"
    return Prompt(text=text, negative=negative, language=language, clauses=clauses)
