"""What is behind each address: our own engine server, a plain service, or nobody."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from zimage_core.domain import EngineInfo
from zimage_core.engines.exchange import ENGINE_PATH, EngineForm, engine_info_from, read_text
from zimage_core.engines.wire.client import EngineLocked, Wire, error_for_status
from zimage_core.errors import BadImage, ConfigurationError, EngineError, EngineUnavailable

log = logging.getLogger("zimage_core.engines")

PROBE_S: Final = 5.0
"""How long an address may take to say what it is; it does so without touching a model."""
_ASKED_AT_A_TIME: Final = 16


@dataclass(frozen=True, slots=True)
class Found:
    """The addresses that answered, and what our own server says of its engine; None for plain services."""

    urls: tuple[str, ...]
    info: EngineInfo | None


def find_engine(wire: Wire, urls: Sequence[str], *, probe_s: float = PROBE_S) -> Found:
    """Return what is behind these addresses, which must all be the same engine. One that is down is left out.

    Raises ConfigurationError: two addresses differ (both are named), a key is not taken, or a server speaks another
    version; EngineUnavailable: none of them answers.
    """
    with ThreadPoolExecutor(min(len(urls), _ASKED_AT_A_TIME), thread_name_prefix="probe") as pool:
        answers = list(pool.map(lambda url: _asked(wire, url, probe_s), urls))
    there = {url: answer for url, answer in zip(urls, answers, strict=True) if not isinstance(answer, EngineError)}
    errors = {url: answer for url, answer in zip(urls, answers, strict=True) if isinstance(answer, EngineError)}
    for error in errors.values():
        if isinstance(error, EngineLocked | BadImage):
            raise ConfigurationError(error.sentence, engine=wire.engine) from error
    if not there:
        reasons = " ".join(error.sentence for error in errors.values())
        raise EngineUnavailable(f"No address of engine '{wire.engine}' answers. {reasons}", engine=wire.engine)
    for url, error in errors.items():
        log.warning("Engine '%s' does without %s until it is created again: %s", wire.engine, url, error.sentence)
    (first, info), *others = there.items()
    for url, other in others:
        if _print_of(other) != _print_of(info):
            raise ConfigurationError(
                f"The addresses of engine '{wire.engine}' are not the same engine: {first} is {_named(info)}, {url} is "
                f"{_named(other)}. Their pictures would be mixed; start them alike, or name only one of them.",
                engine=wire.engine,
            )
    return Found(tuple(there), info)


def _asked(wire: Wire, url: str, probe_s: float) -> EngineInfo | EngineError | None:
    """Return what one address says of itself, None for a plain service, or why it says nothing."""
    what = f"what {url}{ENGINE_PATH} says of the engine"
    try:
        reply = wire.call("GET", url + ENGINE_PATH, total_s=probe_s, accept="application/json")
        if reply.status in (404, 405, 501) or (reply.is_ok and reply.sniffed() != "JSON"):
            return None  # a plain service knows no such path, or shows its start page for it
        if not reply.is_ok:
            return error_for_status(reply, wire.engine, what=what)
        return engine_info_from(read_text(EngineForm, reply.body, what=what[0].upper() + what[1:]))
    except EngineError as error:
        return error


def _print_of(info: EngineInfo | None) -> str:
    return "" if info is None else info.fingerprint


def _named(info: EngineInfo | None) -> str:
    return "a plain service" if info is None else f"{info.name} with fingerprint {info.fingerprint}"
