"""Log lines for machines: one JSON object a line, with the run, SKU, shot and attempt it is about where they are known.

What it is:       a formatter, a handler that uses it, and the context a line is written in.
May import:       errors.
May touch:        standard error.
Never:            decides what is logged, or fails: a value JSON cannot hold is written as its text.

What a line is about comes from four places, the later ones first: what an orchestrator knows (`ask_context`), what the
code around it said (`about`), what the record carries (`extra=`), and what an error of ours carries.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
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
        super().__init__(stream)
        super().setFormatter(JsonFormatter())

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - the name logging calls
        """Keep the format: it is what this handler is for."""


def log_what_python_says() -> None:
    """Turn what Python itself would print on standard error (warnings, an error nobody caught) into log lines."""
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
