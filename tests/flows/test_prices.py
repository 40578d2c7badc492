"""Price truth: what a published file says is what the catalogue says when it is published."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import numpy as np
import pytest
from workshop import LIPSTICK, MUG, Workshop

import tasks.renditions
from flows.produce import produce
from flows.publish import publish
from tasks.layers import cutout_of, finish
from tasks.order import ProductionOrder
from tasks.prices import misread_price
from tasks.runtime import rooms
from zimage_core.domain import PlacedText, Promise
from zimage_core.errors import CatalogueError
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.encode import encode
from zimage_core.ledger import Ledger
from zimage_core.publishing.frames import Frame, frame_of

CHOICE = {"promotion": "618", "scenes": ("packshot", "studio"), "channels": ("taobao_main", "amazon_main")}


@pytest.fixture
def order(workshop: Workshop) -> ProductionOrder:
    workshop.write(MUG, LIPSTICK)
    return ProductionOrder(catalogue=str(workshop.catalogue), **CHOICE)


def test_a_price_that_changed_is_drawn_anew_without_an_engine_and_other_files_stay_byte_for_byte(
    workshop: Workshop, order: ProductionOrder
):
    run_id = produce(order)
    before, drawn = workshop.live("618"), workshop.calls()
    workshop.write({**MUG, "price": "61.50"}, LIPSTICK)
    publish(order, run_id)
    after = workshop.live("618")
    assert workshop.calls() == drawn
    assert before.keys() == after.keys()
    changed = {place for place in before if before[place]["sha256"] != after[place]["sha256"]}
    assert changed == {("MUG-1", "studio", "taobao_main")}
    prices = {p.product.sku: p.product.price for p in rooms(order).ledger.promises(run_id)}
    assert prices == {"MUG-1": Decimal("61.50"), "LIP-1": Decimal("139.00")}
    publish(order, run_id)
    assert workshop.live("618") == after


def test_a_product_that_left_the_catalogue_shows_no_price(workshop: Workshop, order: ProductionOrder):
    run_id = produce(order)
    before = workshop.live("618")
    workshop.write(LIPSTICK)
    publish(order, run_id)
    after = workshop.live("618")
    assert after.keys() == before.keys()
    assert {place for place in before if before[place] != after[place]} == {("MUG-1", "studio", "taobao_main")}
    finished = {one.sku: one for one in finished_pictures(order, run_id)}
    assert [text.role for text in finished["MUG-1"].texts] == ["badge"]
    assert [text.role for text in finished["LIP-1"].texts] == ["badge", "price"]


def test_a_release_that_was_held_goes_live_with_the_prices_of_that_moment(workshop: Workshop):
    workshop.write(MUG, LIPSTICK)
    given = ("--promotion", "618", "--scene", "studio", "--channel", "taobao_main")
    workshop.run("run", "catalogue.csv", *given, "--hold")
    assert not (workshop.cdn / "current" / "618.json").exists()
    drawn = workshop.calls()
    workshop.write({**MUG, "price": "61.50"}, LIPSTICK)
    said = workshop.run("go-live", "618").stdout
    assert "Prices of 618 have changed" in said
    assert workshop.calls() == drawn
    prices = {p.product.sku: p.product.price for p in _promises(workshop)}
    assert prices == {MUG["sku"]: Decimal("61.50"), LIPSTICK["sku"]: Decimal("139.00")}
    assert set(workshop.live("618")) == {("MUG-1", "studio", "taobao_main"), ("LIP-1", "studio", "taobao_main")}
    assert "held" not in workshop.run("releases", "618").stdout
    again = workshop.run("go-live", "618", check=False)
    assert again.returncode == 1
    assert "No release of 618 is held." in again.stderr


def test_a_release_that_was_held_goes_live_as_it_is_where_no_price_has_changed(workshop: Workshop):
    workshop.write(MUG)
    given = ("--promotion", "618", "--scene", "studio", "--channel", "taobao_main")
    held = workshop.run("run", "catalogue.csv", *given, "--go-live-at", "2099-06-01T00:00+08:00")
    assert "held" in held.stdout
    early = workshop.run("go-live", "618", check=False)
    assert "may not go live before 2099-06-01" in early.stderr
    assert "now points at release" in workshop.run("go-live", "618", "--early").stdout
    assert len(workshop.live("618")) == 1


def _promises(workshop: Workshop) -> list[Promise]:
    with Ledger.open(f"sqlite:///{workshop.folder / 'work' / 'ledger.sqlite'}") as ledger:
        return ledger.promises(ledger.runs()[0].run.run_id)


def test_nothing_is_released_while_the_catalogue_cannot_be_read(workshop: Workshop, order: ProductionOrder):
    run_id = produce(order)
    before = workshop.live("618")
    workshop.catalogue.unlink()
    with pytest.raises(CatalogueError, match=r"There is no catalogue file .*catalogue\.csv"):
        publish(order, run_id)
    assert workshop.live("618") == before


def test_a_file_in_which_another_price_stands_is_blocked_and_the_rest_is_published(
    workshop: Workshop, order: ProductionOrder, monkeypatch: pytest.MonkeyPatch
):
    make, masters = tasks.renditions.make_rendition, {}

    def mixed_up(attempt_rgb, finished_rgb, channel, **more):  # type: ignore[no-untyped-def]
        """The second studio picture's file is made from the first one's pixels, as a mix-up of keys would do."""
        if not np.array_equal(attempt_rgb, finished_rgb):
            finished_rgb = masters.setdefault("first", finished_rgb)
        return make(attempt_rgb, finished_rgb, channel, **more)

    monkeypatch.setattr(tasks.renditions, "make_rendition", mixed_up)
    monkeypatch.setenv("ZIMAGE_BATCH_SIZE", "100")
    run_id = produce(order)
    published = {sku for sku, scene, _ in workshop.live("618") if scene == "studio"}
    (refusal,) = [r for r in rooms(order).ledger.refusals(run_id) if r.code == "price_wrong"]
    assert {refusal.sku} == {"MUG-1", "LIP-1"} - published
    assert refusal.field == "taobao_main"
    assert "it should be '到手价 ¥" in refusal.reason
    assert len(workshop.live("618")) == 5


def test_prices_read_back_from_the_files_of_every_channel_and_other_prices_do_not(workshop: Workshop):
    prices = ("59.00", "1299.00", "8.80", "100.01")
    workshop.write(
        *({**MUG, "sku": f"MUG-{n}", "price": price, "original_price": "2999"} for n, price in enumerate(prices))
    )
    order = ProductionOrder(catalogue=str(workshop.catalogue), promotion="618", scenes=("studio",), publish=False)
    open_rooms, run_id = rooms(order), produce(order)
    seen = 0
    for one in finished_pictures(order, run_id):
        for channel in (open_rooms.channels[slug] for slug in one.channels):
            frame = frame_of(one.rgb.shape[1], one.rgb.shape[0], channel)
            assert isinstance(frame, Frame)
            data = encode(frame.cut(one.rgb), channel.format, max_bytes=200_000).data
            assert misread_price(open_rooms, data, one.texts, frame) is None, (one.sku, channel.slug)
            lies = tuple(dataclasses.replace(text, text=text.text.translate(OTHER_DIGITS)) for text in one.texts)
            sentence = misread_price(open_rooms, data, lies, frame)
            assert sentence is not None, (one.sku, channel.slug)
            assert "it should be" in sentence
            seen += 1
    assert seen == 16


OTHER_DIGITS = str.maketrans("0123456789", "3640789152")


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The finished master of one shot and what was drawn on it."""

    sku: str
    channels: tuple[str, ...]
    rgb: np.ndarray
    texts: tuple[PlacedText, ...]


def finished_pictures(order: ProductionOrder, run_id: str) -> list[Shown]:
    """Return the finished studio pictures of a run as publishing draws them."""
    open_rooms, found = rooms(order), []
    for promise, standing in open_rooms.ledger.standings(run_id):
        if promise.shot.scene.name != "studio":
            continue
        assert standing.attempt is not None
        cutout = cutout_of(open_rooms, promise, order)
        assert isinstance(cutout, CutOut)
        finished = finish(open_rooms, promise, standing.attempt, order.promotion, cutout)
        found.append(Shown(promise.product.sku, promise.channels, finished.rgb, finished.texts))
    return found
