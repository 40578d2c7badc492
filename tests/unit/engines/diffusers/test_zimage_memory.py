"""How the model is held, and what is given up when memory runs out: cheapest first, remembered, never a sibling."""

from __future__ import annotations

import dataclasses

import pytest

from zimage_core.engines.diffusers.memory import (
    GIB,
    Card,
    Footprint,
    Rung,
    Thrift,
    after_out_of_memory,
    choose_profile,
    choose_quantization,
)
from zimage_core.engines.diffusers.options import Options, ProfileName

ZIMAGE = Footprint(transformer_bytes=12_310_000_000, text_encoder_bytes=8_040_000_000, vae_bytes=168_000_000)
OPTIONS = Options(model="m")


def card(total_gib: float, free_gib: float | None = None) -> Card:
    return Card("a card", int(total_gib * GIB), int((total_gib if free_gib is None else free_gib) * GIB))


@pytest.mark.parametrize(
    ("gib", "profile", "quantization"),
    [(80, "fast", "none"), (32, "fast", "none"), (23.5, "balanced", "none"), (15.6, "small", "none"),
     (11.6, "quantized", "int8"), (7.6, "quantized", "nf4")],
)  # fmt: skip
def test_each_size_of_card_gets_the_fastest_profile_that_fits(gib: float, profile: str, quantization: str) -> None:
    held = choose_quantization(OPTIONS, ZIMAGE, card(gib))
    chosen = choose_profile(OPTIONS, ZIMAGE, card(gib), held)
    assert (chosen.name, held) == (profile, quantization)
    assert f"{gib:.1f} GiB are free on a card" in chosen.reason


def test_a_busy_card_gets_a_smaller_profile_but_the_same_weights() -> None:
    """Pixels must not depend on who else uses the card: only the whole memory decides on quantisation."""
    busy = card(80, free_gib=14)
    held = choose_quantization(OPTIONS, ZIMAGE, busy)
    assert held == "none"
    assert choose_profile(OPTIONS, ZIMAGE, busy, held).name == "small"


def test_what_is_asked_for_is_taken() -> None:
    asked = dataclasses.replace(OPTIONS, profile="small")
    assert choose_profile(asked, ZIMAGE, card(80), "none").name == "small"
    quantized = dataclasses.replace(OPTIONS, profile="quantized")
    assert choose_quantization(quantized, ZIMAGE, card(80)) == "int8"
    assert choose_quantization(dataclasses.replace(OPTIONS, quantization="fp8"), ZIMAGE, card(80)) == "fp8"


@pytest.mark.parametrize("profile", ["small", "balanced"])
def test_quantised_weights_are_not_moved_back_and_forth(profile: ProfileName) -> None:
    """bitsandbytes keeps the state of its 4 bits beside the tensor, and would lose it."""
    asked = dataclasses.replace(OPTIONS, profile=profile)
    assert choose_profile(asked, ZIMAGE, card(24), "nf4").name == "quantized"


def test_fp8_weights_do_not_change_the_profile() -> None:
    assert choose_profile(OPTIONS, ZIMAGE, card(80), "fp8").name == "fast"


def test_without_a_card_everything_is_in_host_memory() -> None:
    assert choose_quantization(OPTIONS, ZIMAGE, None) == "none"
    assert "no GPU" in choose_profile(OPTIONS, ZIMAGE, None, "none").reason


def descend(*, batch: int, can_offload: bool, can_shrink: bool) -> list[Rung]:
    """Run out of memory at every try until the picture is given up; return what was given up on the way."""
    thrift, size, rungs = Thrift(), (1024, 1024), list[Rung]()
    while not rungs or rungs[-1] != "give_up":
        thrift, rung = after_out_of_memory(
            thrift, size, thrift.limit_for(size, batch), can_offload=can_offload, can_shrink=can_shrink
        )
        rungs.append(rung)
        assert len(rungs) < 20
    return rungs


def test_the_ladder_goes_down_cheapest_first() -> None:
    assert descend(batch=8, can_offload=True, can_shrink=True) == [
        "halve", "halve", "halve", "tiling", "offload", "shrink", "give_up",
    ]  # fmt: skip


def test_resolution_is_lowered_only_where_the_scene_allows() -> None:
    assert "shrink" not in descend(batch=2, can_offload=True, can_shrink=False)
    assert "offload" not in descend(batch=2, can_offload=False, can_shrink=True)


def test_what_fitted_is_remembered_for_its_size_alone() -> None:
    thrift, _ = after_out_of_memory(Thrift(), (1024, 1536), 4, can_offload=True, can_shrink=False)
    assert thrift.limit_for((1024, 1536), 4) == 2
    assert thrift.limit_for((1024, 1024), 4) == 4
    assert thrift.limit_for((1024, 1536), 1) == 1
