"""A table or a query of a database as a catalogue, read only, in one transaction, streamed.

PostgreSQL goes through ADBC (a fifth of the CPU of rows through Python), SQLite through the standard library, MySQL and
whatever else SQLAlchemy knows through SQLAlchemy. All give text: the rules for rows are the same for any source.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from zimage_core.catalogue.columns import MONEY_FIELDS, Columns, choose_columns
from zimage_core.catalogue.postgresql import open_postgresql
from zimage_core.catalogue.prices import PriceFormat
from zimage_core.catalogue.select_only import only_select
from zimage_core.catalogue.source import BATCH_ROWS, TextSource, python_number_as_text
from zimage_core.errors import CatalogueError

_CONNECT_TIMEOUT_S: Final = 10
_READ_TIMEOUT_S: Final = 600
_NOT_DATABASES: Final = ("http", "https", "ftp", "s3", "oss", "gs", "file")
_NAME_PART: Final = re.compile(r'"(?:[^"]|"")+"|[^."]+')
_SHORTEST_REDACTED: Final = 4
"""A shorter password would be found inside ordinary words; then the driver's message is left out altogether."""

Rows = Iterable[Sequence[Any]]


def shown_url(url: str) -> str:
    """Return a database URL without password and options, fit for logs and reports."""
    return _shown(_parse(url))


def open_database(
    url: str,
    *,
    table: str | None,
    query: str | None,
    mapping: Mapping[str, str] | None,
    price_format: PriceFormat,
) -> TextSource:
    """Open a table ("name" or "schema.name"; quotes around a part keep its dots) or the answer of one SELECT.

    A table is ordered by SKU, then by its other columns, so the same contents give the same record numbers and the same
    fingerprint; a query keeps the order it asks for. Record numbers count rows from 1.

    Raises CatalogueError: it cannot be reached, does not let us in, has no such table; the query would write.
    """
    parsed = _parse(url)
    if (table is None) == (query is None):
        raise CatalogueError("A database is read by either a table or a query; give one of them.")
    wanted = only_select(query) if query is not None else _parts(table or "")
    dialect = parsed.get_backend_name()
    with _plain_errors(parsed):
        if dialect == "sqlite":
            return _fingerprinted(*_open_sqlite(parsed, wanted, mapping, price_format))
        if dialect in ("postgresql", "postgres"):
            return _fingerprinted(*open_postgresql(parsed, wanted, mapping, price_format, shown_url(url)))
        return _fingerprinted(*_open_sqlalchemy(parsed, wanted, mapping, price_format))


def _parse(url: str) -> URL:
    scheme = url.partition("://")[0].lower()
    if scheme in _NOT_DATABASES:
        raise CatalogueError(f"A catalogue is not read over {scheme}; download it and give its path.")
    try:
        return make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise CatalogueError(
            "The database URL cannot be read; write dialect://user:password@host:port/database, "
            "with special characters of the password percent-encoded."
        ) from None


def _parts(table: str) -> tuple[str, ...]:
    parts = tuple(part[1:-1].replace('""', '"') if part[0] == '"' else part for part in _NAME_PART.findall(table))
    if not 1 <= len(parts) <= 2 or "\x00" in table:
        raise CatalogueError(f'The table {table!r} cannot be read as a name; write "name" or "schema.name".')
    return parts


@contextmanager
def _plain_errors(url: URL) -> Iterator[None]:
    """Turn whatever a driver raises into one CatalogueError sentence that holds no password, and drop the original."""
    try:
        yield
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise CatalogueError(f"No driver is installed for {url.drivername}: {error}.") from None
    except sa.exc.NoSuchTableError as error:
        raise CatalogueError(f"{_shown(url)} has no table {error}.") from None
    except sa.exc.DBAPIError as error:
        raise CatalogueError(_sentence(url, error.orig)) from None
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise CatalogueError(_sentence(url, error)) from None


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _sentence(url: URL, error: BaseException | None) -> str:
    said = error.args[-1] if isinstance(error, Exception) and error.args else error
    first_line = (str(said).strip().splitlines() or ["no reason given"])[0]
    return f"The database {_shown(url)} could not be read: {_redact(first_line, url)}."


def _redact(text: str, url: URL) -> str:
    """Return a driver's message without the password of the URL, in any of the forms it may have taken."""
    password = str(url.password) if url.password else ""
    if not password:
        return text
    if len(password) < _SHORTEST_REDACTED:
        return "the driver's message is not shown because the password is too short to be taken out of it"
    for form in {password, quote(password, safe=""), quote_plus(password)}:
        text = text.replace(form, "***")
    return text


def _fingerprinted(columns: Columns, batches: Iterator[pl.DataFrame]) -> TextSource:
    """Number the rows of batches of text; their contents, however they were cut, give one sha256."""
    digest = hashlib.sha256("\x1f".join(columns.chosen).encode())

    def numbered() -> Iterator[pl.DataFrame]:
        next_no = 1
        for batch in batches:
            text = batch.select(*columns.taken)
            digest.update(text.select(*columns.chosen).write_csv(include_header=False).encode())
            numbers = pl.int_range(next_no, next_no + text.height, dtype=pl.UInt32)
            yield text.with_columns(numbers.alias("record_no"))
            next_no += text.height

    return TextSource(columns, numbered(), digest.hexdigest)


# ---------------------------------------------------------------- rows through Python


def _open_sqlite(
    url: URL, wanted: str | tuple[str, ...], mapping: Mapping[str, str] | None, price_format: PriceFormat
) -> tuple[Columns, Iterator[pl.DataFrame]]:
    path = Path(url.database or "")
    if not path.is_file():
        raise CatalogueError(f"There is no SQLite file {str(path)!r}.")
    with ExitStack() as stack:
        uri = f"file:{quote(str(path.resolve()))}?mode=ro"
        connection = stack.enter_context(closing(sqlite3.connect(uri, uri=True, timeout=_CONNECT_TIMEOUT_S)))
        connection.execute("PRAGMA query_only = ON")
        if isinstance(wanted, str):
            cursor = connection.execute(wanted)
            columns = choose_columns([column[0] for column in cursor.description], mapping, "The query")
        else:
            name = ".".join(_quoted(part) for part in wanted)
            described = connection.execute(f"SELECT * FROM {name} LIMIT 0").description  # noqa: S608 - quoted above
            columns = choose_columns([column[0] for column in described], mapping, f"The table {'.'.join(wanted)}")
            listed = ", ".join(_quoted(column) for column in columns.taken.values())
            cursor = connection.execute(f"SELECT {listed} FROM {name} ORDER BY {listed}")  # noqa: S608 - quoted above
        return columns, _python_batches(
            _chunks(cursor), cursor.description, columns, price_format, url, stack.pop_all()
        )


def _open_sqlalchemy(
    url: URL, wanted: str | tuple[str, ...], mapping: Mapping[str, str] | None, price_format: PriceFormat
) -> tuple[Columns, Iterator[pl.DataFrame]]:
    is_mysql = url.get_backend_name() in ("mysql", "mariadb")
    if is_mysql and url.drivername in ("mysql", "mariadb"):
        url = url.set(drivername=f"{url.drivername}+pymysql")
    timeouts = {"connect_timeout": _CONNECT_TIMEOUT_S, "read_timeout": _READ_TIMEOUT_S, "charset": "utf8mb4"}
    with ExitStack() as stack:
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=timeouts if is_mysql else {})
        connection = stack.enter_context(engine.connect())
        if is_mysql:
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        streamed = {"stream_results": True, "max_row_buffer": BATCH_ROWS, "no_parameters": True}
        if isinstance(wanted, str):
            result = connection.exec_driver_sql(wanted, execution_options=streamed)
            columns = choose_columns(list(result.keys()), mapping, "The query")
        else:
            schema, name = (None, *wanted)[-2:]
            described = sa.inspect(connection).get_columns(str(name), schema=schema)
            columns = choose_columns([column["name"] for column in described], mapping, f"The table {'.'.join(wanted)}")
            listed: list[sa.ColumnClause[Any]] = [
                sa.column(sa.quoted_name(column, quote=True)) for column in columns.taken.values()
            ]
            source = sa.table(
                sa.quoted_name(str(name), quote=True), schema=schema and sa.quoted_name(schema, quote=True)
            )
            result = connection.execution_options(**streamed).execute(
                sa.select(*listed).select_from(source).order_by(*listed)
            )
        names = [(name,) for name in result.keys()]  # noqa: SIM118 - a result has no iteration over its names
        return columns, _python_batches(
            result.partitions(BATCH_ROWS), names, columns, price_format, url, stack.pop_all()
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _chunks(cursor: sqlite3.Cursor) -> Iterator[Rows]:
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield rows


def _python_batches(
    chunks: Iterable[Rows],
    description: Sequence[Sequence[Any]],
    columns: Columns,
    price_format: PriceFormat,
    url: URL,
    stack: ExitStack,
) -> Iterator[pl.DataFrame]:
    names = [column[0] for column in description]
    places = {field: names.index(column) for field, column in columns.taken.items()}
    with stack, _plain_errors(url):
        for rows in chunks:
            values = list(zip(*rows, strict=True))
            yield pl.DataFrame(
                {field: _texts(values[place], field in MONEY_FIELDS, price_format) for field, place in places.items()},
                schema=dict.fromkeys(places, pl.String),
            )


def _texts(values: Sequence[Any], money: bool, price_format: PriceFormat) -> list[str | None]:
    """Return the values of a column as text; most are text already and cost no call."""
    return [value if value is None or type(value) is str else _text(value, money, price_format) for value in values]


def _text(value: Any, money: bool, price_format: PriceFormat) -> str:
    """Return one value as text: numbers without exponent, those of money as `source.number_as_text` says."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return str(value)
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        return str(value)
    text = format(int(exact) if isinstance(value, float) and exact == int(exact) else exact, "f")
    return python_number_as_text(text, price_format) if money else text
