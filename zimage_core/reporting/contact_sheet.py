"""The contact sheet: self-contained pages that show every shot beside its reference photo, and take a person's marks.

A page opens from a disk or an e-mail, asks no server for anything, and runs only the script written here: its
Content-Security-Policy names the script and the style by hash, so even an escaping mistake could not run anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from itertools import count as count_from
from itertools import islice, repeat, takewhile
from math import ceil
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from zimage_core.domain import Language, Refusal, Rendition, ShotOutcome
from zimage_core.reporting.cards import Card, PictureOf, card_of
from zimage_core.reporting.labels import LABELS, TOASTS
from zimage_core.reporting.summary import Summary
from zimage_core.storage import write_whole

SHOTS_PER_PAGE = 100
"""5 to 15 MB of pictures a page: it opens at once and still passes most mail servers."""

WORKERS = 4
"""Threads that make pictures small; the page is the same for any number."""

MOST_REFUSALS = 500
"""Refused rows listed on the first page; the refusals file has all of them."""


def write_contact_sheet(
    outcomes: Iterable[ShotOutcome],
    path: Path,
    *,
    title: str,
    summary: Summary,
    refusals: Sequence[Refusal],
    picture: PictureOf,
    link: Callable[[Rendition], str] = lambda rendition: quote(rendition.object_key),
    language: Language = "zh",
    shots_per_page: int = SHOTS_PER_PAGE,
    workers: int = WORKERS,
) -> tuple[Path, ...]:
    """Write the sheet and return its pages: `path`, then `<stem>-2.html` and so on when the shots do not fit on one.

    `summary` counts all outcomes (see summarise); `outcomes` may be streamed, one page is held in memory. `picture`
    hands out encoded pictures and is asked by `workers` threads at a time; `link` gives the address of a rendition
    relative to the sheet. `language` is the one shown first. The same outcomes and pictures give the same bytes.
    Pages left by a longer sheet of that name are removed. Raises StorageError when a page cannot be written.
    """
    count = max(1, ceil(summary.promised / shots_per_page))
    pages = tuple(_page(path, n) for n in range(1, count + 1))
    left = iter(outcomes)
    for index, page in enumerate(pages):
        chunk = islice(left, None if index == count - 1 else shots_per_page)
        with ThreadPoolExecutor(workers) as pool:  # decoding and encoding pictures happens outside Python's lock
            numbers = count_from(index * shots_per_page + 1)
            cards = list(pool.map(card_of, numbers, chunk, repeat(picture)))
        html = _render(
            cards,
            pages,
            index,
            title=title,
            summary=summary,
            refusals=refusals,
            link=link,
            language=language,
            shots_per_page=shots_per_page,
        )
        write_whole(page, html.encode("utf-8", "replace"))
    for stale in takewhile(Path.exists, (_page(path, n) for n in count_from(count + 1))):
        stale.unlink()
    return pages


def _page(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _render(
    cards: Sequence[Card],
    pages: Sequence[Path],
    index: int,
    *,
    title: str,
    summary: Summary,
    refusals: Sequence[Refusal],
    link: Callable[[Rendition], str],
    language: Language,
    shots_per_page: int,
) -> str:
    style, script = _asset("contact_sheet.css"), _asset("contact_sheet.js")
    return (
        _environment()
        .get_template("contact_sheet.html.j2")
        .render(
            cards=cards,
            title=title,
            summary=summary,
            refusals=refusals[:MOST_REFUSALS] if index == 0 else (),
            refusals_left=max(0, len(refusals) - MOST_REFUSALS),
            pages=[quote(page.name) for page in pages],
            index=index,
            shots_per_page=shots_per_page,
            language=language,
            labels=LABELS,
            toasts=TOASTS,
            link=link,
            run_id=cards[0].outcome.promise.run_id if cards else "",
            scenes=_used(card.outcome.promise.shot.scene.name for card in cards),
            categories=_used(card.outcome.promise.product.category for card in cards),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=_csp_hash(style),
            script_hash=_csp_hash(script),
        )
    )


def _used(values: Iterator[str]) -> list[str]:
    return sorted(set(values))


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _asset(name: str) -> str:
    return files("zimage_core.reporting").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Return the template engine; every value is escaped, a misspelt name is an error."""
    return Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
