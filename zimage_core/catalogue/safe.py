"""Text that came from outside, made harmless for the two places where it does harm: file names and spreadsheets."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,63}")
_LOOKS_HASHED: Final = re.compile(r"-[0-9a-f]{16}$")
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever the extension (Microsoft, "Naming Files, Paths, and Namespaces")."""
_SLUG_LENGTH: Final = 40
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""


def path_safe(text: str) -> str:
    """Return a file name part for any text: ASCII letters, digits, `.`, `_`, `-`; 1 to 64 characters; never a dot name.

    A text that already is one comes back as it is. Any other becomes a readable slug and `-` with 16 hex digits of its
    sha256, so two different texts never share a name (a text that itself ends like that is hashed too). Case is kept:
    names differ by case where the texts do, as on every CDN origin.
    """
    if _PLAIN.fullmatch(text) and not _LOOKS_HASHED.search(text) and not _RESERVED.match(text):
        return text
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text)[:_SLUG_LENGTH].strip("-_") or "x"
    return f"{slug}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def spreadsheet_safe(text: str) -> str:
    """Return the text so that no spreadsheet runs it: one `'` goes before what would start a formula.

    Blanks before the sign do not help it: some programs trim them. Every other text comes back as it is.
    """
    starts_formula = text.startswith(_FORMULA_STARTS) or text.lstrip().startswith(_FORMULA_STARTS)
    return f"'{text}" if starts_formula else text
