"""Which names a store takes, and the content type that goes with a name."""

from __future__ import annotations

from pathlib import PurePosixPath

from zimage_core.errors import ObjectRefused, StorageError

MAX_KEY_BYTES = 1023  # Alibaba OSS; AWS S3 allows 1024
MAX_SEGMENT_BYTES = 230  # ext4 and APFS allow 255; our temporary names add 21
TEMPORARY = ".tmp-"
"""How the names of unfinished files begin; no key has a segment that does."""

_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".json": "application/json",
    ".html": "text/html",
    ".csv": "text/csv",
}


def check_key(key: str) -> str:
    """Return the key, or raise StorageError saying what is wrong with it.

    A key is a relative posix path: no leading slash, no empty, `.` or `..` segment, no backslash, no control character,
    no name that is kept for temporary files, at most 1023 bytes of UTF-8 and 230 per segment.
    """
    problem = _key_problem(key)
    if problem:
        raise StorageError(f"The key {key!r} cannot be stored: {problem}.")
    return key


def _key_problem(key: str) -> str | None:
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it is absolute"
    if "\\" in key or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in key):
        return "it holds a backslash, a control character or half a surrogate pair"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"it is longer than {MAX_KEY_BYTES} bytes"
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            return f"{segment!r} is not a name for a segment"
        if segment != segment.strip() or segment.startswith(TEMPORARY):
            return f"the segment {segment!r} starts or ends with a blank, or is a temporary name"
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"a segment is longer than {MAX_SEGMENT_BYTES} bytes"
    return None


def content_type_of(key: str) -> str | None:
    """Return the content type a web server derives from the key's extension, None where we know no such extension."""
    return _CONTENT_TYPES.get(PurePosixPath(key).suffix.lower())


def check_prefix(prefix: str) -> str:
    """Return a prefix to list by, or raise StorageError where its folder is no key."""
    above = prefix.rpartition("/")[0]
    if above:
        check_key(above)
    return prefix


def check_content_type(key: str, content_type: str) -> None:
    """Raise ObjectRefused when a web server would serve the name as something else than it is put as."""
    known = content_type_of(check_key(key))
    if known is not None and content_type.partition(";")[0].strip() != known:
        raise ObjectRefused(f"{key} would be served as {known}, but it was put as {content_type}.")
