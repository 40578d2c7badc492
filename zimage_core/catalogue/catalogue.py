"""A catalogue that has been read: its usable rows, its refused rows, and what was noticed on the way."""

from __future__ import annotations

import heapq
import shutil
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import polars as pl

from zimage_core.catalogue.rules import BY_CODE, EXCERPT_LENGTH, rules_of
from zimage_core.domain import Product, Refusal

_BATCH_ROWS: Final = 10_000
_DUPLICATE: Final = BY_CODE["duplicate_sku", "sku"]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Catalogue:
    """What `read_catalogue` gives. `frame` is lazy over files in a work folder: it lives until `close` (or the `with`).

    `frame`        usable rows: record_no, then the fields of a Product; price and original_price Decimal(18, 2),
                   selling_points List(String), every other field String
    `fingerprint`  sha256 of the file's bytes, or of the database's answer: the same contents have the same one
    `source`       where it came from, without any password
    `columns`      field → the column of the source that was taken for it
    `notes`        sentences about choices made: columns not used, categories not known
    """

    source: str
    fingerprint: str
    frame: pl.LazyFrame
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    product_count: int
    refused_count: int
    _refused: pl.LazyFrame = field(repr=False)
    _duplicates: pl.DataFrame = field(repr=False)
    _folder: Path = field(repr=False)
    _finalizer: list[weakref.finalize[Any, Any]] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._finalizer.append(weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True))

    def products(self) -> Iterator[Product]:
        """Return the usable rows in the order of the source, a batch in memory at a time."""
        for batch in self.frame.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
            columns = {name: batch[name].to_list() for name in batch.columns}
            columns["selling_points"] = [tuple(points) for points in columns["selling_points"]]
            names = tuple(columns)
            for values in zip(*columns.values(), strict=True):
                yield Product(**dict(zip(names, values, strict=True)))

    def refusals(self) -> Iterator[Refusal]:
        """Return one refusal per refused row, in the order of the source; its reason names every fault of the row."""
        pairs = heapq.merge(self._faulty(), self._duplicated(), key=lambda pair: pair[0])
        return (refusal for _, refusal in pairs)

    def close(self) -> None:
        """Remove the work files; `frame`, `products` and `refusals` can no longer be used."""
        for finalizer in self._finalizer:
            finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _faulty(self) -> Iterator[tuple[int, Refusal]]:
        for batch in self._refused.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
            for row in batch.iter_rows(named=True):
                yield row["record_no"], refusal_of(row)

    def _duplicated(self) -> Iterator[tuple[int, Refusal]]:
        for record_no, sku, first in self._duplicates.iter_rows():
            reason = _DUPLICATE.sentence.format(first=first)
            yield (
                record_no,
                Refusal("extract", _DUPLICATE.code, reason, sku, record_no, _DUPLICATE.field, excerpt(sku)),
            )


def refusal_of(row: Mapping[str, Any]) -> Refusal:
    """Return the refusal of a row by REFUSED_SCHEMA: its weightiest fault, then the sentences of the others."""
    first, *others = rules_of(row["faults"])
    value = row["ragged"] if first.field is None else row[first.field]
    reason = " Also: ".join(rule.sentence for rule in (first, *others))
    sku = row["sku"]
    return Refusal("extract", first.code, reason, excerpt(sku), row["record_no"], first.field, excerpt(value))


def excerpt(value: str | None) -> str | None:
    """Return the value fit to be shown: at most 80 characters, control and invisible ones as escapes."""
    if value is None:
        return None
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value[: EXCERPT_LENGTH + 1])
    return shown if len(shown) <= EXCERPT_LENGTH else f"{shown[: EXCERPT_LENGTH - 1]}…"
