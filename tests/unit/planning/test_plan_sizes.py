from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.domain import Channel, EngineInfo
from zimage_core.errors import PlanError
from zimage_core.planning import Target, generated_size, targets_for

ENGINE = EngineInfo("studio", "f", ("stage",), True, 1, 4096, 8, 1.0, 0.0)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(1, 1, (1024, 1024)), (3, 4, (864, 1152)), (4, 3, (1152, 864)), (2, 3, (832, 1248)), (16, 9, (1360, 768))],
)
def test_common_aspects_get_about_a_megapixel(width: int, height: int, size: tuple[int, int]):
    assert generated_size(width / height, ENGINE) == size


@given(st.floats(0.4, 2.5), st.sampled_from([1, 8, 16, 32, 64]))
def test_any_aspect_gets_a_size_the_engine_can_make(aspect: float, multiple: int):
    engine = EngineInfo("x", "f", ("stage",), True, multiple, 2048, 8, 1.0, 0.0)
    width, height = generated_size(aspect, engine)
    step = max(16, multiple)
    assert width % step == height % step == 0
    assert 0.75 < width * height / 1024**2 < 1.3
    assert width / height / aspect == pytest.approx(1, abs=0.01 if step == 16 else 0.05)


def test_an_engine_with_short_sides_gets_the_largest_it_can_make():
    small = EngineInfo("x", "f", ("stage",), True, 64, 768, 8, 1.0, 0.0)
    assert generated_size(1.0, small) == (768, 768)
    with pytest.raises(PlanError, match="multiples of 64 px and at most 32 px"):
        generated_size(1.0, EngineInfo("x", "f", ("stage",), True, 64, 32, 8, 1.0, 0.0))


def test_channels_of_one_aspect_share_a_shot(channels: dict[str, Channel]):
    wanted = [channels[s] for s in ("taobao_main", "wechat_moments", "shopify", "tmall_detail")]
    assert targets_for("stage", wanted, ENGINE) == (
        Target(1024, 1024, ("taobao_main", "shopify", "tmall_detail")),
        Target(864, 1152, ("wechat_moments",)),
    )


def test_packshots_are_as_large_as_the_largest_channel_up_to_a_photos_worth(channels: dict[str, Channel]):
    small = [channels["taobao_main"], channels["tmall_detail"]]
    assert targets_for("packshot", small, ENGINE)[0] == Target(800, 800, ("taobao_main", "tmall_detail"))
    assert targets_for("packshot", [*small, channels["shopify"]], ENGINE)[0].width_px == 1600
    assert targets_for("packshot", [channels["wechat_moments"]], ENGINE)[0] == Target(1080, 1440, ("wechat_moments",))


def test_within_one_percent_is_the_same_aspect_and_beyond_is_not(channel: Callable[..., Channel]):
    square, near, far = channel("a", 1000, 1000), channel("b", 1010, 1000), channel("c", 1030, 1000)
    assert [t.channels for t in targets_for("packshot", [square, near, far], ENGINE)] == [("a", "b"), ("c",)]


def test_aspects_that_snap_to_one_size_are_one_shot_not_two_of_the_same_name(channel: Callable[..., Channel]):
    coarse = EngineInfo("x", "f", ("stage",), True, 128, 2048, 8, 1.0, 0.0)
    wanted = [channel("a", 1000, 1000), channel("b", 1030, 1000)]
    assert targets_for("stage", wanted, coarse) == (Target(1024, 1024, ("a", "b")),)


def test_the_order_of_channels_changes_no_size(channels: dict[str, Channel]):
    found = {
        frozenset((t.width_px, t.height_px, frozenset(t.channels)) for t in targets_for(mode, list(order), ENGINE))
        for order in permutations(channels.values())
        for mode in ("packshot",)
    }
    assert len(found) == 1
