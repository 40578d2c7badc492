"""PostgreSQL through ADBC: record batches, every column cast to text by the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

import polars as pl
from sqlalchemy.engine import URL

from zimage_core.catalogue.columns import MONEY_FIELDS, Columns, choose_columns
from zimage_core.catalogue.prices import PriceFormat
from zimage_core.catalogue.source import number_as_text
from zimage_core.errors import CatalogueError

_CONNECT_TIMEOUT_S: Final = 10
_STATEMENT_TIMEOUT_S: Final = 600
_BATCH_BYTES: Final = 4 << 20
"""A hint to the driver, whose own 16 MiB cost 130 MiB more at the peak."""
_NUMBERS: Final = (b"numeric", b"int2", b"int4", b"int8", b"float4", b"float8")
_AFTER_THE_POINT: Final = re.compile(r"\n\nQuery was:|\nLINE |\nCONTEXT:|\nDETAIL:|\nHINT:")
_SERVER_SAYS: Final = re.compile(r"(?:ERROR|FATAL):\s*(.+)")


def open_postgresql(
    url: URL,
    wanted: str | tuple[str, ...],
    mapping: Mapping[str, str] | None,
    price_format: PriceFormat,
    shown: str,
) -> tuple[Columns, Iterator[pl.DataFrame]]:
    """Open a table (its name in parts) or a query: the chosen columns and batches of text.

    One read-only repeatable-read transaction: one snapshot, and nothing can be written, not even by a function.
    """
    from adbc_driver_postgresql import dbapi

    with ExitStack() as stack, _plain_errors(url, shown):
        connection = stack.enter_context(closing(dbapi.connect(conninfo(url))))
        cursor = stack.enter_context(closing(connection.cursor()))
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'")
        named = isinstance(wanted, tuple)
        source = ".".join(map(_quoted, wanted)) if isinstance(wanted, tuple) else f"({wanted}\n) AS catalogue"
        cursor.execute(f"SELECT * FROM {source} LIMIT 0")  # noqa: S608 - quoted, or a query that only_select let pass
        schema = cursor.fetch_record_batch().schema
        columns = choose_columns(schema.names, mapping, f"The table {'.'.join(wanted)}" if named else "The query")
        texts = {field: _as_text(schema.field(column)) for field, column in columns.taken.items()}
        listed = ", ".join(f"{text} AS {_quoted(field)}" for field, text in texts.items())
        order = ", ".join(f'{text} COLLATE "C"' for text in texts.values())
        cursor.execute(f"SELECT {listed} FROM {source}" + (f" ORDER BY {order}" if named else ""))  # noqa: S608
        numeric = [
            field
            for field, column in columns.chosen.items()
            if field in MONEY_FIELDS and _type_of(schema.field(column)) in _NUMBERS
        ]
        return columns, _batches(cursor.fetch_record_batch(), numeric, price_format, url, shown, stack.pop_all())
    raise AssertionError("unreachable: the block above returns or raises")


def conninfo(url: URL) -> str:
    """Return the URL as libpq keywords: unlike a URI it needs no percent-encoding, which libpq quotes in its errors."""
    given: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": "zimage",
        "client_encoding": "UTF8",
    }
    for keyword, value in url.query.items():
        given[keyword] = value if isinstance(value, str) else ",".join(value)
    return " ".join(f"{keyword}={_escaped(str(value))}" for keyword, value in given.items() if value is not None)


def _escaped(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type_of(column: Any) -> bytes:
    return bytes((column.metadata or {}).get(b"POSTGRESQL:type", b""))


def _as_text(column: Any) -> str:
    """Return the SQL that gives a column as text; an array becomes lines, as selling points are."""
    name = _quoted(column.name)
    return f"array_to_string({name}, chr(10))" if _type_of(column).startswith(b"_") else f"CAST({name} AS text)"


def _batches(
    reader: Any, numeric: list[str], price_format: PriceFormat, url: URL, shown: str, stack: ExitStack
) -> Iterator[pl.DataFrame]:
    with stack, _plain_errors(url, shown):
        for batch in reader:
            text = pl.DataFrame(pl.from_arrow(batch))
            yield text.with_columns(number_as_text(pl.col(field), price_format).alias(field) for field in numeric)


@contextmanager
def _plain_errors(url: URL, shown: str) -> Iterator[None]:
    """Make one sentence of what the driver raises; once rows are streaming that comes as Arrow's errors or OSError."""
    import adbc_driver_manager
    import pyarrow as pa

    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        text = " ".join(_AFTER_THE_POINT.split(str(error))[0].split())
        said = _SERVER_SAYS.search(text)
        reason = (said[1] if said else text.removeprefix("IO: [libpq] ")).rstrip(".")
        if url.password and str(url.password) in reason:
            reason = "the driver's message is not shown because it holds the password"
        raise CatalogueError(f"The database {shown} could not be read: {reason}.") from None
