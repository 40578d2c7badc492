"""A calm terminal: what a person needs to see of a run, in the process that starts it and in those it starts.

An error of ours is shown as its sentence, without the stack of the orchestrator around it; what an engine says while it
loads is shown, because loading takes a minute. `--verbose` shows Prefect's own lines and leaves the stacks in, for
whoever looks for the cause inside an engine. The Prefect UI shows all of it either way.

With ZIMAGE_LOG_FORMAT=json standard error holds JSON lines and nothing else: Prefect's, Python's and ours alike.
"""

from __future__ import annotations

import logging

from rich.console import Console

from zimage_core.errors import ConfigurationError, ZImageError
from zimage_core.logs import JsonLines, log_what_python_says
from zimage_core.settings import load_seeing_settings, set_environment_defaults

OURS = "zimage_core"
ENGINES = "zimage_core.engines"
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class SentenceOnly(logging.Filter):
    """Take the stack off log records that carry an error of ours; every other record passes as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: nothing is hidden, only shortened."""
        if record.exc_info and isinstance(record.exc_info[1], ZImageError):
            record.exc_info = None
            record.exc_text = None
        return True


class EngineNews(logging.Handler):
    """Show what engines say of themselves; from a warning up Prefect's own handler shows it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, above the progress line where there is one."""
        if record.levelno < logging.WARNING:
            Console(stderr=True).print(record.getMessage(), style="dim", markup=False, highlight=False, soft_wrap=True)


def set_up_terminal(*, verbose: bool) -> None:
    """Decide what this process shows on its terminal and what Prefect keeps; call it before Prefect is imported."""
    lines = logs_lines()
    if lines:
        set_environment_defaults(PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS=f"{JsonLines.__module__}.{JsonLines.__name__}")
        log_what_python_says()
    set_environment_defaults(
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO" if verbose or lines else "WARNING",
        PREFECT_LOGGING_EXTRA_LOGGERS=OURS,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW="ignore",  # an engine's own threads belong to no flow run
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",  # 20 s are not enough beside other heavy work
    )
    logging.getLogger(OURS).setLevel(logging.INFO)
    if lines and not logging.getLogger().handlers:
        logging.getLogger().addHandler(JsonLines())  # until Prefect, where it is needed, brings its own
    if verbose or is_calm():
        return
    for name in PREFECT_LOGGERS:
        logging.getLogger(name).addFilter(SentenceOnly())
    logging.getLogger(ENGINES).addHandler(EngineNews(logging.INFO))


def logs_lines() -> bool:
    """Tell whether standard error is to hold JSON lines. Raises ConfigurationError for a setting that is wrong."""
    return load_seeing_settings().log_format == "json"


def show_error(error: ZImageError) -> None:
    """Show the error that ends a command: its class and sentence, or a line for machines."""
    try:
        lines = logs_lines()
    except ConfigurationError:  # which is then the error itself, or will be told next
        lines = False
    if lines:
        logging.getLogger(OURS).error("%s", error.sentence, exc_info=error)
        return
    Console(stderr=True).print(f"[bold red]{error.code}[/]: ", end="")
    Console(stderr=True, markup=False, highlight=False).print(str(error))


def is_calm() -> bool:
    """Tell whether this process was set up by `set_up_terminal`, so that one it starts can be set up alike."""
    return logs_lines() or any(isinstance(handler, EngineNews) for handler in logging.getLogger(ENGINES).handlers)
