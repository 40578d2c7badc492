"""Pictures that are not what they say."""

from __future__ import annotations

import struct
import zlib


def huge_png() -> bytes:
    """A PNG of 33 bytes whose header announces 3.6 gigapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
