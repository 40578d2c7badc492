"""The door of the room: any source becomes a Catalogue."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from zimage_core.catalogue.catalogue import Catalogue
from zimage_core.catalogue.database import open_database, shown_url
from zimage_core.catalogue.delimited import open_delimited
from zimage_core.catalogue.prices import CURRENCIES, PriceFormat
from zimage_core.catalogue.rules import RULES, rules_of
from zimage_core.catalogue.source import TextSource
from zimage_core.catalogue.tables import open_parquet, open_workbook
from zimage_core.catalogue.validate import REFUSED_SCHEMA, sift
from zimage_core.errors import CatalogueError

_DELIMITED: Final = (".csv", ".tsv", ".txt")
_WORKBOOKS: Final = (".xlsx", ".xlsm")
_PARQUET: Final = (".parquet", ".pq")
_WORDS_SHOWN: Final = 10


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

    `source` is a file (.csv .tsv .txt .xlsx .xlsm .parquet) or a database URL (sqlite, postgresql, mysql, or any other
    that SQLAlchemy knows); a database needs `table` ("name" or "schema.name") or `query` (one SELECT). `mapping` says
    {field: column} where the aliases do not; `sheet` names a sheet of a workbook; `price_format` how numbers are
    written (see `prices`); `default_currency` holds where no currency column and no sign says one.
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
            return path.name, open_delimited(path, mapping, folder)
        if kind in _WORKBOOKS:
            return path.name, open_workbook(path, mapping, sheet)
        if kind in _PARQUET:
            return path.name, open_parquet(path, mapping, price_format)
    except OSError as error:
        raise CatalogueError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    known = " ".join((*_DELIMITED, *_WORKBOOKS, *_PARQUET))
    raise CatalogueError(
        f"{path.name} is of a kind that is not read ({kind or 'no extension'}); give {known}, or a database URL "
        "such as sqlite:///shop.db."
    )


def _sift_all(
    name: str, opened: TextSource, price_format: PriceFormat, default_currency: str, folder: Path
) -> Catalogue:
    usable, refused = 0, 0
    faults: Counter[int] = Counter()
    usable_parts: list[Path] = []
    refused_parts: list[Path] = []
    unknown: Counter[str] = Counter()
    for place, batch in enumerate(opened.batches):
        sifted = sift(batch, price_format=price_format, default_currency=default_currency)
        unknown.update(sifted.unknown_categories)
        if sifted.usable.height:
            usable += sifted.usable.height
            usable_parts.append(_write(sifted.usable, folder / f"usable-{place:06d}.parquet"))
        if sifted.refused.height:
            refused += sifted.refused.height
            faults.update(dict(sifted.refused["faults"].value_counts().iter_rows()))
            refused_parts.append(_write(sifted.refused, folder / f"refused-{place:06d}.parquet"))
    if not usable:
        raise CatalogueError(_no_usable_row(name, refused, faults))
    duplicates = _find_duplicates(pl.scan_parquet(usable_parts))
    frame = pl.scan_parquet(usable_parts)
    if duplicates.height:
        frame = frame.filter(~pl.col("record_no").is_in(duplicates["record_no"].implode()))
    return Catalogue(
        source=name,
        fingerprint=opened.fingerprint(),
        frame=frame,
        columns=opened.columns.chosen,
        notes=(*opened.columns.notes, *_category_notes(unknown)),
        product_count=usable - duplicates.height,
        refused_count=refused + duplicates.height,
        _refused=pl.scan_parquet(refused_parts) if refused_parts else pl.LazyFrame(schema=REFUSED_SCHEMA),
        _duplicates=duplicates,
        _folder=folder,
    )


def _write(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path, compression="lz4", statistics=False)
    return path


def _find_duplicates(usable: pl.LazyFrame) -> pl.DataFrame:
    """Return record_no, sku and first_record_no of each row whose SKU an earlier usable row has."""
    keys = usable.select("record_no", "sku").collect()
    later = keys.filter(~pl.col("sku").is_first_distinct())
    if later.is_empty():
        return later.with_columns(first_record_no=pl.col("record_no"))
    firsts = keys.filter(pl.col("sku").is_first_distinct()).rename({"record_no": "first_record_no"})
    return later.join(firsts, on="sku", how="left", maintain_order="left")


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
