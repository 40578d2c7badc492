"""Log lines for machines: one JSON object a line, with the run, SKU, shot and attempt it is about where they are known.

What it is:       a formatter, a handler that uses it, and the context a line is written in.
May import:       errors.
May touch:        standard error.
Never:            decides what is logged, or fails: a value JSON cannot hold is written as its text.

What a line is about comes from four places, the later ones first: what an orchestrator knows (`ask_context`), what the
code around it said (`about`), what the record carries (`extra=`), and what an error of ours carries.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

from zimage_core.errors import ZImageError

CONTEXT_FIELDS: Final = ("promotion", "run", "shard", "sku", "shot", "attempt", "engine", "flow_run", "task_run")
"""What a line may say of where it was written, in this order."""

_RECORD_FIELDS: Final = {  # what Prefect's loggers put on a record
    "flow_run": "flow_run_name",
    "task_run": "task_run_name",
    "flow_run_id": "flow_run_id",
    "task_run_id": "task_run_id",
}

_about: ContextVar[Mapping[str, object] | None] = ContextVar("zimage_log_context", default=None)
_contexts: list[Callable[[], Mapping[str, object]]] = []


@contextlib.contextmanager
def about(**known: object) -> Iterator[None]:
    """Let every line logged in the body say these of CONTEXT_FIELDS too; bodies inside it add theirs."""
    said = {name: value for name, value in known.items() if value is not None}
    token = _about.set({**(_about.get() or {}), **said})
    try:
        yield
    finally:
        _about.reset(token)


def ask_context(context: Callable[[], Mapping[str, object]]) -> None:
    """Ask this function, too, what each line is about; once however often it is given."""
    if context not in _contexts:
        _contexts.append(context)


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, what it is about, and the error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line without its end. Line ends inside the message are escaped, as JSON does."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line |= _known(record)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error"] = error.code if isinstance(error, ZImageError) else type(error).__name__
            line["stack"] = "".join(traceback.format_exception(error))
        return json.dumps(line, ensure_ascii=False, default=str)


class JsonLines(logging.StreamHandler[TextIO]):
    """Writes JSON lines to standard error, whichever formatter a configuration hands it.

    Named in PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS it takes the place of Prefect's own console, with its arguments.
    """

    def __init__(self, stream: TextIO | None = None, **_colours: object) -> None:
        chosen = sys.stderr if stream is None else stream
        super().__init__(chosen.below if isinstance(chosen, PlainText) else chosen)
        super().setFormatter(JsonFormatter())

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - the name logging calls
        """Keep the format: it is what this handler is for."""


class PlainText(io.TextIOBase):
    """Standard error for whoever prints plain text there: each line of it becomes a JSON line on the stream below."""

    encoding = "utf-8"

    def __init__(self, below: TextIO) -> None:
        super().__init__()
        self.below = below
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Keep the text until its line ends, then write that line; empty ones are left out."""
        with self._lock:
            *whole, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
            for line in whole:
                if line.strip():
                    record = logging.LogRecord("stderr", logging.INFO, "", 0, line.rstrip(), None, None)
                    self.below.write(JsonFormatter().format(record) + "\n")
        return len(text)

    def end_line(self) -> None:
        """Write what has no line end yet, where that is still possible."""
        if self.below.closed:
            return
        self.write("\n")
        self.flush()

    def flush(self) -> None:
        """Hand on what was written whole."""
        self.below.flush()

    def fileno(self) -> int:
        """Return the file below: a process that is started writes there itself."""
        return self.below.fileno()

    def isatty(self) -> bool:
        """Return False: colours and moving lines are for people."""
        return False


def log_what_python_says() -> None:
    """Turn what is printed on standard error from now on (by Python itself, by libraries, by us) into log lines."""
    if not isinstance(sys.stderr, PlainText):
        plain = PlainText(sys.stderr)
        sys.stderr = plain
        atexit.register(plain.end_line)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default", append=True)

    def uncaught(kind: type[BaseException], error: BaseException, *_: object) -> None:
        if issubclass(kind, KeyboardInterrupt):
            logging.getLogger("zimage_core").warning("Interrupted.")
            return
        logging.getLogger("zimage_core").critical("%s", error, exc_info=error)

    sys.excepthook = uncaught


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a format that does not fit its arguments: a line is still written
        return f"{record.msg} {record.args}"


def _known(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = {}
    for context in _contexts:
        found |= context()
    for name, attribute in _RECORD_FIELDS.items():
        value = getattr(record, attribute, None)
        if value not in (None, "<unknown>"):
            found[name] = value
    found |= _about.get() or {}
    found |= {name: getattr(record, name) for name in CONTEXT_FIELDS if hasattr(record, name)}
    for error in _errors_of(record):
        found |= {
            name: value
            for name, value in (
                ("sku", error.sku),
                ("shot", error.shot_id),
                ("attempt", error.attempt),
                ("engine", error.engine),
            )
            if value is not None
        }
    ordered = {name: found[name] for name in CONTEXT_FIELDS if found.get(name) is not None}
    return ordered | {name: value for name, value in found.items() if name not in ordered and value is not None}


def _errors_of(record: logging.LogRecord) -> Iterator[ZImageError]:
    """Yield the errors of ours a record carries: as its exception, or among its arguments."""
    if record.exc_info and isinstance(record.exc_info[1], ZImageError):
        yield record.exc_info[1]
    arguments = record.args if isinstance(record.args, tuple) else ()
    yield from (argument for argument in arguments if isinstance(argument, ZImageError))
