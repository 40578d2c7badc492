"""Before publishing, a moderation service is asked once about each picture; what it does not allow is not published."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moderation_server import ModerationServer
from workshop import LIPSTICK, MUG, Workshop

from flows.produce import produce
from flows.publish import publish
from tasks.moderate import is_cleared
from tasks.order import ProductionOrder
from tasks.publish import make_renditions, release
from tasks.report import report_folder, write_report
from tasks.review import record_decisions
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.publishing.manifest import parse_manifest
from zimage_core.publishing.release import current_release

ORDER = {"scenes": ("packshot",), "channels": ("taobao_main",)}


@pytest.fixture
def server() -> Iterator[ModerationServer]:
    with ModerationServer().running() as running:
        yield running


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, server: ModerationServer) -> Callable[[], None]:
    """Return a function that makes this process ask the server from then on."""

    def ask() -> None:
        monkeypatch.setenv("ZIMAGE_MODERATION_URL", server.url)
        monkeypatch.setenv("ZIMAGE_MODERATION_KEY", "moderation-key")

    return ask


@pytest.fixture
def order(workshop: Workshop) -> ProductionOrder:
    workshop.write(MUG, LIPSTICK)
    return ProductionOrder(catalogue=str(workshop.catalogue), promotion="618", **ORDER)


def published(order: ProductionOrder) -> list[str]:
    """Return the SKUs of the live release."""
    cdn = rooms(order).cdn
    live = current_release(cdn, order.promotion)
    return [] if live is None else sorted(entry.sku for entry in parse_manifest(cdn.get(live.manifest_key)).entries)


def states(order: ProductionOrder, run_id: str) -> dict[str, tuple[str, str]]:
    return {
        promise.product.sku: (standing.state, standing.reason)
        for promise, standing in rooms(order).ledger.standings(run_id)
    }


def decide(folder: Path, order: ProductionOrder, run_id: str, sku: str, decision: str) -> None:
    (attempt_id,) = (
        standing.attempt.attempt_id
        for promise, standing in rooms(order).ledger.standings(run_id)
        if promise.product.sku == sku and standing.attempt is not None
    )
    path = folder / "decisions.csv"
    path.write_text(f"attempt_id,decision,who,why\n{attempt_id},{decision},mei,looked\n", "utf-8")
    record_decisions(path, None, None, None)


def test_what_is_allowed_is_published_and_asked_about_once(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    run_id = produce(order)
    assert published(order) == ["LIP-1", "MUG-1"]
    assert server.skus == ["LIP-1", "MUG-1"]
    produce(order)
    publish(order, run_id)
    assert len(server.shown) == 2
    _, summary = write_report(order, run_id)
    assert "Moderation: 2 allowed." in summary.to_markdown()


def test_without_a_service_the_files_are_the_same_as_with_one_that_allows_all(
    new_workshop: Callable[[str], Workshop], server: ModerationServer
):
    plain, judged = new_workshop("plain"), new_workshop("judged")
    judged.environment["ZIMAGE_MODERATION_URL"] = server.url
    for shop in (plain, judged):
        shop.run("run", "catalogue.csv", "-p", "618", "-s", "packshot", "-c", "taobao_main")
    assert len(server.shown) == 2
    assert plain.files() == judged.files()


def test_what_is_denied_is_refused_with_its_reason_and_its_siblings_are_published(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    server.answers["MUG-1"] = {"verdict": "deny", "labels": ["trademark"], "reason": "a foreign logo"}
    run_id = produce(order)
    assert published(order) == ["LIP-1"]
    state, reason = states(order, run_id)["MUG-1"]
    assert (state, reason) == ("given_up", "The moderation service denies it (trademark): a foreign logo")
    (refusal,) = rooms(order).ledger.refusals(run_id)
    assert (refusal.stage, refusal.code, refusal.sku) == ("publish", "moderation_denied", "MUG-1")
    with pytest.raises(ConfigurationError, match="cannot be approved"):
        decide(workshop.folder, order, run_id, "MUG-1", "approve")
    publish(order, run_id)
    assert published(order) == ["LIP-1"], "a denial is final"
    assert len(server.shown) == 2
    with (report_folder(order, run_id) / "report.csv").open(encoding="utf-8-sig", newline="") as lines:
        row = next(row for row in csv.DictReader(lines) if row["sku"] == "MUG-1")
    assert (row["state"], row["renditions"]) == ("given_up", "")
    assert "a foreign logo" in row["reason"]


def test_what_a_person_must_see_waits_until_the_person_has_approved_it(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    server.answers["MUG-1"] = {"verdict": "review", "labels": ["hand"], "reason": "is that a hand?"}
    run_id = produce(order)
    assert published(order) == ["LIP-1"]
    assert states(order, run_id)["MUG-1"][0] == "doubtful"
    assert tally_of(order, run_id).doubtful == 1
    publish(order, run_id)
    assert published(order) == ["LIP-1"]
    decide(workshop.folder, order, run_id, "MUG-1", "approve")
    publish(order, run_id)
    assert published(order) == ["LIP-1", "MUG-1"]
    assert len(server.shown) == 2


def test_an_approval_given_before_the_service_spoke_does_not_count(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    run_id = produce(order.model_copy(update={"publish": False}))
    decide(workshop.folder, order, run_id, "MUG-1", "approve")
    asked()
    server.answer = {"verdict": "review", "labels": []}
    publish(order, run_id)
    assert published(order) == []
    assert {state for state, _ in states(order, run_id).values()} == {"doubtful"}
    decide(workshop.folder, order, run_id, "MUG-1", "approve")
    publish(order, run_id)
    assert published(order) == ["MUG-1"]


@pytest.mark.parametrize("fault", ["500", "drop", "html", "401"])
def test_without_an_answer_nothing_is_published_and_the_next_publish_asks_again(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None], fault: str
):
    asked()
    server.broken = fault
    run_id = produce(order)
    assert published(order) == []
    found = states(order, run_id)
    assert {state for state, _ in found.values()} == {"doubtful"}
    assert "gave no answer" in found["MUG-1"][1]
    server.broken = None
    publish(order, run_id)
    assert published(order) == ["LIP-1", "MUG-1"]
    assert {state for state, _ in states(order, run_id).values()} == {"accepted"}


def test_a_person_can_let_pass_what_the_service_said_nothing_about(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    server.broken = "401"
    run_id = produce(order)
    decide(workshop.folder, order, run_id, "MUG-1", "approve")
    publish(order, run_id)
    assert published(order) == ["MUG-1"]


def test_another_run_with_the_same_picture_does_not_ask_again_and_does_not_publish_it_either(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    server.answers["MUG-1"] = {"verdict": "deny", "labels": []}
    produce(order)
    workshop.write(MUG, LIPSTICK | {"name": "正红唇膏 升级版"})
    again = produce(order)
    assert published(order) == ["LIP-1"]
    assert states(order, again)["MUG-1"][0] == "given_up"
    assert server.skus.count("MUG-1") == 1


def test_a_picture_that_nobody_was_asked_about_cannot_be_released(
    workshop: Workshop, order: ProductionOrder, server: ModerationServer, asked: Callable[[], None]
):
    """Also not by a caller who leaves the asking out, and also not when its files are there from before."""
    run_id = produce(order)
    before = published(order)
    asked()
    accepted = [(promise.shard_id, promise.shot.shot_id) for promise in rooms(order).ledger.iter_promises(run_id)]
    assert make_renditions.fn(order, run_id, accepted, "all") == 0
    with pytest.raises(PublishError, match="not moderated"):
        release.fn(order, run_id)
    assert published(order) == before
    for promise, standing in rooms(order).ledger.standings(run_id):
        assert standing.attempt is not None
        assert not is_cleared(rooms(order), promise, standing.attempt, order.promotion)


def test_each_picture_that_is_shown_is_asked_about_with_and_without_the_overlay(
    workshop: Workshop, server: ModerationServer, asked: Callable[[], None]
):
    asked()
    workshop.write(MUG)
    order = ProductionOrder(
        catalogue=str(workshop.catalogue), promotion="618", scenes=("studio",), channels=("taobao_main", "amazon_main")
    )
    run_id = produce(order)
    channels = {slug for promise in rooms(order).ledger.iter_promises(run_id) for slug in promise.channels}
    overlays = {rooms(order).channels[slug].overlay_allowed for slug in channels}
    assert len(server.shown) == len(overlays)
    assert {bool(one.document["texts"]) for one in server.shown} == overlays
