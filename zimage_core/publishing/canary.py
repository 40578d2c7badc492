"""The canary: published files are fetched the way readers fetch them, before the release goes live.

Files have content-hashed names, so they can be looked at over HTTP while the old release still stands. What a store
says of itself is no proof: a wrong origin path, a CDN that recompresses pictures or strips their metadata, a missing
Content-Type are seen only from outside. Any mismatch is a PublishError, and the release that is live stays.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from zimage_core import clock
from zimage_core.engines.wire.client import EngineLocked, Limits, Reply, Wire
from zimage_core.errors import EngineError, PublishError
from zimage_core.publishing.addresses import guarded
from zimage_core.publishing.manifest import Manifest, ManifestEntry, SrcsetEntry, public_file_url
from zimage_core.publishing.release import Look
from zimage_core.publishing.seal import read_seal

YEAR_S: Final = 31_536_000
"""What our own Cache-Control of files says; RFC 9111 takes more for "as long as you like"."""
_PASSING: Final = (408, 425, 429)
_SHOWN: Final = 5
_NAME: Final = "canary"


@dataclass(frozen=True, slots=True)
class CanaryLimits:
    """How much is looked at and how long that may take.

    `sample`: files, but at least one of every channel, media type and kind (the file itself, another size). `file_s`:
    seconds for one try of one file; `total_s`: for all. `tries`: for what may pass (no answer, 408, 425, 429, 5xx).
    `min_cache_s`: what Cache-Control must allow caches at least; 0 = it is not looked at.
    """

    sample: int = 24
    threads: int = 8
    file_s: float = 15.0
    total_s: float = 120.0
    tries: int = 3
    min_cache_s: int = YEAR_S


@dataclass(frozen=True, slots=True)
class Looked:
    """What the canary has seen: how many files and bytes, in how many seconds."""

    files: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A file to be looked at, and the entry it belongs to: itself, or another size of it."""

    entry: ManifestEntry
    file: ManifestEntry | SrcsetEntry


def canary(public_url: str | None, limits: CanaryLimits | None = None) -> Look | None:
    """Return what `publish_release` takes as `look`; None where no public address is configured."""
    return None if public_url is None else partial(look_at_published, public_url=public_url, limits=limits)


def look_at_published(
    manifest: Manifest,
    *,
    public_url: str,
    limits: CanaryLimits | None = None,
    sleep: Callable[[float], object] | None = None,
) -> Looked:
    """Fetch a sample of a release's files over HTTP and hold them against the manifest.

    Looked at are status (200, no redirect), length, sha256, Content-Type, Content-Encoding, Cache-Control, and the
    labels in the bytes. Raises PublishError naming up to five files and what is wrong with each.
    """
    limits = limits or CanaryLimits()
    chosen = choose_sample(manifest, limits.sample)
    started_s = clock.elapsed_s()
    largest = max(one.file.size_bytes for one in chosen)
    connect_s = min(10.0, limits.file_s)
    wire = Wire(
        _NAME,
        Limits(connect_s, limits.file_s, limits.file_s, max_bytes=largest, max_redirects=0),
        connections=limits.threads,
        addresses_of=guarded(private=True, within_s=connect_s),
    )
    look = _Looking(wire, public_url, limits, started_s + limits.total_s, sleep or threading.Event().wait)
    try:
        with ThreadPoolExecutor(limits.threads, thread_name_prefix=_NAME) as pool:
            found = [wrong for wrong in pool.map(look.wrong_with, chosen) if wrong]
    finally:
        wire.close()
    if found:
        more = f" And {len(found) - _SHOWN} more." if len(found) > _SHOWN else ""
        raise PublishError(
            f"{len(found)} of {len(chosen)} published files are not what readers should get, so nothing was switched: "
            f"{' '.join(found[:_SHOWN])}{more}"
        )
    return Looked(len(chosen), sum(one.file.size_bytes for one in chosen), clock.elapsed_s() - started_s)


def choose_sample(manifest: Manifest, count: int) -> list[_Sampled]:
    """Return which files are looked at: one of every channel, media type and kind, then others up to `count`.

    The same manifest gives the same sample; another release looks at others.
    """
    files = [_Sampled(entry, file) for entry in manifest.entries for file in entry.files()]
    salt = manifest.release_id
    files.sort(key=lambda one: hashlib.sha256(f"{salt} {one.file.key}".encode()).digest())
    first: dict[tuple[str, str, bool], _Sampled] = {}
    for one in files:
        first.setdefault((one.entry.channel, one.file.media_type, one.file is one.entry), one)
    chosen = list(first.values())
    taken = {one.file.key for one in chosen}
    others = (one for one in files if one.file.key not in taken)
    return chosen + [one for _, one in zip(range(count - len(chosen)), others, strict=False)]


@dataclass(frozen=True)
class _Looking:
    """One look at a release: what all its threads share."""

    wire: Wire
    public_url: str
    limits: CanaryLimits
    until_s: float
    sleep: Callable[[float], object]

    def wrong_with(self, one: _Sampled) -> str | None:
        """Return what is wrong with a file as a sentence, None when nothing is."""
        reply = self._fetched(one)
        if isinstance(reply, str):
            return f"{one.file.key}: {reply}."
        wrong = _wrong_answer(reply, one.file, self.limits.min_cache_s) or _wrong_labels(reply.body, one)
        return f"{one.file.key}: {wrong}." if wrong else None

    def _fetched(self, one: _Sampled) -> Reply | str:
        """Return the last answer to a few tries, or why there is none."""
        url = one.file.url or public_file_url(self.public_url, one.file.key)
        said: Reply | str = f"not looked at, the {self.limits.total_s:g} s for all of them were over"
        for number in range(self.limits.tries):
            left_s = self.until_s - clock.elapsed_s()
            if left_s <= 0:
                break
            if number:
                self.sleep(min(0.5 * 2**number, left_s))
            try:
                said = self.wire.call("GET", url, total_s=max(0.1, min(self.limits.file_s, left_s)), accept="image/*")
            except EngineError as error:
                said = error.sentence.replace(f"Engine '{_NAME}'", "the server", 1).rstrip(".")
                if isinstance(error, EngineLocked):
                    break
            else:
                if said.status < 500 and said.status not in _PASSING:
                    break
        return said


def _wrong_answer(reply: Reply, file: ManifestEntry | SrcsetEntry, min_cache_s: int) -> str | None:
    if reply.status != 200:
        return f"the server answered {reply.status} at {reply.endpoint}"
    headers = reply.headers
    length = headers.get("content-length", "").strip()
    if len(reply.body) != file.size_bytes or (length and length != str(file.size_bytes)):
        announced = f", announced as {length}" if length else ""
        return f"{len(reply.body):,} bytes came{announced}; the release lists {file.size_bytes:,}"
    if hashlib.sha256(reply.body).hexdigest() != file.sha256:
        return "the bytes are not those that the release lists"
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return f"it came with Content-Encoding {headers['content-encoding']}, although none was asked for"
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != file.media_type:
        return f"its Content-Type is {media_type or 'missing'} instead of {file.media_type}"
    return _wrong_caching(headers.get("cache-control", ""), min_cache_s)


def _wrong_caching(header: str, min_cache_s: int) -> str | None:
    """Return what keeps caches from keeping a file that never changes."""
    if min_cache_s <= 0:
        return None
    told = dict(part.strip().lower().partition("=")[::2] for part in header.split(","))
    forbidding = sorted({"no-store", "no-cache", "private"} & told.keys())
    age = told.get("s-maxage", told.get("max-age", "")).strip('" ')
    if forbidding or not age.isdigit() or int(age) < min_cache_s:
        return f"its Cache-Control is {header or 'missing'}; caches are to keep it for {min_cache_s} s or more"
    return None


def _wrong_labels(data: bytes, one: _Sampled) -> str | None:
    try:
        seal = read_seal(data)
    except PublishError as error:
        return error.sentence.rstrip(".")
    labels = one.entry.labels
    if labels is None:
        return None
    if seal.digital_source_type != labels.digital_source_type:
        return f"it says {seal.digital_source_type} of its making; the release lists {labels.digital_source_type}"
    if bool(seal.aigc) != labels.ai_generated:
        return "it carries an AIGC label but is listed without" if seal.aigc else "its AIGC label is missing"
    return None if seal.alt_text == one.entry.alt_text else "its alternative text is not the one that is listed"
