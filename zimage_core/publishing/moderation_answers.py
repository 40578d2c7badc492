"""What a moderation service said of a picture, which of several answers decides, and where they are kept."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from zimage_core.storage import Store

log = logging.getLogger("zimage_core.publishing")

Word = Literal["allow", "review", "deny", "unanswered"]

SERIOUSNESS: Final[tuple[Word, ...]] = ("allow", "unanswered", "review", "deny")
"""From harmless to final: of several pictures of one shot the last in this list decides."""


@dataclass(frozen=True, slots=True)
class ModerationAnswer:
    """What was said of a picture, and when; `unanswered` = nothing that could be understood."""

    verdict: Word
    labels: tuple[str, ...]
    reason: str
    asked_at: datetime

    def sentence(self) -> str:
        """Say it for the person who has to decide, or who wonders why a picture is not there."""
        words = {
            "allow": "The moderation service allows it",
            "review": "The moderation service wants a person to look",
            "deny": "The moderation service denies it",
            "unanswered": "The moderation service gave no answer",
        }
        labels = f" ({', '.join(self.labels)})" if self.labels else ""
        return f"{words[self.verdict]}{labels}" + (f": {self.reason}" if self.reason else ".")


def gravest(answers: Sequence[ModerationAnswer]) -> ModerationAnswer:
    """Return the answer that decides for several pictures of one shot, at the latest moment when one was not allowed.

    A person who approves must have been able to know all that was said.
    """
    worst = max(answers, key=lambda answer: (SERIOUSNESS.index(answer.verdict), answer.asked_at))
    moments = [answer.asked_at for answer in answers if answer.verdict != "allow"]
    return dataclasses.replace(worst, asked_at=max(moments)) if moments else worst


def kept_answer(store: Store, service: str, picture_key: str) -> ModerationAnswer | None:
    """Return what a service said of a picture before; None when it was never asked or the note cannot be read."""
    key = _store_key(service, picture_key)
    if not store.exists(key):
        return None
    try:
        return _KEPT.validate_json(store.get(key))
    except ValidationError:
        log.warning("The kept moderation answer %s cannot be read; the service is asked again.", key)
        return None


def keep_answer(store: Store, service: str, picture_key: str, answer: ModerationAnswer) -> None:
    """Keep what a service said of a picture, in place of what was kept before."""
    data = (json.dumps(_KEPT.dump_python(answer, mode="json"), sort_keys=True, ensure_ascii=False) + "\n").encode()
    store.replace(_store_key(service, picture_key), data, content_type="application/json")


def _store_key(service: str, picture_key: str) -> str:
    return f"moderation/{service}/{picture_key[:2]}/{picture_key}.json"


_KEPT = TypeAdapter(ModerationAnswer)
