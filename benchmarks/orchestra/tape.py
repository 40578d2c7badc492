"""Bodies that do nothing: what every body of our flows once gave is kept, and given again at once.

A body is a task's function, or a function of `tasks` that a flow calls between its tasks: questions to the ledger,
choices, forecasts. What remains when it is played back are the flows themselves with every task run, subflow, artifact
and event, and nothing to do in between: what orchestration costs, as where one measures with empty tasks.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any
from unittest.mock import patch

import prefect.artifacts
import prefect.events
from prefect import Task

FLOWS = ("flows.produce", "flows.shard", "flows.publish", "tasks.progress")
"""The sentences, and the context that moves a shard's bar: what they call of `tasks` are bodies."""

LIVE = frozenset({"rooms", "resident_engine", "told_to_end"})
"""These give opened rooms, an engine, a signal: nothing that could be kept."""

TELLING = frozenset(
    {getattr(prefect.artifacts, name) for name in dir(prefect.artifacts) if name.endswith("_artifact")}
    | {prefect.events.emit_event}
)
"""What a body says to Prefect while it runs; it is said again when the body is played back."""


@dataclass
class Body:
    """What one call of a body gave: its value or error, and what it said to Prefect."""

    value: Any = None
    error: Exception | None = None
    said: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)


class Tape:
    """Bodies by what they are called for, each in the order of its calls; filled once, played as often as wanted."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, list[Body]] = defaultdict(list)
        self._left: dict[str, deque[Body]] = {}
        self._now = threading.local()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep what every body gives meanwhile. Nothing is said to Prefect."""
        with self._patched(self._recorded), ExitStack() as stack:
            for module, name, function in _callables():
                if function in TELLING:
                    stack.enter_context(patch.object(module, name, functools.partial(self._hear, function)))
            yield

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Give what every body gave, from the beginning; raises RuntimeError when one is called that was not kept."""
        self._left = {key: deque(bodies) for key, bodies in self._kept.items()}
        with self._patched(self._played):
            yield

    def unplayed(self) -> list[str]:
        """Return which bodies were not asked for again."""
        return [key for key, bodies in self._left.items() if bodies]

    @contextmanager
    def _patched(self, instead: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
        with ExitStack() as stack:
            tasks = {id(thing): thing for _, _, thing in _callables() if isinstance(thing, Task)}
            for task in tasks.values():
                stack.enter_context(patch.object(task, "fn", instead(task.name, task.fn)))
            for module, name, function in _callables():
                if module.__name__ in FLOWS and _is_body(function):
                    stack.enter_context(patch.object(module, name, instead(name, function)))
            yield

    def _hear(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        body = getattr(self._now, "body", None)
        if body is not None:
            body.said.append((function, args, kwargs))

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._now, "body", None) is not None:
                raise RuntimeError(f"{name} is called within another body: it would not be seen when played back.")
            self._now.body = body = Body()
            self._kept[_key(name, function, args, kwargs)].append(body)
            try:
                body.value = function(*args, **kwargs)
            except Exception as error:
                body.error = error
                raise
            finally:
                self._now.body = None
            return body.value

        return recorded

    def _played(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def played(*args: Any, **kwargs: Any) -> Any:
            key = _key(name, function, args, kwargs)
            if not self._left.get(key):
                raise RuntimeError(f"{key} was not called as often when it was recorded.")
            body = self._left[key].popleft()
            for say, said, named in body.said:
                say(*said, **named)
            if body.error is not None:
                raise body.error
            return body.value

        return played


def _callables() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, thing) of all that can be called in the modules of our tasks and flows."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith(("tasks.", "flows.")):
            for name, thing in list(vars(module).items()):
                if callable(thing) and thing.__hash__ is not None:
                    yield module, name, thing


def _is_body(function: Any) -> bool:
    """Tell whether a function that a flow knows is a body: not a generator or context, whose work is in between."""
    return (
        isinstance(function, FunctionType)
        and function.__module__.startswith("tasks.")
        and function.__name__ not in LIVE
        and not hasattr(function, "__wrapped__")
        and not inspect.isgeneratorfunction(function)
    )


def _key(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return what a body is called for: its name, and its shard and label, since batches run side by side."""
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    return " ".join([name, *(str(given[word]) for word in ("shard_id", "label") if word in given)])
