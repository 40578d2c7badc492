"""A CSV or TSV file whose cells can be set while every other byte stays what it is.

The text is cut into the spans of its cells; a new value replaces its span. What is not set (line ends, quotes, blanks,
a byte order mark) is never written anew, so it cannot change.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from typing import Final

from zimage_core.catalogue.feed_columns import feed_key, shop_columns
from zimage_core.errors import CatalogueError

_ENCODINGS: Final = ("utf-8", "gb18030")
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SEPARATORS: Final = (",", "\t", ";", "|")
_HEADER_CHARACTERS: Final = 1 << 16

Span = tuple[int, int]


def decoded(data: bytes, name: str) -> tuple[str, str]:
    """Return the text and its encoding, with which the text gives these bytes again; a BOM stays in the text.

    Raises CatalogueError for bytes that are neither UTF-8, nor UTF-16 with a BOM, nor GB18030.
    """
    marked = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)
    for encoding in (marked,) if marked else _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.encode(encoding) == data:
            return text, encoding
    raise CatalogueError(f"{name} is neither UTF-8 nor UTF-16 nor GB18030 throughout; save it as UTF-8.")


class Edits:
    """Changes to a text, kept until all are known; spans must not overlap."""

    def __init__(self) -> None:
        self._edits: list[tuple[int, int, int, str]] = []

    def replace(self, span: Span, new: str) -> None:
        """Put `new` in place of a span; an empty span is a place to insert, in the order of calls."""
        self._edits.append((*span, len(self._edits), new))

    def __len__(self) -> int:
        return len(self._edits)

    def applied(self, text: str) -> str:
        """Return the text with every change made."""
        pieces, at = [], 0
        for start, end, _, new in sorted(self._edits):
            pieces += [text[at:start], new]
            at = end
        return "".join([*pieces, text[at:]])


class DelimitedText:
    """The header, the records and the spans of their cells.

    Raises CatalogueError: no header of a shop's feed, or a quote that is never closed.
    """

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        start = 1 if text.startswith("\ufeff") else 0
        self.separator = _separator(text[start:])
        self.records = _spans(text, start, self.separator, name)
        self.headers = [self.value(span) for span in self.records[0]] if self.records else []
        self.line_end = self._line_end()

    def rows(self) -> Sequence[Sequence[Span]]:
        """Return the records under the header, those of another width and blank lines included."""
        return self.records[1:]

    def column(self, *names: str) -> int | None:
        """Return the place of the first of these headers that is there, None where none is."""
        keys = [feed_key(header) for header in self.headers]
        return next((keys.index(feed_key(name)) for name in names if feed_key(name) in keys), None)

    def value(self, span: Span) -> str:
        """Return what a cell says, without its quotes."""
        raw = self.text[span[0] : span[1]]
        if not raw.startswith('"'):
            return raw
        inside, _, after = raw[1:].rpartition('"')
        return inside.replace('""', '"') + after

    def set_cell(self, edits: Edits, span: Span, new: str) -> bool:
        """Say that a cell has a value; False, and nothing is changed, when it has it already."""
        if self.value(span) == new:
            return False
        was_quoted = self.text[span[0] : span[0] + 1] == '"'
        edits.replace(span, self.cell(new, quoted=was_quoted))
        return True

    def cell(self, value: str, *, quoted: bool = False) -> str:
        """Return a value as a cell is written: in quotes where it needs them, or where they are wanted."""
        needs = any(sign in value for sign in (self.separator, '"', "\n", "\r")) or value != value.strip()
        return '"' + value.replace('"', '""') + '"' if needs or quoted else value

    def _line_end(self) -> str:
        if len(self.records) < 2:
            return "\n"
        header_end, next_start = self.records[0][-1][1], self.records[1][0][0]
        return self.text[header_end:next_start]


def _separator(text: str) -> str:
    """Return the separator under which the header is a shop's, else that which gives most columns."""
    head = text[:_HEADER_CHARACTERS].splitlines()[:1]

    def found(separator: str) -> tuple[bool, int]:
        headers = next(csv.reader(head, delimiter=separator), [])
        return shop_columns(headers) is not None, len(headers)

    return max(_SEPARATORS, key=found)


def _spans(text: str, start: int, separator: str, name: str) -> list[list[Span]]:
    """Return the spans of the cells of each record; a record ends at CR, LF or both outside quotes."""
    one = re.escape(separator)
    cell = re.compile(rf'("[^"]*+(?:""[^"]*+)*+"[^{one}\r\n]*+|[^{one}\r\n]*+)({one}|\r\n|\r|\n|\Z)')
    records: list[list[Span]] = []
    record: list[Span] = []
    at = start
    while at < len(text) or record:
        match = cell.match(text, at)
        assert match is not None, "an empty cell at the end of the text always matches"
        if match[1].startswith('"') and '"' not in match[1][1:]:
            raise CatalogueError(f"{name}, record {len(records) + 1}: a quote is opened and never closed.")
        record.append(match.span(1))
        at = match.end()
        if match[2] != separator:
            records.append(record)
            record = []
    return records
