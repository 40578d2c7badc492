"""The main flow on a real Prefect server: what is made, what is not made twice, and what a failure leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import LIPSTICK, MUG, Workshop

from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core.errors import CatalogueError, EngineError, PlanError
from zimage_core.publishing import current_release, read_manifest
from zimage_core.storage import LocalStore


def order(shop: Workshop, **choices: object) -> ProductionOrder:
    given = {"promotion": "618", "scenes": ("packshot", "studio"), "channels": ("taobao_main", "amazon_main")}
    return ProductionOrder.model_validate({"catalogue": str(shop.catalogue)} | given | choices)


def manifest_of(shop: Workshop) -> list[dict[str, object]]:
    pointer = json.loads((shop.cdn / "current" / "618.json").read_text())
    entries: list[dict[str, object]] = json.loads((shop.cdn / pointer["manifest_key"]).read_text())["files"]
    return entries


def test_a_catalogue_becomes_a_release_with_a_file_per_product_scene_and_channel(workshop: Workshop):
    run_id = produce(order(workshop))
    tally = tally_of(order(workshop), run_id)
    assert (tally.promised, tally.accepted) == (4, 4)
    store = LocalStore(workshop.cdn)
    release = current_release(store, "618")
    assert release is not None
    entries = read_manifest(store, release.manifest_key).entries
    assert {(e.sku, e.scene, e.channel) for e in entries} == {
        (sku, scene, channel)
        for sku in ("MUG-1", "LIP-1")
        for scene, channel in (("packshot", "taobao_main"), ("packshot", "amazon_main"), ("studio", "taobao_main"))
    }
    reports = workshop.folder / "out" / "reports" / run_id
    assert {path.name for path in reports.iterdir()} == {"index.html", "report.csv", "refusals.csv"}


def test_a_row_that_is_refused_does_not_stop_the_others_and_is_reported(workshop: Workshop):
    workshop.write(MUG, LIPSTICK | {"price": "面议"}, {"sku": "GONE-1", "name": "无图", "image": "products/gone.jpg"})
    run_id = produce(order(workshop, scenes=("packshot",)))
    assert tally_of(order(workshop), run_id).accepted == 1
    refused = (workshop.folder / "out" / "reports" / run_id / "refusals.csv").read_text("utf-8-sig")
    assert "LIP-1" in refused
    assert "GONE-1" in refused


def test_a_new_price_costs_no_engine_call_and_leaves_every_other_file_as_it_was(workshop: Workshop):
    produce(order(workshop))
    before, calls = workshop.files(), workshop.calls()
    workshop.write(MUG | {"price": "49.00"}, LIPSTICK)
    produce(order(workshop))
    after = workshop.files()
    assert workshop.calls() == calls
    new = {name for name in after.keys() - before.keys() if name.startswith("cdn/img/")}
    assert {name.split("-taobao")[0] for name in new} == {"cdn/img/MUG-1/studio"}
    assert all(after[name] == data for name, data in before.items() if name.startswith("cdn/img/"))


def test_sizes_of_one_product_that_share_photo_and_name_each_have_their_own_files(workshop: Workshop):
    workshop.write(*(MUG | {"sku": f"MUG-{size}"} for size in ("S", "M", "L")))
    produce(order(workshop, scenes=("packshot",), channels=("amazon_main",)))
    assert {entry["sku"]: entry["key"] for entry in manifest_of(workshop)}.keys() == {"MUG-S", "MUG-M", "MUG-L"}
    assert len({entry["key"] for entry in manifest_of(workshop)}) == 3
    assert "MUG-L/" in report_rows(workshop)["MUG-L"]


def test_a_catalogue_without_a_usable_row_opens_no_run(workshop: Workshop):
    workshop.write(MUG | {"price": "面议"})
    with pytest.raises(CatalogueError):
        produce(order(workshop))
    assert not (workshop.folder / "out" / "reports").exists()


def test_what_cannot_be_made_at_all_is_refused_before_anything_is_spent(workshop: Workshop):
    workshop.write({"sku": "GIFT-1", "name": "礼品卡", "price": "100"})
    with pytest.raises(PlanError, match="nothing"):
        produce(order(workshop))
    assert workshop.calls() == []


@pytest.fixture
def flaky(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the fault-injecting engine, with these options, in the place of the journal engine."""

    def choose(**options: str) -> None:
        monkeypatch.setenv("ZIMAGE_ENGINE", "fault")
        monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", json.dumps(options))

    return choose


def test_an_engine_that_is_busy_at_first_is_asked_again_and_the_run_completes(
    workshop: Workshop, flaky: Callable[..., None]
):
    flaky(busy="1", until="2")
    run_id = produce(order(workshop, scenes=("packshot",)))
    tally = tally_of(order(workshop), run_id)
    assert (tally.accepted, tally.failed) == (2, 0)
    ledger = rooms(order(workshop)).ledger
    shots = [promise.shot.shot_id for promise in ledger.promises(run_id)]
    assert {failure.error_code for failures in ledger.failures(shots).values() for failure in failures} == {
        "EngineBusy"
    }


def test_an_engine_that_is_down_releases_nothing_and_says_how_many_shots_are_missing(
    workshop: Workshop, flaky: Callable[..., None]
):
    flaky(unavailable="1", only_sku="LIP-1")
    with pytest.raises(EngineError, match="1 of 2 shots could not be made"):
        produce(order(workshop, scenes=("packshot",)))
    assert not (workshop.cdn / "current").exists()
    assert "failed" in report_rows(workshop)["LIP-1"]
    assert "accepted" in report_rows(workshop)["MUG-1"]


def test_pictures_of_the_wrong_size_are_never_kept(workshop: Workshop, flaky: Callable[..., None]):
    flaky(wrong_size="1", only_sku="LIP-1")
    with pytest.raises(EngineError, match="could not be made"):
        produce(order(workshop, scenes=("packshot",)))
    kept = list((workshop.folder / "work" / "store" / "attempts").rglob("*.png"))
    assert len(kept) == 1


def test_a_request_the_engine_refuses_is_given_up_with_its_reason_and_the_rest_is_released(
    workshop: Workshop, flaky: Callable[..., None]
):
    flaky(refuse="1", only_sku="LIP-1")
    produce(order(workshop, scenes=("packshot",)))
    assert "given_up" in report_rows(workshop)["LIP-1"]
    assert {e["sku"] for e in manifest_of(workshop)} == {"MUG-1"}


def report_rows(shop: Workshop) -> dict[str, str]:
    """Return each SKU's line of report.csv."""
    report = next(Path(shop.folder / "out" / "reports").glob("*/report.csv")).read_text("utf-8-sig")
    return {line.split(",")[0]: line for line in report.splitlines()[1:]}
