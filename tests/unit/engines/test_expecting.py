"""Telling an engine what is coming: only whoever wants to know is told, and what goes wrong there stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from zimage_core.domain import Prompt
from zimage_core.engines.base import expect_checked
from zimage_core.engines.registry import create_engine
from zimage_core.engines.studio import StudioEngine

CUP, LAMP = (Prompt(text, "", "en", ()) for text in ("A cup.", "A lamp."))


class Attentive(StudioEngine):
    """The studio engine, which also wants to know what is coming."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Sequence[Prompt]] = []

    def expect(self, prompts: Sequence[Prompt]) -> None:
        self.told.append(prompts)


class Clumsy(Attentive):
    """Fails as soon as it is told."""

    def expect(self, prompts: Sequence[Prompt]) -> None:
        raise RuntimeError("no memory for words")


def test_an_engine_that_wants_to_know_is_told_each_prompt_once_in_order() -> None:
    engine = Attentive()
    expect_checked(engine, [LAMP, CUP, LAMP, CUP])
    assert engine.told == [(LAMP, CUP)]


def test_nothing_coming_is_not_worth_a_call() -> None:
    engine = Attentive()
    expect_checked(engine, [])
    assert engine.told == []


def test_an_engine_that_does_not_ask_is_left_alone() -> None:
    expect_checked(create_engine("studio"), [CUP])


def test_a_failed_preparation_is_logged_with_its_cause_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "zimage_core.engines"):
        expect_checked(Clumsy(), [CUP, LAMP])
    assert caplog.messages == ["Engine 'studio' could not prepare 2 prompts: no memory for words"]
