"""How many times does a JPEG paint its picture over? A few bytes ask a decoder to go through all pixels once more.

A progressive JPEG has about ten scans. Libjpeg sets no limit: 60 KB can hold 2,000 scans of 80 megapixels, minutes of
work ("Two issues with the JPEG standard", libjpeg-turbo, 2015, which advises a limit). So they are counted first.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SCANS: Final = 100
"""Encoders write 1 (baseline) to about 20; baseline files with a scan for each of four channels write 4."""

_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9
_ALONE: Final = frozenset({0x01, 0xD8})
"""Markers that no length follows."""


def scan_count(data: bytes) -> int:
    """Return how many scans a JPEG has, at most MAX_SCANS + 1; 0 for anything else. Damaged files count as far as read.

    Segments are skipped by their lengths, so that neither thumbnails nor what follows the picture are counted.
    """
    if not data.startswith(b"\xff\xd8"):
        return 0
    count, at = 0, 2
    while count <= MAX_SCANS:
        found = _MARKER.search(data, at)
        if found is None or data[found.start() + 1] == _END:
            break
        marker, at = data[found.start() + 1], found.end()
        count += marker == _START_OF_SCAN
        if marker not in _ALONE:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return count
