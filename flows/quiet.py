"""A calm terminal: an error of ours is logged as its sentence, without the stack of the orchestrator around it.

`--verbose` leaves the stacks in, for whoever looks for the cause inside an engine.
"""

from __future__ import annotations

import logging

from zimage_core.errors import ZImageError

PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class SentenceOnly(logging.Filter):
    """Take the stack off log records that carry an error of ours; every other record passes as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: nothing is hidden, only shortened."""
        if record.exc_info and isinstance(record.exc_info[1], ZImageError):
            record.exc_info = None
            record.exc_text = None
        return True


def calm_console() -> None:
    """Shorten our errors in the run logs of this process."""
    for name in PREFECT_LOGGERS:
        logging.getLogger(name).addFilter(SentenceOnly())
