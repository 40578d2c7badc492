import dataclasses
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from zimage_core.domain import Channel, EngineInfo, Product, Promise, Refusal, content_id
from zimage_core.errors import PlanError, PromptError
from zimage_core.planning import check_channels, iter_plan
from zimage_core.prompting import PromptLibrary

Make = Callable[..., Product]
MakeEngine = Callable[..., EngineInfo]


@pytest.fixture
def plan(library: PromptLibrary, channels: dict[str, Channel], engine: MakeEngine) -> Callable[..., list]:
    """plan(products, promotion="618", engine=..., ...) -> everything that was yielded."""

    def make(*products: Product, promotion: str = "618", by: EngineInfo | None = None, **more: object) -> list:
        more.setdefault("run_id", "run-1")
        return list(iter_plan(products, library, library.promotion(promotion), channels, by or engine(), **more))

    return make


def promises(entries: list) -> list[Promise]:
    assert not [e for e in entries if isinstance(e, Refusal)]
    return entries


def test_a_product_is_promised_in_each_scene_and_aspect_once(plan: Callable[..., list], goods: Make):
    made = promises(plan(goods()))
    assert [(p.shot.scene.name, p.shot.mode, p.shot.width_px, p.shot.height_px, p.channels) for p in made] == [
        ("packshot", "packshot", 1600, 1600, ("taobao_main", "tmall_detail", "amazon_main", "shopify")),
        ("packshot", "packshot", 1080, 1440, ("wechat_moments",)),
        ("studio", "stage", 1024, 1024, ("taobao_main", "tmall_detail", "shopify")),
        ("studio", "stage", 864, 1152, ("wechat_moments",)),
        ("lifestyle", "stage", 1024, 1024, ("taobao_main", "tmall_detail", "shopify")),
        ("lifestyle", "stage", 864, 1152, ("wechat_moments",)),
    ]
    assert [p.ordinal for p in made] == list(range(6))
    assert len({p.shot.shot_id for p in made}) == 6
    assert {(p.run_id, p.shot.engine, p.shot.engine_fingerprint) for p in made} == {("run-1", "studio", "studio-1")}
    assert all(p.shot.scene.category == "home" and p.shot.scene.mode == p.shot.mode for p in made)


def test_every_channel_that_takes_a_scene_gets_it_exactly_once(
    plan: Callable[..., list], goods: Make, channels: dict[str, Channel]
):
    made = promises(plan(goods(category="beauty"), promotion="everyday"))
    got = Counter((p.shot.scene.name, slug) for p in made for slug in p.channels)
    wanted = {
        (scene, c.slug) for c in channels.values() for scene in c.scenes if scene != "model_wear"
    }  # model_wear is not in everyday
    assert got == Counter(wanted)


def test_the_same_request_gives_the_same_plan(plan: Callable[..., list], goods: Make):
    products = [goods("A"), goods("B", category="beauty"), goods("C", image=None, image_sha256=None)]
    assert plan(*products) == plan(*products)


CHANGES_THE_PICTURE = [
    {"sku": "OTHER"},
    {"category": "beauty"},
    {"image_sha256": "cd" * 32},
    {"matte": "mug_matte.png", "matte_sha256": "12" * 32},
]
LEAVES_THE_PICTURE = [
    {"price": Decimal("49.00")},
    {"original_price": None},
    {"record_no": 99},
    {"image": "moved/mug.jpg"},
    {"selling_points": ("大手柄",)},
    {"name": "新名字"},  # a stage and a packshot do not name the product
]


def shot_ids(plan: Callable[..., list], product: Product, **more: object) -> list[str]:
    return [p.shot.shot_id for p in promises(plan(product, **more))]


@pytest.mark.parametrize("change", CHANGES_THE_PICTURE)
def test_what_decides_the_pixels_decides_the_id(plan: Callable[..., list], goods: Make, change: dict[str, object]):
    before, after = shot_ids(plan, goods()), shot_ids(plan, dataclasses.replace(goods(), **change))
    stages = slice(2, None)
    assert not set(before[stages]) & set(after[stages])


@pytest.mark.parametrize("change", LEAVES_THE_PICTURE)
def test_what_does_not_decide_the_pixels_costs_no_engine_call(
    plan: Callable[..., list], goods: Make, change: dict[str, object]
):
    assert shot_ids(plan, goods()) == shot_ids(plan, dataclasses.replace(goods(), **change))


def test_a_changed_matte_makes_new_pictures_and_a_moved_one_does_not(plan: Callable[..., list], goods: Make):
    one = goods(matte="a.png", matte_sha256="12" * 32)
    changed, moved = (
        dataclasses.replace(one, **change) for change in ({"matte_sha256": "34" * 32}, {"matte": "b.png"})
    )
    assert not set(shot_ids(plan, one)) & set(shot_ids(plan, changed))
    assert shot_ids(plan, one) == shot_ids(plan, moved)
    assert {p.shot.matte_sha256 for p in promises(plan(one))} == {"12" * 32}


def test_two_promotions_and_two_runs_share_their_pictures(plan: Callable[..., list], goods: Make):
    one, other = shot_ids(plan, goods()), shot_ids(plan, goods(), promotion="double11", run_id="run-2")
    assert set(one) <= set(other)


def test_another_engine_makes_other_pictures(plan: Callable[..., list], goods: Make, engine: MakeEngine):
    assert not set(shot_ids(plan, goods())) & set(shot_ids(plan, goods(), by=engine(fingerprint="studio-2")))


def test_drawn_from_words_the_name_is_part_of_the_picture_and_the_photo_is_not(
    plan: Callable[..., list], goods: Make, engine: MakeEngine
):
    painter = engine("text", needs_reference=False)
    tee = goods("TEE", category="fashion")

    def ids(product: Product) -> list[str]:
        return shot_ids(plan, product, by=painter, scenes=["model_wear"])

    assert ids(tee) == ids(dataclasses.replace(tee, image_sha256="ef" * 32))
    assert ids(tee) == ids(dataclasses.replace(tee, matte="a.png", matte_sha256="ef" * 32))
    assert ids(tee) != ids(dataclasses.replace(tee, name="新名字"))


def test_a_product_without_a_photo_is_drawn_from_words_where_the_engine_can(
    plan: Callable[..., list], goods: Make, engine: MakeEngine
):
    bare = goods(image=None, image_sha256=None)
    made = promises(plan(bare, by=engine("packshot", "stage", "text", needs_reference=False)))
    assert {p.shot.mode for p in made} == {"text"}
    assert all("素白釉面马克杯" in p.shot.prompt.text and p.shot.reference is None for p in made)
    assert {(p.shot.width_px, p.shot.height_px) for p in made} == {(1024, 1024), (864, 1152)}


def test_what_an_engine_cannot_do_is_refused_and_names_who_could(
    plan: Callable[..., list], goods: Make, engine: MakeEngine
):
    asked: list[str] = []

    def able(mode: str) -> tuple[str, ...]:
        asked.append(mode)
        return ("studio", "diffusers", "comfyui")

    (refusal,) = plan(goods("TEE", category="fashion"), scenes=["model_wear"], able_engines=able)
    assert isinstance(refusal, Refusal)
    assert (refusal.stage, refusal.code, refusal.sku, refusal.field, refusal.value) == (
        "plan",
        "engine_cannot",
        "TEE",
        "scene",
        "model_wear",
    )
    assert refusal.reason == (
        "Engine studio cannot make model_wear of TEE: that takes mode text, it does packshot, stage;"
        " engines that could: diffusers, comfyui."
    )
    assert asked == ["text"]


def test_a_missing_photo_is_refused_once_per_scene_not_per_size(plan: Callable[..., list], goods: Make):
    refusals = plan(goods(image=None, image_sha256=None), able_engines=lambda _mode: ())
    assert [r.value for r in refusals] == ["packshot", "studio", "lifestyle"]
    assert refusals[1].reason == (
        "MUG-1 has no photo, and engine studio cannot draw studio from words (mode text);"
        " no other installed engine could."
    )


def test_an_engine_that_needs_a_photo_is_not_given_a_product_without_one(
    plan: Callable[..., list], goods: Make, engine: MakeEngine
):
    entries = plan(goods(image=None, image_sha256=None), by=engine("stage", "text", needs_reference=True))
    assert {e.code for e in entries} == {"engine_cannot"}


def test_a_blocked_word_refuses_the_product_once_and_the_others_go_on(plan: Callable[..., list], goods: Make):
    entries = plan(goods("A"), goods("B", name="国家级马克杯"), goods("C"))
    refusals = [e for e in entries if isinstance(e, Refusal)]
    assert [(r.sku, r.code) for r in refusals] == [("B", "blocked_word")]
    assert Counter(e.shot.sku for e in entries if isinstance(e, Promise)) == {"A": 6, "C": 6}


def test_a_photo_nobody_has_read_stops_the_plan(plan: Callable[..., list], goods: Make):
    with pytest.raises(PlanError, match=r"photo has not been read yet.*sku=MUG-1"):
        plan(goods(image_sha256=None))
    with pytest.raises(PlanError, match="The matte has not been read yet"):
        plan(goods(matte="a.png"))


def test_the_shots_of_a_sku_stay_in_one_shard_and_shards_are_full(plan: Callable[..., list], goods: Make):
    made = promises(plan(*(goods(f"S{i}") for i in range(40)), shard_size=20))
    by_sku, by_shard = defaultdict(set), Counter()
    for promise in made:
        by_sku[promise.shot.sku].add(promise.shard_id)
        by_shard[promise.shard_id] += 1
    assert all(len(shards) == 1 for shards in by_sku.values())
    assert list(by_shard.values()) == [18] * 13 + [6]
    assert list(by_shard)[:2] == [content_id("shard", "run-1", 0), content_id("shard", "run-1", 1)]


def test_a_sku_larger_than_a_shard_gets_one_of_its_own(plan: Callable[..., list], goods: Make):
    made = promises(plan(goods("A"), goods("B"), shard_size=1))
    assert Counter(p.shard_id for p in made) == {content_id("shard", "run-1", i): 6 for i in (0, 1)}


def test_a_run_may_choose_scenes_and_channels(plan: Callable[..., list], goods: Make):
    made = promises(plan(goods(), scenes=["detail"], channels_wanted=["wechat_moments"]))
    assert [(p.shot.scene.name, p.channels) for p in made] == [("detail", ("wechat_moments",))]


def test_a_limit_takes_no_more_from_the_catalogue_than_it_says(
    library: PromptLibrary, channels: dict[str, Channel], engine: MakeEngine, goods: Make
):
    taken: list[str] = []

    def catalogue() -> Iterator[Product]:
        for sku in ("A", "B", "C", "D"):
            taken.append(sku)
            yield goods(sku)

    plan = iter_plan(catalogue(), library, library.promotion("618"), channels, engine(), run_id="r", limit=2)
    assert {e.shot.sku for e in plan if isinstance(e, Promise)} == {"A", "B"}
    assert taken == ["A", "B"]


def test_what_is_not_known_is_said_before_the_first_product_is_read(
    library: PromptLibrary, channels: dict[str, Channel], engine: MakeEngine
):
    def catalogue() -> Iterator[Product]:
        raise AssertionError("read too early")
        yield

    promotion = library.promotion("618")

    def ask(**more: object) -> None:
        iter_plan(catalogue(), library, more.pop("promotion", promotion), channels, engine(), run_id="r", **more)

    with pytest.raises(PlanError, match="channel 'tiktok', which is not known; known: amazon_main, shopify, taobao"):
        ask(channels_wanted=["tiktok"])
    with pytest.raises(PlanError, match="scene 'poster', which is not known; known: detail, flat_lay"):
        ask(scenes=["poster"])
    with pytest.raises(PlanError, match="channel 'gone'"):
        ask(promotion=dataclasses.replace(promotion, channels=("gone",)))
    with pytest.raises(PromptError, match="no brand 'gone'"):
        ask(promotion=dataclasses.replace(promotion, brand="gone"))
    with pytest.raises(PlanError, match="at least 1"):
        ask(shard_size=0)
    with pytest.raises(PlanError, match="at least 1"):
        ask(limit=0)


def test_a_sound_request_passes_the_check(library: PromptLibrary, channels: dict[str, Channel]):
    for slug in library.promotion_slugs:
        check_channels(library.promotion(slug), channels, library)


def test_memory_does_not_grow_with_the_catalogue(
    library: PromptLibrary, channels: dict[str, Channel], engine: MakeEngine, goods: Make
):
    def peak_bytes(count: int) -> int:
        promotion = library.promotion("618")
        plan = iter_plan((goods(f"S{i}") for i in range(count)), library, promotion, channels, engine(), run_id="r")
        tracemalloc.start()
        shots = sum(1 for _ in plan)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert shots == count * 6
        return peak

    peak_bytes(400)  # caches, which are bounded, fill
    # 2,100 more shots, if kept, are 6 MB; what waits to be collected comes and goes
    assert peak_bytes(400) < peak_bytes(50) + 500_000
