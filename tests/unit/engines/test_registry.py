"""Which engines there are, and what happens to a name that is unknown, taken, or leads nowhere."""

from __future__ import annotations

import dataclasses
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest

from zimage_core.engines import registry
from zimage_core.engines.registry import (
    BUILTIN,
    GROUP,
    collect,
    create_engine,
    engines_for_mode,
    known_engines,
    usable_devices,
)
from zimage_core.errors import ConfigurationError


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package beside ours that registers engine 'easel' from module easel."""
    module = ModuleType("easel")
    monkeypatch.setitem(sys.modules, "easel", module)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: (point("easel", "easel:create"),) if group == GROUP else ()
    )
    return module


def test_the_engines_shipped_here_are_known_without_being_imported() -> None:
    assert {"studio", "fault"} <= set(known_engines())


def test_the_table_of_builtins_agrees_with_what_is_installed() -> None:
    installed = {p.name: p.value for p in entry_points(group=GROUP)}
    assert {name: installed[name] for name in BUILTIN if name in installed} == {
        name: target for name, target in BUILTIN.items() if name in installed
    }


def test_a_checkout_whose_entry_points_are_not_installed_still_has_its_engines() -> None:
    assert set(collect(())) == set(BUILTIN)


def test_the_same_engine_found_twice_is_one_engine() -> None:
    found = collect([point("studio", BUILTIN["studio"]), point("studio", BUILTIN["studio"])])
    assert set(found) == set(BUILTIN)


def test_a_third_party_is_known_by_its_name() -> None:
    assert collect([point("easel", "easel:create")])["easel"].target == "easel:create"


@pytest.mark.parametrize("taken", ["studio", "easel"])
def test_a_name_that_is_taken_is_refused_and_both_claimants_are_named(taken: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        collect([point("easel", "easel:create"), point(taken, "impostor:create")])
    assert "impostor:create" in caught.value.sentence
    assert taken in caught.value.sentence


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="no engine named 'stduio'") as caught:
        create_engine("stduio", {})
    for name in known_engines():
        assert name in caught.value.sentence


def test_an_engine_that_cannot_be_imported_says_what_is_missing(third_party: ModuleType) -> None:
    del sys.modules["easel"]
    with pytest.raises(ConfigurationError, match="No module named 'easel'"):
        create_engine("easel")


def test_an_engine_without_its_create_function_is_refused(third_party: ModuleType) -> None:
    with pytest.raises(ConfigurationError, match="easel:create, which is not a function"):
        create_engine("easel")


def test_what_is_not_an_engine_is_refused_at_birth(third_party: ModuleType) -> None:
    third_party.create = lambda options: object()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="not an engine: it needs info"):
        create_engine("easel")


def test_an_engine_that_takes_no_call_at_all_is_refused_at_birth(third_party: ModuleType) -> None:
    class Shut:
        info = dataclasses.replace(create_engine("studio").info, concurrent_calls=0)

        def render(self, requests: object) -> list[object]:
            return []

    third_party.create = lambda options: Shut()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="takes 0 calls at a time"):
        create_engine("easel")


def test_options_reach_the_engine_as_they_are(third_party: ModuleType) -> None:
    seen: list[object] = []

    def create(options: dict[str, str]) -> object:
        seen.append(options)
        return create_engine("studio")

    third_party.create = create  # type: ignore[attr-defined]
    create_engine("easel", {"brush": "12"})
    assert seen == [{"brush": "12"}]


def test_engines_for_a_mode_are_those_that_declare_it(third_party: ModuleType) -> None:
    third_party.create = lambda options: pytest.fail("asked what it can do, not to be built")  # type: ignore[attr-defined]
    third_party.MODES = ("text",)  # type: ignore[attr-defined]
    drawers = ("comfyui", "dashscope", "diffusers", "easel", "openai_images", "zimage_http")
    assert engines_for_mode("text") == drawers
    assert "studio" in engines_for_mode("packshot")


def test_an_engine_that_declares_nothing_is_asked(third_party: ModuleType) -> None:
    third_party.create = lambda options: create_engine("studio")  # type: ignore[attr-defined]
    assert "easel" in engines_for_mode("packshot")


def test_an_engine_that_cannot_be_loaded_can_do_nothing(third_party: ModuleType) -> None:
    del sys.modules["easel"]
    assert "easel" not in engines_for_mode("packshot")


def test_the_fault_engine_is_never_the_answer_to_who_could_do_it() -> None:
    assert "fault" not in engines_for_mode("packshot")


def test_an_engine_names_the_devices_it_could_use_without_being_built(third_party: ModuleType) -> None:
    third_party.create = lambda options: pytest.fail("asked for its devices, not to be built")  # type: ignore[attr-defined]
    third_party.devices = lambda options: [f"easel:{n}" for n in range(int(options["count"]))]  # type: ignore[attr-defined]
    assert usable_devices("easel", {"count": "3"}) == ("easel:0", "easel:1", "easel:2")


def test_an_engine_that_knows_of_no_devices_has_none() -> None:
    assert usable_devices("studio", {}) == ()


def test_devices_of_an_unknown_engine_are_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigurationError, match=r"no engine named 'stduio'.*studio"):
        usable_devices("stduio", {})
