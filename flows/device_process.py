"""What a device process runs: one flow run, handed to it by its id. Imports nothing heavy until its settings stand.

It ends with the process that started it, whatever ended that one, and leaves Ctrl-C to it: a terminal sends it to both.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection

from flows.quiet import set_up_terminal
from zimage_core.settings import set_environment


def main(api_url: str, flow_run_id: str, calm: bool, report: Connection) -> None:
    """Carry out a flow run that waits on the Prefect server at `api_url`; report why it failed, or None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    set_environment(PREFECT_API_URL=api_url)
    if calm:
        set_up_terminal(verbose=False)
    from flows.devices import carry_out

    report.send(carry_out(flow_run_id))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a device process is always started by another process"

    def watch() -> None:
        parent.join()
        os._exit(1)  # the parent is gone: nobody would end this process in order

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
