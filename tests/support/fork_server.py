"""Carries out orders in forks of itself, each killed at the n-th thing it writes: `python fork_server.py`, JSON lines.

Prefect and the rooms are imported once, before any thread is there; a fork begins where a fresh process would after its
imports. What is written is every transaction of the ledger and every object of a store; a fork dies before or after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runtime import opened_rooms
from zimage_core.ledger.database import Database
from zimage_core.storage.local import LocalStore


class Countdown:
    """Kills this process when so many things were reached; 0 = never. Says where on a pipe, before it does."""

    def __init__(self, kill_at: int, report: int) -> None:
        self.kill_at, self.report, self.reached = kill_at, report, 0

    def reach(self, where: str) -> None:
        self.reached += 1
        if self.reached == self.kill_at:
            os.write(self.report, where.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def armed(countdown: Countdown) -> None:
    """Let every write of this process count."""
    writing = Database.writing

    @contextmanager
    def counted_writing(self: Database) -> Iterator[Any]:
        who = sys._getframe(2).f_code.co_name
        countdown.reach(f"before {who}")
        with writing(self) as connection:
            yield connection
        countdown.reach(f"after {who}")

    def counted(name: str, put: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: LocalStore, key: str, *given: Any, **named: Any) -> Any:
            folder = key.split("/")[0]
            countdown.reach(f"before {name} {folder}")
            answer = put(self, key, *given, **named)
            countdown.reach(f"after {name} {folder}")
            return answer

        return call

    Database.writing = counted_writing  # type: ignore[method-assign, assignment]
    for name in ("put", "replace"):
        setattr(LocalStore, name, counted(name, getattr(LocalStore, name)))


def carry_out(asked: dict[str, Any], report: int) -> None:
    """Run the order in this fork and end it."""
    code = 1
    try:
        os.chdir(asked["folder"])
        os.environ.update(asked["environment"])
        armed(Countdown(asked["kill_at"], report))
        with opened_rooms():
            produce(ProductionOrder.model_validate(asked["order"]))
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Answer each line of standard input with how its fork ended and where it was killed."""
    for line in sys.stdin:
        reading, report = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            carry_out(json.loads(line), report)
        os.close(report)
        _, status = os.waitpid(pid, 0)
        where = os.read(reading, 1000).decode()
        os.close(reading)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "where": where}), flush=True)


if __name__ == "__main__":
    main()
