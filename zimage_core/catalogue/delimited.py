"""CSV and TSV: the separator from the header, every field as text, a refusal for each row of another width."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from zimage_core.catalogue.columns import Columns, choose_columns, recognised
from zimage_core.catalogue.encoding import Utf8File, as_utf8
from zimage_core.catalogue.rules import EXCERPT_LENGTH
from zimage_core.catalogue.source import BATCH_ROWS, TextSource
from zimage_core.errors import CatalogueError

_SEPARATORS: Final = (",", ";", "\t", "|")
_BLOCK_BYTES: Final = 1 << 20
"""Read at a time; a single row must fit in it. Arrow keeps up to 32 blocks in hand."""
_HEADER_CHARACTERS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Header:
    """The header record: its fields, the separator, and how many lines stand before it (blank, or Excel's `sep=;`)."""

    fields: tuple[str, ...]
    separator: str
    lines_before: int


@dataclass(frozen=True, slots=True)
class _Ragged:
    record_no: int
    excerpt: str
    blank: bool


def open_delimited(path: Path, mapping: Mapping[str, str] | None, scratch: Path) -> TextSource:
    """Open a CSV or TSV file. Record numbers count records from the header = 1 (lines before it count too).

    Where no field holds a line break, the record number is the line number.

    Raises CatalogueError: see `encoding.as_utf8` and `columns.choose_columns`; and a quote that is never closed.
    """
    file = as_utf8(path, scratch)
    header = _read_header(file.path, path.name)
    columns = choose_columns(header.fields, mapping, path.name, feeds=True)
    if file.quotes % 2:
        _refuse_open_quote(file.path, header.separator, path.name)
    return TextSource(columns, _batches(file, header, columns, path.name), lambda: file.sha256)


def _read_header(path: Path, name: str) -> _Header:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        head = stream.read(_HEADER_CHARACTERS)
    lines = head.splitlines(keepends=True)
    before = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines))
    told = None
    if lines[before].lower().startswith("sep=") and len(lines[before].rstrip("\r\n")) == len("sep=") + 1:
        told = lines[before].rstrip("\r\n")[-1]
        before += 1
    if before >= len(lines):
        raise CatalogueError(f"{name} has no header row.")
    read = {sep: _record(lines[before:], sep, name) for sep in ((told,) if told else _SEPARATORS)}
    separator = max(read, key=lambda sep: (recognised(read[sep]), len(read[sep])))
    return _Header(tuple(read[separator]), separator, before)


def _record(lines: list[str], separator: str, name: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise CatalogueError(f"The header of {name} cannot be read: {error}.") from None


def _batches(file: Utf8File, header: _Header, columns: Columns, name: str) -> Iterator[pl.DataFrame]:
    import pyarrow as pa  # 0.2 s to import; only this reader needs it
    from pyarrow import csv as arrow_csv

    ragged: list[_Ragged] = []
    next_no = header.lines_before + 2
    suspicious = False
    try:
        reader = arrow_csv.open_csv(
            file.path,
            read_options=arrow_csv.ReadOptions(
                block_size=_BLOCK_BYTES, use_threads=False, skip_rows=header.lines_before, encoding="utf8"
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=header.separator,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=lambda row: _keep_ragged(row, ragged, header.separator),
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(dict.fromkeys(columns.taken.values())),
                column_types=dict.fromkeys(columns.taken.values(), pa.string()),
                strings_can_be_null=False,
                check_utf8=False,  # as_utf8 has proved it
            ),
        )
        for table in _gathered(reader):
            due = _due(ragged, next_no, table.num_rows)
            suspicious = suspicious or any('"' in row.excerpt for row in due)
            numbers = _numbers(next_no, table.num_rows, due)
            next_no = int(numbers[-1]) + 1 if len(numbers) else next_no
            yield _frame(table, numbers, due, columns)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        if "Empty CSV file" in str(error):
            return
        _refuse_open_quote(file.path, header.separator, name)
        raise CatalogueError(f"{name} cannot be read as CSV: {str(error).splitlines()[0]}.") from None
    if suspicious or any('"' in row.excerpt for row in ragged):
        _refuse_open_quote(file.path, header.separator, name)
    if ragged:
        yield _ragged_frame(ragged)


def _gathered(reader: Any) -> Iterator[Any]:
    """Return the reader's batches as tables of BATCH_ROWS or a little more."""
    import pyarrow as pa

    waiting: list[Any] = []
    for batch in reader:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= BATCH_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _keep_ragged(row: Any, ragged: list[_Ragged], separator: str) -> str:
    text = row.text or ""
    excerpt = text[:EXCERPT_LENGTH] + ('"' if '"' in text[EXCERPT_LENGTH:] else "")
    ragged.append(_Ragged(row.number, excerpt, blank=not text.strip(f"{separator} \t\r\n")))
    return "skip"


def _due(ragged: list[_Ragged], next_no: int, height: int) -> list[_Ragged]:
    """Take from `ragged` the rows that stand before the end of the next `height` good rows (the reader reads ahead)."""
    taken = 0
    while taken < len(ragged) and ragged[taken].record_no < next_no + height + taken:
        taken += 1
    due = ragged[:taken]
    del ragged[:taken]
    return due


def _numbers(next_no: int, height: int, due: list[_Ragged]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the record numbers of `height` good rows that begin at `next_no` and step over the ragged ones."""
    base = np.arange(next_no, next_no + height, dtype=np.int64)
    stops = np.array([row.record_no - place for place, row in enumerate(due)], dtype=np.int64)
    return base + np.searchsorted(stops, base, side="right")


def _frame(table: Any, numbers: np.ndarray[Any, Any], due: list[_Ragged], columns: Columns) -> pl.DataFrame:
    text = pl.DataFrame(pl.from_arrow(table))
    frame = text.select(
        pl.Series("record_no", numbers, dtype=pl.UInt32),
        *(pl.col(column).alias(field) for field, column in columns.taken.items()),
    )
    if not any(not row.blank for row in due):
        return frame
    return pl.concat([frame, _ragged_frame(due)], how="diagonal").sort("record_no")


def _ragged_frame(rows: list[_Ragged]) -> pl.DataFrame:
    real = [(row.record_no, row.excerpt) for row in rows if not row.blank]
    return pl.DataFrame(real, schema={"record_no": pl.UInt32, "ragged": pl.String}, orient="row")


def _refuse_open_quote(path: Path, separator: str, name: str) -> None:
    """Raise CatalogueError where a quote is opened and never closed; it would swallow all rows after it."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        starts_on = 1
        while True:
            starts_on = reader.line_num + 1
            try:
                if next(reader, None) is None:
                    return
            except csv.Error as error:
                if "unexpected end" in str(error) or "field limit" in str(error):
                    raise CatalogueError(
                        f"{name}: a quote opened in the record that starts on line {starts_on} is never closed; "
                        "close it, or write two quotes for one that is text."
                    ) from None
