"""Whole runs whose pictures are alike: one photo for two products, one picture for two scenes, one stage for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
from workshop import MUG, PHOTOS, Workshop

from flows.produce import produce
from tasks import devices
from tasks.alike import same_backdrops
from tasks.experience import experience_of_run, fix_experience
from tasks.order import ProductionOrder
from tasks.report import report_folder, write_report
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.domain import Change, Decision
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.registry import create_engine
from zimage_core.standing import Standing

CUP = MUG | {"sku": "CUP-9", "name": "骨瓷茶杯", "name_en": "Bone china cup", "image": "products/cup.jpg"}
LARGE_MUG = MUG | {"sku": "MUG-2", "name": "白瓷马克杯 450ml", "price": "69.00"}


def order_of(shop: Workshop, *rows: dict[str, str], scenes=("packshot",), promotion: str = "618") -> ProductionOrder:
    """Return an order for these rows; the cup's photo is the mug's, a little darker and compressed again."""
    shop.write(*rows)
    photo = cv2.imread(str(PHOTOS / "mug.jpg"))
    darker = cv2.convertScaleAbs(photo, alpha=1.0, beta=-4)
    cv2.imwrite(str(shop.folder / "products" / "cup.jpg"), darker, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return ProductionOrder(
        catalogue=str(shop.catalogue), promotion=promotion, scenes=scenes, channels=("shopify",), publish=False
    )


def standings(order: ProductionOrder, run_id: str) -> dict[tuple[str, str], Standing]:
    return {
        (promise.product.sku, promise.shot.scene.name): standing
        for promise, standing in rooms(order).ledger.standings(run_id)
    }


def approve(order: ProductionOrder, standing: Standing) -> None:
    assert standing.attempt is not None
    said = Decision(standing.attempt.attempt_id, "approve", "李倩", "both are sold as one", clock.now())
    rooms(order).ledger.record_decisions([said])


def test_the_later_of_two_products_with_one_photo_waits_for_a_person_whose_word_lasts(workshop: Workshop) -> None:
    order = order_of(workshop, MUG, CUP)
    first = produce(order)
    found = standings(order, first)
    assert found["MUG-1", "packshot"].state == "accepted"
    doubtful = found["CUP-9", "packshot"]
    assert doubtful.state == "doubtful"
    assert "shows the same product photo as the packshot of MUG-1" in doubtful.reason
    approve(order, doubtful)
    assert tally_of(order, first).accepted == 2
    assert produce(order) == first
    assert tally_of(order, first).accepted == 2, "the same run does not ask again"
    dearer = order_of(workshop, MUG | {"price": "49.00"}, CUP)
    assert tally_of(dearer, produce(dearer)).accepted == 2, "nor does another run about the same two pictures"


def test_sizes_of_one_product_may_share_a_photo(workshop: Workshop) -> None:
    order = order_of(workshop, MUG, LARGE_MUG)
    assert tally_of(order, produce(order)).accepted == 2


def test_what_an_earlier_run_keeps_was_there_before(workshop: Workshop) -> None:
    earlier = order_of(workshop, MUG)
    produce(earlier)
    later = order_of(workshop, CUP)
    (standing,) = standings(later, produce(later)).values()
    assert standing.state == "doubtful"
    assert "MUG-1" in standing.reason


class OneStage:
    """The studio, but for one habit: what it draws for the first time it draws before one and the same stage."""

    def __init__(self, attempts: int) -> None:
        self.inner = create_engine("studio", {})
        self.info = self.inner.info
        self.attempts = attempts
        self.scene = None

    def render(self, requests: Sequence[RenderRequest]) -> Sequence[Rendered]:
        drawn = []
        for request in requests:
            if request.mode == "stage" and request.number <= self.attempts:
                self.scene = self.scene or request.scene
                request = dataclasses.replace(request, scene=self.scene, seed=7, change=Change())
            drawn.append(request)
        return self.inner.render(drawn)  # type: ignore[return-value]

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def one_stage(monkeypatch: pytest.MonkeyPatch):
    def always(attempts: int) -> None:
        monkeypatch.setattr(devices, "create_engine", lambda name, options: OneStage(attempts))

    return always


def test_a_picture_that_repeats_another_scenes_is_made_again_in_other_words(workshop: Workshop, one_stage) -> None:
    one_stage(1)
    order = order_of(workshop, MUG, scenes=("studio", "lifestyle"))
    found = standings(order, produce(order))
    studio, lifestyle = found["MUG-1", "studio"], found["MUG-1", "lifestyle"]
    assert [attempt.number for attempt in studio.chain] == [1]
    assert [attempt.change.wording for attempt in lifestyle.chain] == [0, 1]
    assert "nearly the same picture as the studio" in lifestyle.chain[1].change.why
    assert (studio.state, lifestyle.state) == ("accepted", "accepted")


def test_an_engine_that_knows_one_stage_only_comes_to_an_end_with_a_person(workshop: Workshop, one_stage) -> None:
    one_stage(9)
    order = order_of(workshop, MUG, scenes=("studio", "lifestyle"))
    run_id = produce(order)
    lifestyle = standings(order, run_id)["MUG-1", "lifestyle"]
    assert lifestyle.state == "doubtful"
    assert 1 < len(lifestyle.chain) <= rooms(order).settings.max_attempts
    approve(order, lifestyle)
    assert produce(order) == run_id, "looking again finds the same pair, and what was said of it"
    assert tally_of(order, run_id).accepted == 2


def test_one_backdrop_for_most_products_is_told_of_the_run(workshop: Workshop, one_stage) -> None:
    one_stage(9)
    names = ("cushion", "lamp", "lipstick", "mug", "perfume", "phone")
    rows = [
        {"sku": name.upper(), "name": name, "category": "家居", "price": "9.00", "image": f"products/{name}.jpg"}
        for name in names
    ]
    order = order_of(workshop, *rows, scenes=("studio",))
    run_id = produce(order)
    (said,) = same_backdrops(rooms(order), run_id)
    assert said.startswith("studio: ")
    assert "stand before nearly the same backdrop" in said
    _, summary = write_report(order, run_id)
    assert said in summary.findings
    assert "**The run as a whole**" in summary.to_markdown()
    assert Path(report_folder(order, run_id)).is_dir()


def test_a_run_keeps_the_experience_it_began_with(workshop: Workshop, one_stage) -> None:
    one_stage(1)
    order = order_of(workshop, MUG, scenes=("studio", "lifestyle"))
    first = produce(order)
    assert experience_of_run(order, first).records == {}, "there was nothing to know when it began"
    dearer = order_of(workshop, MUG | {"price": "49.00"}, scenes=("studio", "lifestyle"))
    second = produce(dearer)
    learnt = experience_of_run(dearer, second)
    assert [(key, record.tried, record.cured) for key, record in learnt.records.items()] == [
        (("studio", "repeated_picture", "wording"), 1, 1)
    ]
    assert fix_experience(dearer, second) == learnt
    assert sum(event.kind == "experience" for event in rooms(dearer).ledger.events(second)) == 1
