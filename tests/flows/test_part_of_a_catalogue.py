"""Orders about a part of a catalogue: new, changed, failed or poorly graded pictures, a dry run, a wrong order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from workshop import LIPSTICK, MUG, SOFT_CUSHION, Workshop

from flows.expire import expire
from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core.errors import ZImageError

LAMP = {"sku": "LAMP-1", "name": "原木台灯", "category": "家居", "price": "199.00", "image": "products/lamp.jpg"}


@pytest.fixture
def order() -> Callable[..., ProductionOrder]:
    def make(**choices: Any) -> ProductionOrder:
        given = {
            "catalogue": "catalogue.csv",
            "promotion": "everyday",
            "scenes": ("packshot",),
            "channels": ("shopify",),
        }
        return ProductionOrder.model_validate(given | choices)

    return make


def made(order: ProductionOrder) -> State[Any]:
    state: State[Any] = produce(order, return_state=True)
    return state


def skus_drawn(workshop: Workshop) -> list[str]:
    return [line.split()[1] for line in workshop.calls()]


def test_only_new_products_are_made_and_the_others_stay_live(workshop: Workshop, order: Callable[..., ProductionOrder]):
    produce(order())
    before = workshop.live("everyday")
    workshop.write(MUG, LIPSTICK, LAMP)
    assert sorted(skus_drawn(workshop)) == ["LIP-1", "MUG-1"]
    produce(order(only="new"))
    assert skus_drawn(workshop)[2:] == ["LAMP-1"]
    after = workshop.live("everyday")
    assert {place[0] for place in after} == {"MUG-1", "LIP-1", "LAMP-1"}
    assert {place: after[place] for place in before} == before
    state = made(order(only="new"))
    assert state.is_completed()
    assert state.message == "No product of catalogue.csv is new: there is nothing to do."


def test_a_product_that_changed_is_made_again_and_one_that_did_not_is_not(
    workshop: Workshop, order: Callable[..., ProductionOrder]
):
    produce(order())
    workshop.write(MUG, {**LIPSTICK, "image": "products/perfume.jpg"})
    run_id = produce(order(only="changed"))
    assert run_id is not None
    assert skus_drawn(workshop)[2:] == ["LIP-1"]
    assert tally_of(order(), run_id).promised == 1
    assert {place[0] for place in workshop.live("everyday")} == {"MUG-1", "LIP-1"}
    assert "nothing to do" in (made(order(only="changed")).message or "")


def test_products_of_a_run_that_was_interrupted_still_count_as_changed(
    workshop: Workshop, order: Callable[..., ProductionOrder], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as ill:
        ill.setenv("ZIMAGE_ENGINE_OPTIONS", "{}")
        with pytest.raises(ZImageError, match="not finished"):
            produce(order(engine="fault", engine_options={"unavailable": "1"}))
    state = made(order(only="changed"))
    assert state.message == "2 shots: 2 accepted."
    assert sorted(skus_drawn(workshop)) == ["LIP-1", "MUG-1"]


def test_failed_and_c_are_about_a_run_that_there_is(workshop: Workshop, order: Callable[..., ProductionOrder]):
    for part in ("failed", "C"):
        with pytest.raises(ZImageError, match="nothing was made of this order before"):
            produce(order(only=part))
    assert workshop.calls() == []
    assert rooms(order()).ledger.last_opening() is None


def test_c_gives_what_was_given_up_for_its_grade_one_more_try(
    workshop: Workshop, order: Callable[..., ProductionOrder], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZIMAGE_MAX_ATTEMPTS", "1")
    workshop.write(MUG, SOFT_CUSHION)
    large = order(channels=("amazon_main",))
    state = made(large)
    assert state.message == "2 shots: 1 accepted, 1 given up."
    tried = skus_drawn(workshop)
    produce(order(channels=("amazon_main",), only="failed"))
    assert skus_drawn(workshop) == tried, "a picture that is poor did not fail"
    produce(order(channels=("amazon_main",), only="C"))
    assert skus_drawn(workshop) == [*tried, "CUSH-1"]


def test_a_dry_run_spends_nothing_and_says_what_it_would(workshop: Workshop, order: Callable[..., ProductionOrder]):
    state = made(order(dry_run=True))
    assert (state.message or "").startswith("A dry run, nothing was spent: 2 shots of 2 products")
    assert state.result() is None
    assert workshop.calls() == []
    assert rooms(order()).ledger.last_opening() is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"promotion": "easter"}, "easter"),
        ({"channels": ("amazon_man",)}, "amazon_man"),
        ({"catalogue": "katalog.csv"}, "There is no catalogue file 'katalog.csv'"),
        ({"engine": "dall-e"}, "dall-e"),
        ({"deadline": "2020-01-01T00:00+00:00"}, "The deadline 2020-01-01 00:00 .0000 is over"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_in_one_sentence(
    workshop: Workshop, order: Callable[..., ProductionOrder], wrong: dict[str, Any], said: str
):
    with pytest.raises(ZImageError, match=said) as refused:
        produce(order(**wrong))
    assert "\n" not in str(refused.value)
    assert workshop.calls() == []


def test_what_several_runs_have_made_of_a_promotion_expires_together(
    workshop: Workshop, order: Callable[..., ProductionOrder]
):
    promotion = {"promotion": "double11", "scenes": ("studio",), "channels": ("wechat_moments",)}
    first = order(**promotion)
    produce(first)
    workshop.write(MUG, LIPSTICK, LAMP)
    run_id = produce(order(**promotion, only="new"))
    assert run_id is not None
    assert {place[0] for place in workshop.live("double11")} == {"MUG-1", "LIP-1", "LAMP-1"}
    with_badges = {file["sha256"] for file in workshop.live("double11").values()}
    expire(order(**promotion, only="new"), run_id)
    plain = workshop.live("double11")
    assert {place[0] for place in plain} == {"MUG-1", "LIP-1", "LAMP-1"}
    assert not with_badges & {file["sha256"] for file in plain.values()}
