"""Which process this is, and whether another one still lives: for leases, and for files that a killed writer left.

What it is:       two questions to the operating system.
May import:       clock.
May touch:        the process table, by signal 0, which reaches nobody.
Never:            ends a process.
"""

from __future__ import annotations

import os
import socket

from zimage_core.clock import fresh_id


def owner_name() -> str:
    """Return a name no other owner has, from which this machine can later tell whether the process lives."""
    return f"{socket.gethostname()}:{os.getpid()}:{fresh_id()}"


def is_dead(owner: str) -> bool:
    """Tell whether an `owner_name` was given to a process of this machine that no longer runs.

    False when we cannot know (another machine) and when its number was given to a new process: then time must tell.
    """
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
