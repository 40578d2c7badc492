"""The door of the room: any source becomes a Catalogue."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from zimage_core.catalogue.catalogue import Catalogue
from zimage_core.catalogue.columns import PASSED
from zimage_core.catalogue.delimited import open_delimited
from zimage_core.catalogue.prices import CURRENCIES, PriceFormat
from zimage_core.catalogue.rules import RULES, rules_of
from zimage_core.catalogue.shops import shop_rows
from zimage_core.catalogue.source import BATCH_ROWS, TextSource
from zimage_core.catalogue.tables import open_parquet, open_workbook
from zimage_core.catalogue.validate import REFUSED_SCHEMA, TYPED_SCHEMA, sift
from zimage_core.catalogue.xml_feed import open_xml_feed
from zimage_core.errors import CatalogueError

_DELIMITED: Final = (".csv", ".tsv", ".txt")
_WORKBOOKS: Final = (".xlsx", ".xlsm")
_PARQUET: Final = (".parquet", ".pq")
_XML: Final = (".xml", ".rss", ".atom")
PASSED_LENGTH: Final = 500
_WORDS_SHOWN: Final = 10
_WORDS_KEPT: Final = 10_000
_PENDING_BATCHES: Final = 2
"""Few refused rows still hold on to the whole text of their batch until they are written."""


def read_catalogue(
    source: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    query: str | None = None,
    table: str | None = None,
    sheet: str | None = None,
    price_format: PriceFormat = "auto",
    default_currency: str = "CNY",
    work_dir: Path | None = None,
) -> Catalogue:
    """Read a catalogue and judge every row; what is usable goes on, the rest is refused with reasons.

    `source` is a file (.csv .tsv .txt .xlsx .xlsm .parquet; Google's product .xml) or a database URL (sqlite,
    postgresql, mysql, or any other that SQLAlchemy knows); a database needs `table` ("name" or "schema.name") or
    `query` (one SELECT). Shopify's product CSV and Google's product data are known by their headers (`shops`).
    `mapping` says {field: column} where the aliases do not (and what `read_passthrough` keeps); `sheet` names a sheet
    of a workbook; `price_format` how numbers are written (see `prices`); `default_currency` holds where no currency
    column and no sign says one.
    Work files go into `work_dir`, or a temporary folder, and are removed when the Catalogue is closed or forgotten.

    Raises CatalogueError, one sentence: unreadable source, wrong encoding, missing columns, no usable row.
    """
    if price_format not in ("auto", "dot", "comma"):
        raise CatalogueError(f"price_format is {price_format!r}; it can be auto, dot or comma.")
    if default_currency not in CURRENCIES:
        raise CatalogueError(
            f"The default currency {default_currency!r} is not an ISO code that is known, such as CNY."
        )
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="catalogue-", dir=work_dir))
    try:
        name, opened = _open(source, mapping, query, table, sheet, price_format, folder)
        return _sift_all(name, opened, price_format, default_currency, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_passthrough(
    source: str | Path,
    skus: Collection[str],
    *,
    mapping: Mapping[str, str],
    query: str | None = None,
    table: str | None = None,
    sheet: str | None = None,
) -> dict[str, dict[str, str]]:
    """Return, by SKU, what the columns that the mapping passes on hold: {name: text} of those that are not blank.

    A column is passed on as NAME by the mapping's field `passthrough.NAME`. Only these SKUs are kept, the first row of
    each, and of every text the first 500 characters, so memory is bounded by what is asked for. Rows are not judged.
    Raises CatalogueError as `read_catalogue` does.
    """
    names = [field for field in mapping if field.startswith(PASSED)]
    found: dict[str, dict[str, str]] = {}
    if not names:
        return found
    with tempfile.TemporaryDirectory(prefix="catalogue-") as folder:
        _, opened = _open(source, mapping, query, table, sheet, "auto", Path(folder))
        wanted = pl.Series(sorted(skus), dtype=pl.String).implode()
        for batch in opened.batches:
            if "sku" not in batch.columns:  # nothing but rows of another width than the header
                continue
            texts = [pl.col(name).str.strip_chars().str.slice(0, PASSED_LENGTH) for name in names]
            rows = batch.select(pl.col("sku").str.strip_chars(), *texts).filter(pl.col("sku").is_in(wanted))
            for row in rows.iter_rows(named=True):
                told = {name.removeprefix(PASSED): text for name, text in row.items() if name != "sku" and text}
                found.setdefault(row["sku"], told)
    return found


def _open(
    source: str | Path,
    mapping: Mapping[str, str] | None,
    query: str | None,
    table: str | None,
    sheet: str | None,
    price_format: PriceFormat,
    folder: Path,
) -> tuple[str, TextSource]:
    if isinstance(source, str) and "://" in source:
        from zimage_core.catalogue.database import open_database, shown_url  # SQLAlchemy takes 0.2 s to import

        opened = open_database(source, table=table, query=query, mapping=mapping, price_format=price_format)
        return shown_url(source), opened
    if query is not None or table is not None:
        raise CatalogueError("A table or query was given, but the catalogue is a file; give a database URL.")
    path = Path(source)
    if not path.is_file():
        raise CatalogueError(f"There is no catalogue file {str(path)!r}.")
    kind = path.suffix.lower()
    if sheet is not None and kind not in _WORKBOOKS:
        raise CatalogueError(f"A sheet was given, but {path.name} is not a workbook.")
    try:
        if kind in _DELIMITED:
            return path.name, shop_rows(open_delimited(path, mapping, folder))
        if kind in _WORKBOOKS:
            return path.name, shop_rows(open_workbook(path, mapping, sheet))
        if kind in _XML:
            return path.name, shop_rows(open_xml_feed(path, mapping))
        if kind in _PARQUET:
            return path.name, open_parquet(path, mapping, price_format)
    except OSError as error:
        raise CatalogueError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    known = " ".join((*_DELIMITED, *_WORKBOOKS, *_PARQUET, *_XML))
    raise CatalogueError(
        f"{path.name} is of a kind that is not read ({kind or 'no extension'}); give {known}, or a database URL "
        "such as sqlite:///shop.db."
    )


class _Parts:
    """Parquet files of one kind of rows, each filled with several batches: small files cost more than their rows."""

    def __init__(self, folder: Path, kind: str, schema: pl.Schema) -> None:
        self.rows = 0
        self._folder, self._kind, self._schema = folder, kind, schema
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._paths: list[Path] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take the rows; write a file when enough have come together."""
        if frame.height:
            self._pending.append(frame)
            self._pending_rows += frame.height
            self.rows += frame.height
        if self._pending_rows >= BATCH_ROWS or len(self._pending) == _PENDING_BATCHES:
            self._write()

    def scan(self) -> pl.LazyFrame:
        """Write what is left and return all rows in the order they came."""
        if self._pending:
            self._write()
        return pl.scan_parquet(self._paths, glob=False) if self._paths else pl.LazyFrame(schema=self._schema)

    def _write(self) -> None:
        path = self._folder / f"{self._kind}-{len(self._paths):06d}.parquet"
        pl.concat(self._pending).write_parquet(path, compression="lz4", statistics=False)
        self._paths.append(path)
        self._pending, self._pending_rows = [], 0


def _sift_all(
    name: str, opened: TextSource, price_format: PriceFormat, default_currency: str, folder: Path
) -> Catalogue:
    usable = _Parts(folder, "usable", TYPED_SCHEMA)
    refused = _Parts(folder, "refused", REFUSED_SCHEMA)
    faults: Counter[int] = Counter()
    unknown: Counter[str] = Counter()
    unreadable_values = 0
    for batch in opened.batches:
        sifted = sift(batch, price_format=price_format, default_currency=default_currency)
        usable.add(sifted.usable)
        refused.add(sifted.refused)
        faults.update(dict(sifted.refused["faults"].value_counts().iter_rows()))
        if len(unknown) < _WORDS_KEPT:
            unknown.update(sifted.unknown_categories)
        unreadable_values += sifted.unreadable_values
    if not usable.rows:
        raise CatalogueError(_no_usable_row(name, refused.rows, faults))
    frame = usable.scan()
    duplicates = _find_duplicates(frame)
    if duplicates.height:
        frame = frame.filter(~pl.col("record_no").is_in(duplicates["record_no"].implode()))
    return Catalogue(
        source=name,
        fingerprint=opened.fingerprint(),
        frame=frame,
        columns=opened.columns.chosen,
        notes=(*opened.columns.notes, *_category_notes(unknown), *_value_notes(unreadable_values)),
        product_count=usable.rows - duplicates.height,
        refused_count=refused.rows + duplicates.height,
        _refused=refused.scan(),
        _duplicates=duplicates,
        _folder=folder,
    )


def _find_duplicates(usable: pl.LazyFrame) -> pl.DataFrame:
    """Return record_no, sku and first_record_no of each row whose SKU an earlier usable row has."""
    keys = usable.select("record_no", "sku").collect()
    is_first = keys["sku"].is_first_distinct()
    later = keys.filter(~is_first)
    if later.is_empty():
        return later.with_columns(first_record_no=pl.col("record_no"))
    firsts = keys.filter(is_first & keys["sku"].is_in(later["sku"].unique().implode()))
    return later.join(firsts.rename({"record_no": "first_record_no"}), on="sku", how="left", maintain_order="left")


def _no_usable_row(name: str, refused: int, faults: Counter[int]) -> str:
    if not refused:
        return f"{name} has a header but no rows."
    codes: Counter[int] = Counter()
    for bits, rows in faults.items():
        codes.update(dict.fromkeys((rule.bit for rule in rules_of(bits)), rows))
    bit, rows = codes.most_common(1)[0]
    return f"{name} has no usable row: all {refused} were refused, {rows} of them because: {RULES[bit].sentence}"


def _category_notes(unknown: Counter[str]) -> tuple[str, ...]:
    if not unknown:
        return ()
    ordered = sorted(unknown.items(), key=lambda pair: (-pair[1], pair[0]))
    words = ", ".join(f"{word!r} ({rows} rows)" for word, rows in ordered[:_WORDS_SHOWN])
    return (f"Categories that are not known count as 'default': {words}.",)


def _value_notes(unreadable: int) -> tuple[str, ...]:
    if not unreadable:
        return ()
    rows = "1 row is" if unreadable == 1 else f"{unreadable:,} rows are"
    return (f"In the value column {rows} not a number; these products count as if they had none.",)
