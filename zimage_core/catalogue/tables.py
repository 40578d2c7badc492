"""Excel workbooks and Parquet files, every value as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile

import polars as pl

from zimage_core.catalogue.columns import MONEY_FIELDS, Columns, choose_columns
from zimage_core.catalogue.prices import PriceFormat
from zimage_core.catalogue.source import BATCH_ROWS, TextSource, number_as_text, sha256_of_file
from zimage_core.errors import CatalogueError

_UNPACKED_BYTES: Final = 2 << 30
"""A workbook that unpacks to more than this is not read: a sheet of a million rows is a quarter of it."""


def open_workbook(path: Path, mapping: Mapping[str, str] | None, sheet: str | None) -> TextSource:
    """Open a sheet of an .xlsx or .xlsm workbook, the first where `sheet` is None. Record numbers are Excel's rows.

    The header is the first row that is not empty. Text stays as typed (leading zeros too); numbers come without
    exponent, formulas as the value they had when the file was saved, errors such as #N/A as blank.

    Raises CatalogueError: not a workbook, too large, no such sheet, no rows; and see `columns.choose_columns`.
    """
    import fastexcel

    _check_zip(path)
    try:
        workbook = fastexcel.read_excel(path)
        name = _sheet_name(path, workbook.sheet_names, sheet)
        loaded = workbook.load_sheet(name, header_row=None, skip_rows=0, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise CatalogueError(f"{path.name} cannot be read as a workbook: {str(error).splitlines()[0]}.") from None
    where = f"{path.name}, sheet {name!r},"
    filled = (
        loaded.select(pl.any_horizontal(pl.all().is_not_null())).to_series() if loaded.width else pl.Series([False])
    )
    start = filled.arg_true()
    if start.is_empty():
        raise CatalogueError(f"{where} is empty.")
    headers = [str(value or "") for value in loaded.row(start[0])]
    columns = choose_columns(headers, mapping, where, feeds=True)
    text = loaded.slice(start[0] + 1).select(
        pl.int_range(start[0] + 2, loaded.height + 1, dtype=pl.UInt32).alias("record_no"),
        *(pl.nth(headers.index(column)).alias(field) for field, column in columns.taken.items()),
    )
    digest = sha256_of_file(path)
    return TextSource(columns, text.iter_slices(BATCH_ROWS), lambda: digest)


def _check_zip(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except BadZipFile:
        raise CatalogueError(
            f"{path.name} is not an .xlsx workbook (or is protected by a password); save it again as .xlsx."
        ) from None
    if unpacked > _UNPACKED_BYTES:
        raise CatalogueError(
            f"{path.name} unpacks to {unpacked >> 20:,} MiB; the limit is {_UNPACKED_BYTES >> 20:,}. Save it as CSV."
        )


def _sheet_name(path: Path, names: list[str], sheet: str | None) -> str:
    if not names:
        raise CatalogueError(f"{path.name} has no sheet.")
    if sheet is not None and sheet not in names:
        raise CatalogueError(f"{path.name} has no sheet {sheet!r}; its sheets are {', '.join(map(repr, names))}.")
    return names[0] if sheet is None else sheet


def open_parquet(path: Path, mapping: Mapping[str, str] | None, price_format: PriceFormat) -> TextSource:
    """Open a Parquet file. Record numbers count rows from 1; selling points may be a list.

    Raises CatalogueError: not Parquet, a chosen column that is no text, number or date; see `columns.choose_columns`.
    """
    try:
        scan = pl.scan_parquet(path, glob=False)
        schema = scan.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CatalogueError(f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}.") from None
    columns = choose_columns(schema.names(), mapping, path.name)
    fields = [_as_text(field, column, schema[column], price_format, path) for field, column in columns.taken.items()]
    text = scan.select(*fields).with_row_index("record_no", offset=1)
    digest = sha256_of_file(path)
    return TextSource(columns, _parquet_batches(text, columns, path), lambda: digest)


def _parquet_batches(text: pl.LazyFrame, columns: Columns, path: Path) -> Iterator[pl.DataFrame]:
    try:
        yield from text.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
    except pl.exceptions.PolarsError as error:
        raise CatalogueError(
            f"{path.name} is damaged, or one of {', '.join(columns.taken.values())} has no text form: "
            f"{str(error).splitlines()[0]}."
        ) from None


def _as_text(field: str, column: str, dtype: pl.DataType, price_format: PriceFormat, path: Path) -> pl.Expr:
    value = pl.col(column)
    if field in MONEY_FIELDS and dtype.is_numeric():
        return number_as_text(value, price_format).alias(field)
    if field == "selling_points" and dtype == pl.List(pl.String):
        return value.list.join("\n").alias(field)
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise CatalogueError(f"{path.name}: the column {column!r} for the {field} holds {dtype}, not text or numbers.")
    return value.cast(pl.String).alias(field)
