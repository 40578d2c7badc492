"""The words a prompt may not contain, and how they are found in any spelling a catalogue may use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from zimage_core.prompting.shapes import BlockedShape

_SPACE_BETWEEN_HAN = re.compile(r"(?<=[\u2e80-\u9fff\uf900-\ufaff])\s+(?=[\u2e80-\u9fff\uf900-\ufaff])")


@dataclass(frozen=True, slots=True)
class Blocked:
    """A blocked word that was found, as the blocklist writes it, and why it is blocked."""

    word: str
    reason: str


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Return text as the blocklist compares it: one width (NFKC), one case, no invisible marks, Han without gaps."""
    wide = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(c for c in wide if c.isspace() or unicodedata.category(c)[0] != "C")
    return _SPACE_BETWEEN_HAN.sub("", visible)


@dataclass(frozen=True, slots=True)
class Blocklist:
    """Finds blocked words. Latin words match whole words only ("ass" is not in "glass"), Han words anywhere."""

    reasons: dict[str, Blocked]
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, blocked: Iterable[BlockedShape]) -> Blocklist:
        """Return the blocklist of these entries; the longest word wins where two overlap."""
        entries = [(word, entry.reason) for entry in blocked for word in entry.words]
        reasons = {" ".join(folded(word).split()): Blocked(word, reason) for word, reason in entries}
        parts = [_pattern_of(word) for word in sorted(reasons, key=lambda w: (-len(w), w))]
        return cls(reasons, re.compile("|".join(parts)) if parts else None)

    def find(self, text: str) -> Blocked | None:
        """Return the first blocked word in the text, or None."""
        if self.pattern is None or not text:
            return None
        hit = self.pattern.search(folded(text))
        return self.reasons[" ".join(hit.group().split())] if hit else None


def _pattern_of(word: str) -> str:
    body = r"\s+".join(map(re.escape, word.split()))
    before = r"(?<![a-z0-9])" if word[0].isascii() and word[0].isalnum() else ""
    after = r"(?![a-z0-9])" if word[-1].isascii() and word[-1].isalnum() else ""
    return f"{before}{body}{after}"
