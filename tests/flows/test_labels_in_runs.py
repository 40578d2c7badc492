"""What a trained model had a part in is labelled, refused or declared, channel by channel; a page gets its srcset."""

from __future__ import annotations

import hashlib
import json

import pytest
from workshop import MUG, Workshop

from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core.publishing.seal import read_seal

MADE_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.fixture
def order(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> ProductionOrder:
    """The sleeping engine draws as the studio engine does; since nobody knows it, it counts as a trained model."""
    workshop.write(MUG)
    journals = json.dumps({"journal": str(workshop.folder / "journals"), "studio": "yes"})
    monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", journals)
    return ProductionOrder(
        catalogue=str(workshop.catalogue),
        promotion="618",
        scenes=("studio",),
        channels=("taobao_main", "etsy", "web"),
        engine="sleeping",
    )


def test_labels_stand_where_a_channel_asks_for_them_and_what_may_not_go_there_does_not(
    workshop: Workshop, order: ProductionOrder
):
    run_id = produce(order)
    live = workshop.live("618")
    assert {channel for _, _, channel in live} == {"taobao_main", "web"}
    for channel, visible in (("taobao_main", True), ("web", False)):
        file = live["MUG-1", "studio", channel]
        assert file["labels"] == {"ai_generated": True, "digital_source_type": MADE_BY_AI, "visible": visible}
        seal = read_seal((workshop.cdn / str(file["key"])).read_bytes())
        assert seal.digital_source_type == MADE_BY_AI
        assert dict(seal.aigc)["Label"] == "1"
    (refusal,) = [one for one in rooms(order).ledger.refusals(run_id) if one.stage == "publish"]
    assert (refusal.field, refusal.code) == ("etsy", "not_allowed")
    assert "etsy" in refusal.reason
    assert "looked at on" in refusal.reason


def test_a_label_that_settings_forbid_keeps_the_file_back(
    workshop: Workshop, order: ProductionOrder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZIMAGE_PUBLISH_VISIBLE_LABEL", "never")
    run_id = produce(order)
    assert {channel for _, _, channel in workshop.live("618")} == {"web"}
    codes = {one.field: one.code for one in rooms(order).ledger.refusals(run_id) if one.stage == "publish"}
    assert codes == {"etsy": "not_allowed", "taobao_main": "label_required"}


def test_a_page_gets_every_width_in_three_formats_each_sealed_and_checked(workshop: Workshop, order: ProductionOrder):
    produce(order.model_copy(update={"channels": ("web",), "engine": None}))
    (file,) = workshop.live("618").values()
    sizes = {(one["width_px"], one["media_type"]) for one in file["srcset"]}
    widest = file["width_px"]
    widths = {width for width in (480, 800, 1200, 1600) if width <= widest}
    assert widths >= {480, 800}
    wanted = {(width, f"image/{kind}") for width in widths for kind in ("avif", "webp", "jpeg")}
    assert sizes == wanted - {(widest, "image/jpeg")}
    for one in file["srcset"]:
        path = workshop.cdn / one["key"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one["sha256"]
        assert read_seal(path.read_bytes()).alt_text == file["alt_text"]
