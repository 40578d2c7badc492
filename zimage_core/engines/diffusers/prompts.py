"""Prompts as the model reads them: counted, refused or cut when too long, encoded ahead and kept for their shard."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zimage_core.engines.diffusers.fast.text import count_tokens, encode
from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.stock import Caption
from zimage_core.errors import EngineRefused

KEPT_CAPTIONS: Final = 2048
"""At 0.65 MB for 128 tokens about 1.3 GB at most; a shard of 200 shots keeps 130 MB."""
ENCODE_BATCH: Final = 32
"""At 128 tokens a batch of 32 fills the card (4096 tokens, as many as one picture of 1024 x 1024)."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the model is told for one picture; `tokens` counts the templated prompt; notes say what was cut."""

    text: str
    negative: str
    tokens: int
    notes: tuple[str, ...] = ()


def fitted(text: str, negative: str, tokenizer: Any, options: Options) -> Words:
    """Return the words that fit the model's window, as they are or cut at their end.

    The pipeline itself would cut the templated text in silence and lose the end of the template with it. Raises
    EngineRefused for a prompt that is too long unless `long_prompt=cut`.
    """
    tokens = count_tokens(tokenizer, text)
    most = options.max_prompt_tokens
    if tokens <= most:
        return Words(text, _negative_fitted(negative, tokenizer, most), tokens)
    if options.long_prompt == "refuse":
        raise EngineRefused(
            f"The prompt is {tokens} tokens long with its template and the model reads {most}; shorten the scene's "
            "clauses, or set the engine's option long_prompt=cut.",
            engine="diffusers",
        )
    kept = cut_to(text, tokenizer, most)
    lost = text[len(kept) :].strip()
    note = f"The prompt was {tokens} tokens long and the model reads {most}: cut before “{lost[:60]}”."
    return Words(kept, _negative_fitted(negative, tokenizer, most), count_tokens(tokenizer, kept), (note,))


def _negative_fitted(negative: str, tokenizer: Any, most: int) -> str:
    return negative if count_tokens(tokenizer, negative) <= most else cut_to(negative, tokenizer, most)


def cut_to(text: str, tokenizer: Any, most: int) -> str:
    """Return the longest beginning of a text whose templated form has at most so many tokens."""
    fits, fails = 0, len(text)
    while fits + 1 < fails:
        middle = (fits + fails) // 2
        if count_tokens(tokenizer, text[:middle]) <= most:
            fits = middle
        else:
            fails = middle
    return text[:fits].rstrip()


class CaptionStore:
    """The captions of the prompts met lately, encoded in batches by the text encoder that `for_text` brings in."""

    def __init__(self, options: Options, tokenizer: Any, for_text: Callable[[], Any]) -> None:
        self._options, self._tokenizer, self._for_text = options, tokenizer, for_text
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def encode_ahead(self, texts: Sequence[str]) -> int:
        """Encode those of these texts that are not kept yet, in one visit of the text encoder; return how many."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if not missing:
            return 0
        with self._for_text() as text_encoder:
            tensors = encode(
                text_encoder,
                self._tokenizer,
                missing,
                max_tokens=self._options.max_prompt_tokens,
                batch=ENCODE_BATCH,
            )
        self._kept.update(zip(missing, tensors, strict=True))
        while len(self._kept) > max(KEPT_CAPTIONS, len(missing)):
            self._kept.popitem(last=False)
        return len(missing)

    def captions(self, words: Sequence[Words]) -> list[Caption]:
        """Return one caption per picture, encoding what was not encoded ahead."""
        guided = self._options.guidance > 0
        texts = [word.text for word in words] + ([word.negative for word in words] if guided else [])
        self.encode_ahead(texts)
        for text in texts:
            self._kept.move_to_end(text)
        return [Caption(self._kept[word.text], self._kept[word.negative] if guided else None) for word in words]

    def clear(self) -> None:
        """Forget everything: memory is needed."""
        self._kept.clear()
