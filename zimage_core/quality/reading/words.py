"""When two texts are the same to a shopper: full and half width, case and spaces aside."""

from __future__ import annotations

import difflib
import unicodedata

from zimage_core.domain import Language

_FIRST_HAN = 0x2E80


def plain(text: str) -> str:
    """Return the form in which texts are compared: NFKC (so ￥ is ¥), case and spaces aside."""
    folded = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return unicodedata.normalize("NFKC", folded)  # folding and joining can leave pairs that have a form of their own


def same_text(left: str, right: str) -> bool:
    """Tell whether two texts are the same to a shopper: full and half width, case and spaces aside."""
    return plain(left) == plain(right)


def closeness(left: str, right: str) -> float:
    """Return 0..1: how much of two texts agrees (matching characters over all characters)."""
    return difflib.SequenceMatcher(None, plain(left), plain(right), autojunk=False).ratio()


def is_han(character: str) -> bool:
    """Tell whether a character is set on a full square: Han, kana, full-width forms."""
    return ord(character) >= _FIRST_HAN


def language_of(text: str) -> Language:
    """Return which language's reader a text needs."""
    return "zh" if any(is_han(character) for character in text) else "en"
