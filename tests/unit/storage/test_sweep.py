"""What a killed writer leaves behind is removed by the next process; what a live one is writing is not."""

import socket
import subprocess
import sys
from pathlib import Path

from zimage_core.processes import is_dead, owner_name
from zimage_core.storage import LocalStore, sweep, unfinished


def dead_owner() -> str:
    """The name of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{socket.gethostname()}:{ended.pid}:0123456789abcdef"


def test_a_process_that_ended_is_known_to_be_dead_and_this_one_is_not():
    assert is_dead(dead_owner())
    assert not is_dead(owner_name())


def test_of_another_machine_and_of_nonsense_nothing_is_claimed():
    assert not is_dead("another-host:1:abc")
    assert not is_dead("nonsense")


def test_only_files_of_dead_writers_are_swept(tmp_path: Path):
    store = LocalStore(tmp_path)
    store.put("img/a.png", b"a", content_type="image/png")
    left = tmp_path / f".tmp-{dead_owner().replace(':', '~')}"
    left.write_bytes(b"half a pict")
    writing = unfinished(tmp_path)
    writing.write_bytes(b"half a pict")
    assert sweep(tmp_path) == 1
    assert not left.exists()
    assert writing.exists()
    assert store.get("img/a.png") == b"a"
