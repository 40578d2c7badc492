from collections.abc import Callable
from decimal import Decimal

import pytest

from zimage_core.domain import Channel, EngineInfo, Product
from zimage_core.errors import PlanError
from zimage_core.planning import Forecast, ensure_something, iter_plan
from zimage_core.prompting import PromptLibrary


@pytest.fixture
def forecast(
    library: PromptLibrary, channels: dict[str, Channel], engine: Callable[..., EngineInfo]
) -> Callable[..., Forecast]:
    def make(*products: Product, promotion: str = "618", by: EngineInfo | None = None, **more: object) -> Forecast:
        among = more.pop("among", channels)
        plan = iter_plan(products, library, library.promotion(promotion), among, by or engine(), run_id="r", **more)
        for _ in plan:
            pass
        return plan.forecast

    return make


def codes(forecast: Forecast) -> dict[str, int]:
    return {conflict.code: conflict.count for conflict in forecast.conflicts}


def test_a_forecast_counts_what_was_promised(forecast: Callable[..., Forecast], goods: Callable[..., Product]):
    sum_ = forecast(goods("A"), goods("B"))
    assert (sum_.products, sum_.shots, sum_.shards) == (2, 12, 1)
    assert sum_.scenes == {"packshot": 4, "studio": 4, "lifestyle": 4}
    assert sum_.modes == {"packshot": 4, "stage": 8}
    assert sum_.channels == {"taobao_main": 6, "tmall_detail": 6, "amazon_main": 2, "shopify": 6, "wechat_moments": 6}
    assert sum_.seconds == pytest.approx(24.0)
    assert sum_.cost_usd == pytest.approx(8 * 0.015)
    assert sum_.conflicts == ()
    assert not sum_.refused


def test_a_forecast_can_be_asked_on_the_way(
    library: PromptLibrary,
    channels: dict[str, Channel],
    engine: Callable[..., EngineInfo],
    goods: Callable[..., Product],
):
    plan = iter_plan([goods()], library, library.promotion("618"), channels, engine(), run_id="r")
    assert plan.forecast.shots == 0
    next(plan)
    first = plan.forecast
    next(plan)
    assert (first.shots, plan.forecast.shots) == (1, 2)


def test_a_scene_that_is_not_made_for_a_category_is_said_not_refused(
    forecast: Callable[..., Forecast], goods: Callable[..., Product]
):
    phones = [goods(f"P{i}", category="electronics") for i in range(12)]
    sum_ = forecast(*phones, promotion="everyday")
    assert sum_.unsuited == {("flat_lay", "electronics"): 12}
    assert sum_.unsuited_sentences() == ("flat_lay is not made for electronics: 12 products",)
    assert not sum_.refused
    assert "- flat_lay is not made for electronics: 12 products" in sum_.to_markdown()


def test_prices_that_cannot_be_shown_are_a_warning_not_a_refusal(
    forecast: Callable[..., Forecast], goods: Callable[..., Product]
):
    dear = goods("B", original_price=Decimal("49"))
    free = [goods(f"F{i}", price=None) for i in range(5)]
    sum_ = forecast(goods("A"), dear, *free)
    assert sum_.shots == 7 * 6
    assert codes(sum_) == {"price_missing": 5, "original_price_not_higher": 1}
    missing = next(c for c in sum_.conflicts if c.code == "price_missing")
    assert missing.examples == ("F0", "F1", "F2")
    assert "some products have none: 5 products (F0, F1, F2, ...)" in sum_.to_markdown()
    assert codes(forecast(*free, promotion="everyday")) == {}


def test_what_a_person_should_know_is_in_the_forecast(
    forecast: Callable[..., Forecast],
    goods: Callable[..., Product],
    engine: Callable[..., EngineInfo],
    channels: dict[str, Channel],
    channel: Callable[..., Channel],
):
    painter = engine("packshot", "stage", "text", needs_reference=False)
    assert codes(forecast(goods(image=None, image_sha256=None), by=painter)) == {"drawn_from_words": 3}
    alone = forecast(goods(), channels_wanted=["amazon_main"], scenes=["packshot", "studio"])
    assert codes(alone) == {"scene_without_channel": 0}
    unused = forecast(goods(), scenes=["studio"], channels_wanted=["amazon_main", "shopify"])
    assert codes(unused) == {"channel_without_scene": 0}
    demanding = channels | {"shopify": channel("shopify", 2048, 2048, min_short_side_px=1500)}
    enlarged = forecast(goods("A"), goods("B"), among=demanding, scenes=["packshot", "studio"])
    assert codes(enlarged) == {"enlarged": 2}
    assert "studio is made 1024x1024 px and enlarged for shopify" in enlarged.to_markdown()
    assert "2 shots (A, B)" in enlarged.to_markdown()


def test_the_page_shows_counts_refusals_time_and_money(
    forecast: Callable[..., Forecast], goods: Callable[..., Product]
):
    page = forecast(*(goods(f"S{i}") for i in range(1500)), goods("BAD|<b>", name="国家级杯")).to_markdown()
    assert page.startswith("# Plan: 618\n")
    assert "**9,000 shots** of 1,501 products in 46 shards." in page
    assert "about **5 h 0 min** on one engine, **$90.00**." in page
    assert "| studio | 3,000 |" in page
    assert "| blocked_word | 1 | The name of BAD\\|&lt;b> contains the blocked word “国家级”" in page


def test_a_plan_that_promises_nothing_is_an_error_that_says_why(
    forecast: Callable[..., Forecast], goods: Callable[..., Product]
):
    ensure_something(forecast(goods()))
    with pytest.raises(PlanError, match="nothing to do: the catalogue gave no products"):
        ensure_something(forecast())
    with pytest.raises(PlanError, match=r"2 products, 0 shots\. 2 refused as blocked_word \(The name of A contains"):
        ensure_something(forecast(goods("A", name="国家级杯"), goods("B", name="国家级碗")))
    with pytest.raises(PlanError, match="flat_lay is not made for home: 1 product; amazon_main takes none"):
        ensure_something(forecast(goods(), scenes=["flat_lay"]))
    with pytest.raises(PlanError, match="No channel of this run takes studio"):
        ensure_something(forecast(goods(), scenes=["studio"], channels_wanted=["amazon_main"]))
