"""An engine that fails on demand: it wraps another one and does to its answers whatever its options say.

    ZIMAGE_ENGINE=fault ZIMAGE_ENGINE_OPTIONS='{"inner": "studio", "busy": "0.3", "wrong_size": "0.05", "seed": "7"}'

Faults of one request (each option a probability from 0 to 1; drawn in this order, the first that hits wins):

    busy, unavailable, oom      EngineFailure with EngineBusy, EngineUnavailable, EngineOutOfMemory   (retryable)
    refuse                      EngineFailure with EngineRefused
    wrong_size, blank           a picture one column too wide, or black all over

Faults of a whole call: `crash` (a probability per request; one hit and `render` raises what no engine should) and
`slow_s` (seconds every call takes longer). `until` = N: only the first N calls are faulty. `only_sku`: only these SKUs,
separated by commas. What hits is decided by (seed, attempt_id, how often this attempt has come, fault): a run can be
repeated exactly, and a retry draws anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from zimage_core.domain import EngineInfo, Mode, content_id
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest
from zimage_core.engines.registry import create_engine
from zimage_core.errors import (
    ConfigurationError,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineUnavailable,
)

MODES: tuple[Mode, ...] = ()
"""It does what its inner engine does, and is never proposed as the engine that could do a mode."""

_FAILURES: Final[Mapping[str, tuple[type[EngineError], str]]] = {
    "busy": (EngineBusy, "The engine is busy, as it was told to be."),
    "unavailable": (EngineUnavailable, "The engine cannot be reached, as it was told."),
    "oom": (EngineOutOfMemory, "The engine ran out of memory, as it was told to."),
    "refuse": (EngineRefused, "The engine refuses this request, as it was told to."),
}
_SPOILS: Final = ("wrong_size", "blank")
_PROBABILITIES: Final = (*_FAILURES, *_SPOILS, "crash")
_OTHERS: Final = ("inner", "slow_s", "seed", "until", "only_sku")


@dataclass(frozen=True, slots=True)
class Faults:
    """What to do to the inner engine's answers: probabilities by fault, and when they apply."""

    probabilities: Mapping[str, float] = field(default_factory=dict)
    slow_s: float = 0.0
    seed: int = 0
    until: int | None = None
    only_sku: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Faults:
        """Return the faults that these options ask for; ConfigurationError names each option that is wrong."""
        unknown = sorted(set(options) - {*_PROBABILITIES, *_OTHERS})
        if unknown:
            known = ", ".join(sorted({*_PROBABILITIES, *_OTHERS}))
            raise ConfigurationError(f"Engine 'fault' has no option {', '.join(unknown)}; its options are {known}.")
        until = _number(options, "until", None)
        return cls(
            probabilities={name: _probability(options, name) for name in _PROBABILITIES},
            slow_s=_number(options, "slow_s", 0.0) or 0.0,
            seed=int(_number(options, "seed", 0.0) or 0),
            until=None if until is None else int(until),
            only_sku=tuple(sku.strip() for sku in options.get("only_sku", "").split(",") if sku.strip()),
        )

    def hits(self, name: str, request: RenderRequest, time_seen: int) -> bool:
        """Tell whether this fault strikes this request the nth time it is seen: the same draw on any machine."""
        if self.only_sku and request.sku not in self.only_sku:
            return False
        text = f"{self.seed}:{name}:{request.attempt_id}:{time_seen}"
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
        return draw < self.probabilities.get(name, 0.0)


class FaultEngine:
    """An engine around another one. Same pixels as the inner engine wherever no fault strikes."""

    def __init__(self, inner: Engine, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        self._calls = 0
        self._seen: Counter[str] = Counter()
        self.info: EngineInfo = dataclasses.replace(
            inner.info,
            name="fault",
            fingerprint=content_id("fault", inner.info.fingerprint, faults),
            concurrent_calls=1,  # which call is the nth must not depend on threads
        )

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return the inner engine's answers, spoilt as told; one inner call for all requests that do not fail."""
        self._calls += 1
        for request in requests:
            self._seen[request.attempt_id] += 1
        if self._faults.slow_s > 0:
            time.sleep(self._faults.slow_s)
        if any(self._strikes("crash", request) for request in requests):
            raise RuntimeError("crashed, as it was told to")
        failed = {index: failure for index, request in enumerate(requests) if (failure := self._failure(request))}
        answers = iter(self._inner.render([request for index, request in enumerate(requests) if index not in failed]))
        return [
            failed[index] if index in failed else self._spoilt(request, next(answers))
            for index, request in enumerate(requests)
        ]

    def close(self) -> None:
        """Close the inner engine."""
        self._inner.close()

    def _strikes(self, name: str, request: RenderRequest) -> bool:
        over = self._faults.until is not None and self._calls > self._faults.until
        return not over and self._faults.hits(name, request, self._seen[request.attempt_id])

    def _failure(self, request: RenderRequest) -> EngineFailure | None:
        for name, (kind, sentence) in _FAILURES.items():
            if self._strikes(name, request):
                error = kind(
                    sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number, engine=self.info.name
                )
                return EngineFailure(request.attempt_id, error, 0.0)
        return None

    def _spoilt(self, request: RenderRequest, answer: Rendered | EngineFailure) -> Rendered | EngineFailure:
        if isinstance(answer, EngineFailure):
            return answer
        if self._strikes("wrong_size", request):
            return dataclasses.replace(answer, rgb=np.pad(answer.rgb, ((0, 0), (0, 1), (0, 0)), mode="edge"))
        if self._strikes("blank", request):
            return dataclasses.replace(answer, rgb=np.zeros_like(answer.rgb))
        return answer


def create(options: Mapping[str, str]) -> FaultEngine:
    """Return the engine named by option `inner` (studio unless told otherwise), made to fail as the others say.

    Raises ConfigurationError: an unknown option, a probability outside 0..1, an unknown inner engine, or itself.
    """
    faults = Faults.from_options(options)
    inner = options.get("inner", "studio")
    if inner == "fault":
        raise ConfigurationError("Engine 'fault' cannot wrap itself; set its option inner to another engine.")
    return FaultEngine(create_engine(inner), faults)


def _probability(options: Mapping[str, str], name: str) -> float:
    value = _number(options, name, 0.0) or 0.0
    if value > 1.0:
        raise ConfigurationError(
            f"Option {name} of engine 'fault' is a probability from 0 to 1, not '{options[name]}'."
        )
    return value


def _number(options: Mapping[str, str], name: str, default: float | None) -> float | None:
    if name not in options:
        return default
    try:
        value = float(options[name])
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise ConfigurationError(f"Option {name} of engine 'fault' is a number from 0 up, not '{options[name]}'.")
    return value
