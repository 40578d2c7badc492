"""The words an attempt is drawn from, when something was changed for it."""

from __future__ import annotations

import dataclasses

from workshop import Workshop

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from tasks.wording import prompt_of
from zimage_core.domain import Change, Product, Promise, Prompt, Shot

PRODUCT = Product(sku="MUG-1", name="白瓷马克杯", record_no=1, name_en="White mug", category="home", image="mug.jpg")


def test_a_shot_that_becomes_a_stage_is_told_of_an_empty_scene_and_not_of_the_product(workshop: Workshop) -> None:
    open_rooms = rooms(ProductionOrder(catalogue=str(workshop.catalogue), promotion="618"))
    library = open_rooms.library
    promotion = library.promotion("618")
    scene = dataclasses.replace(library.scene("lifestyle", "home"), mode="inpaint")
    prompt = library.compose(PRODUCT, scene, library.brand(promotion.brand), promotion, language="en")
    assert isinstance(prompt, Prompt)
    shot = Shot("shot", "MUG-1", scene, "inpaint", 1024, 1024, prompt, "mug.jpg", "0" * 64, "diffusers", "d-1")
    promise = Promise("run", shot, PRODUCT, ("taobao_main",), "shard", 0)

    assert "White mug" in prompt.text
    assert prompt_of(open_rooms, promise, Change(), "618") == prompt
    empty = prompt_of(open_rooms, promise, Change(mode="stage"), "618")
    assert "mug" not in empty.text.lower()
    assert "mug" in prompt_of(open_rooms, promise, Change(wording=1), "618").text.lower()
    assert prompt_of(open_rooms, promise, Change(wording=1), "618") != prompt
