"""What the contact sheet shows of one shot, prepared so that the template only has to lay it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from zimage_core.domain import Attempt, Change, Finding, Grade, Product, ShotOutcome
from zimage_core.reporting.decisions import meant_attempt, seen_in
from zimage_core.reporting.thumbnails import Thumbnail, thumbnail

PictureOf = Callable[[ShotOutcome, Attempt | None], bytes | None]
"""Hands out the encoded picture of an attempt as it would be published, or the reference photo (None = no attempt)."""

RESULT_PX = 960
REFERENCE_PX = 640
EARLIER_PX = 320
"""Longer sides: the result can be judged enlarged, the photo compared with it, earlier attempts recognised."""

_SIGNS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of the shot's chain. `changes` are (label, value) pairs; `why` says what asked for them."""

    attempt: Attempt
    grade: Grade | None
    picture: Thumbnail | None
    changes: tuple[tuple[str, str], ...]
    is_result: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One shot on the sheet. `mark_id` is the attempt that a person judges here, None when there is none to judge.

    `seen` is one id of all that this card shows of where the shot stands: a decision goes with it.
    """

    number: int
    outcome: ShotOutcome
    reference: Thumbnail | None
    result: Thumbnail | None
    tries: tuple[Try, ...]
    findings: tuple[Finding, ...]
    price: str
    original_price: str
    mark_id: str | None
    can_approve: bool
    seen: str

    @property
    def shown(self) -> Try | None:
        """The attempt shown as the result: the one that the shot's end is about, which may not be the last."""
        return next((one for one in self.tries if one.is_result), None)


def card_of(number: int, outcome: ShotOutcome, picture: PictureOf) -> Card:
    """Return the card of an outcome, with its pictures made small."""
    grades = {grade.attempt_id: grade for grade in outcome.grades}
    if outcome.grade is not None:
        grades[outcome.grade.attempt_id] = outcome.grade
    meant = meant_attempt(outcome)
    tries = tuple(
        Try(
            attempt=attempt,
            grade=grades.get(attempt.attempt_id),
            picture=_small(picture(outcome, attempt), RESULT_PX if attempt is meant else EARLIER_PX),
            changes=_changes(attempt.change),
            is_result=attempt is meant,
        )
        for attempt in outcome.attempts
    )
    has_photo = outcome.promise.shot.reference is not None
    result = next((one.picture for one in tries if one.is_result), None)
    at_an_end = outcome.state in ("accepted", "doubtful", "given_up") or outcome.decision is not None
    product = outcome.promise.product
    return Card(
        number=number,
        outcome=outcome,
        reference=_small(picture(outcome, None), REFERENCE_PX) if has_photo else None,
        result=result,
        tries=tries,
        findings=tuple(sorted(outcome.grade.findings, key=lambda finding: finding.passed)) if outcome.grade else (),
        price=_price(product.price, product),
        original_price=_price(product.original_price, product),
        mark_id=meant.attempt_id if meant is not None and result is not None and at_an_end else None,
        can_approve=outcome.state in ("accepted", "doubtful") or outcome.decision is not None,
        seen=seen_in(outcome),
    )


def _small(data: bytes | None, side_px: int) -> Thumbnail | None:
    return None if data is None else thumbnail(data, side_px)


def _changes(change: Change) -> tuple[tuple[str, str], ...]:
    """Return what an attempt changed as (label, value); numbers count from 1 as people do."""
    found: list[tuple[str, str]] = []
    if change.mode is not None:
        found.append(("mode", change.mode))
    if change.backdrop != "as_planned":
        found.append(("backdrop", change.backdrop))
    if change.wording:
        found.append(("wording", str(change.wording + 1)))
    if change.layout:
        found.append(("layout", str(change.layout + 1)))
    return tuple(found)


def _price(price: Decimal | None, product: Product) -> str:
    if price is None:
        return ""
    sign = _SIGNS.get(product.currency)
    return f"{sign}{price:,}" if sign else f"{price:,} {product.currency}"
