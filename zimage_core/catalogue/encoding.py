"""In which encoding a text file is, proved over all its bytes, and a UTF-8 copy where it is another."""

from __future__ import annotations

import codecs
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zimage_core.errors import CatalogueError

_CHUNK_BYTES: Final = 1 << 17
"""Small enough to stay in the processor's cache: with 1 MiB the same pass takes half as long again."""
_GB2312_RATIO: Final = 0.7
"""Of the non-ASCII characters of real simplified Chinese over 99 % are in GB2312; of Latin-1 or Big5 bytes that happen
to decode as GB18030, at most six in ten."""
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Utf8File:
    """A text file as UTF-8 with `\\n` or `\\r\\n` line ends: the file itself, or a copy made of it.

    `sha256` is that of the original bytes; `quotes` counts the `"` in it.
    """

    path: Path
    sha256: str
    encoding: str
    quotes: int


def as_utf8(path: Path, scratch: Path) -> Utf8File:
    """Return the file as UTF-8. UTF-8 with or without BOM, UTF-16 and GB18030 (so also GBK and GB2312) are read.

    Files whose lines end in `\\r` alone are copied with `\\n`. Copies go into the folder `scratch`.

    Raises CatalogueError: the file is empty, or in no encoding that is taken; the sentence gives the byte offset.
    """
    with path.open("rb") as stream:
        head = stream.read(_CHUNK_BYTES)
    if not head.strip(codecs.BOM_UTF8 + b"\r\n\t \x00"):
        raise CatalogueError(f"{path.name} is empty.")
    encoding = _by_bom(head) or _by_nul_bytes(head) or "utf-8"
    if encoding == "utf-32":
        raise CatalogueError(f"{path.name} is UTF-32, which is not read; save it as UTF-8.")
    survey = _survey(path, encoding)
    if survey.bad_byte is not None:
        if encoding != "utf-8":
            raise CatalogueError(
                f"{path.name} begins like {encoding.upper()}, but byte {survey.bad_byte} is wrong; save it as UTF-8."
            )
        _refuse_unless_gb18030(path, survey.bad_byte)
        encoding = "gb18030"
    elif encoding.startswith("utf-8") and not (b"\r" in head and b"\n" not in head):
        return Utf8File(path, survey.sha256, "utf-8", survey.quotes)
    return _copy(path, encoding, survey.sha256, scratch)


def _by_bom(head: bytes) -> str | None:
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None)


def _by_nul_bytes(head: bytes) -> str | None:
    """Return which UTF-16 a file without BOM is: the ASCII in it (separators, digits) has a NUL on one side only."""
    sample = head[:4096]
    pairs = max(1, len(sample) // 2)
    even, odd = sample[0::2].count(0) / pairs, sample[1::2].count(0) / pairs
    if odd > 0.1 and even < 0.01:
        return "utf-16-le"
    return "utf-16-be" if even > 0.1 and odd < 0.01 else None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    for chunk in _chunks(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


@dataclass(frozen=True, slots=True)
class _Survey:
    """One pass over the bytes: their sha256, the quotes among them, where they first break the encoding (or None)."""

    sha256: str
    quotes: int
    bad_byte: int | None


def _survey(path: Path, encoding: str) -> _Survey:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    digest = hashlib.sha256()
    read, quotes, bad_byte = 0, 0, None
    for chunk in itertools.chain(_chunks(path), (b"",)):
        digest.update(chunk)
        quotes += chunk.count(b'"')
        read += len(chunk)
        if bad_byte is None:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                bad_byte = read - len(error.object) + error.start
    return _Survey(digest.hexdigest(), quotes, bad_byte)


def _refuse_unless_gb18030(path: Path, utf8_failed_at: int) -> None:
    failed_at = _survey(path, "gb18030").bad_byte
    if failed_at is not None:
        raise CatalogueError(
            f"{path.name} is neither UTF-8 (byte {utf8_failed_at} is wrong) nor GB18030 (byte {failed_at} is wrong); "
            "save it as UTF-8 (in Excel: 'CSV UTF-8')."
        )
    sample = next(_decoded(path, "gb18030"))
    foreign = [character for character in sample if character > "\x7f"]
    chinese = len("".join(foreign).encode("gb2312", "ignore")) / 2
    if foreign and chinese < _GB2312_RATIO * len(foreign):
        raise CatalogueError(
            f"{path.name} is not UTF-8 (byte {utf8_failed_at} is wrong), and read as GB18030 it is not Chinese; "
            "save it as UTF-8 (in Excel: 'CSV UTF-8')."
        )


def _copy(path: Path, encoding: str, sha256: str, scratch: Path) -> Utf8File:
    """Write a UTF-8 copy without BOM; line ends are changed only where `\\r` stands alone in the whole first chunk."""
    target = scratch / "catalogue.utf8.csv"
    quotes = 0
    only_returns: bool | None = None
    with target.open("w", encoding="utf-8", newline="") as stream:
        for place, text in enumerate(_decoded(path, encoding)):
            whole = text.removeprefix("\ufeff") if place == 0 else text
            if only_returns is None:
                only_returns = "\r" in whole and "\n" not in whole
            quotes += whole.count('"')
            stream.write(whole.replace("\r", "\n") if only_returns else whole)
    return Utf8File(target, sha256, encoding, quotes)
