"""An order's own choices stand over the configured ones; an order kept before a choice existed still reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.devices import devices_of, on_device
from tasks.order import ProductionOrder


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_ENGINE", "fault")
    monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", json.dumps({"model": "configured", "steps": "8"}))
    monkeypatch.delenv("ZIMAGE_ENGINE_DEVICES", raising=False)


def options(**choices: object) -> dict[str, str]:
    return ProductionOrder.model_validate({"catalogue": "c.csv"} | choices).settings().engine_options


def test_what_is_not_ordered_is_as_configured() -> None:
    assert options() == {"model": "configured", "steps": "8"}


def test_a_model_is_the_engine_option_of_that_name_and_stands_over_the_configured_one() -> None:
    assert options(model="ordered") == {"model": "ordered", "steps": "8"}


def test_engine_options_stand_over_the_configured_ones_one_by_one() -> None:
    assert options(engine_options={"steps": "4", "lora": "x"}) == {"model": "configured", "steps": "4", "lora": "x"}


def test_a_model_given_twice_is_refused_unless_it_is_the_same() -> None:
    assert options(model="a", engine_options={"model": "a"})["model"] == "a"
    with pytest.raises(ValidationError, match="given twice"):
        options(model="a", engine_options={"model": "b"})


def test_an_order_kept_before_there_were_models_still_reads() -> None:
    assert ProductionOrder.model_validate_json('{"catalogue": "c.csv"}').model is None


def test_every_choice_has_a_title_and_a_description_for_the_form_that_is_drawn_from_them() -> None:
    fields = ProductionOrder.model_json_schema()["properties"]
    assert all(field["title"] and field["description"] for field in fields.values())


@pytest.mark.parametrize(
    ("named", "devices"), [("cpu", ()), ("cpu,cpu", ("cpu", "cpu")), ("0,1", ("cuda:0", "cuda:1"))]
)
def test_several_named_devices_are_shared_out_and_one_is_not(
    monkeypatch: pytest.MonkeyPatch, named: str, devices: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_DEVICES", named)
    assert devices_of(ProductionOrder(catalogue="c.csv")) == devices


def test_an_order_for_one_device_is_not_shared_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_DEVICES", "0,1")
    here = on_device(ProductionOrder(catalogue="c.csv"), "cuda:1")
    assert devices_of(here) == ()
    assert here.settings().engine_options["device"] == "cuda:1"
