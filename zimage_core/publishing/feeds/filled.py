"""What filling a feed gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FeedKind = Literal["shopify", "google_text", "google_xml"]


@dataclass(frozen=True, slots=True)
class Filled:
    """The feed's bytes with the pictures in them; `changes` is 0 where they are the bytes that were given.

    `filled`: SKUs of the feed that have their pictures. `unknown`: SKUs of the feed for which the release has none.
    `unused`: SKUs of the release that the feed does not have. `notes`: sentences on what was left as it was.
    """

    kind: FeedKind
    data: bytes
    changes: int
    filled: tuple[str, ...]
    unknown: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()
