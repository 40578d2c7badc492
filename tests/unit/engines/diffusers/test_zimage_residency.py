"""Which parts are on the device: the profiles, with torch's meta device standing in for a card."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from zimage_core.engines.diffusers.residency import HostCopy, Residency

CARD = torch.device("meta")


@pytest.fixture
def parts() -> Any:
    torch.manual_seed(0)
    return SimpleNamespace(
        transformer=nn.Linear(4, 4), vae=nn.Linear(4, 4), controlnet=None, text_encoder=nn.Linear(4, 4)
    )


def on_card(module: nn.Module) -> bool:
    found = {parameter.device.type for parameter in module.parameters()}
    assert len(found) == 1
    return found == {CARD.type}


def test_a_part_that_was_on_the_card_comes_back_as_it_was() -> None:
    module = nn.Linear(4, 4)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    copy = HostCopy(module, CARD)
    for _ in range(2):
        copy.move_in()
        copy.move_in()
        assert on_card(module)
        copy.move_out()
        assert not on_card(module)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_tied_weights_are_copied_once_and_stay_tied() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    copy = HostCopy(nn.ModuleList([first, second]), CARD)
    assert first.weight is second.weight
    copy.move_in()
    assert first.weight is second.weight
    assert first.bias is not second.bias


def test_fast_holds_everything_on_the_card(parts: Any) -> None:
    residency = Residency(parts, "fast", CARD)
    with residency.for_text() as text_encoder:
        assert on_card(text_encoder)
        assert on_card(parts.transformer)
    assert on_card(parts.text_encoder)


@pytest.mark.parametrize("profile", ["balanced", "quantized"])
def test_balanced_brings_the_text_encoder_in_and_leaves_the_rest(parts: Any, profile: Any) -> None:
    residency = Residency(parts, profile, CARD)
    assert not on_card(parts.text_encoder)
    with residency.for_text() as text_encoder:
        assert on_card(text_encoder)
        assert on_card(parts.transformer)
    assert not on_card(parts.text_encoder)
    residency.ready_to_draw()
    assert on_card(parts.transformer)
    assert on_card(parts.vae)


def test_small_never_holds_text_encoder_and_transformer_together(parts: Any) -> None:
    residency = Residency(parts, "small", CARD)
    residency.ready_to_draw()
    assert on_card(parts.transformer)
    assert not on_card(parts.text_encoder)
    with residency.for_text() as text_encoder:
        assert on_card(text_encoder)
        assert not on_card(parts.transformer)
        assert not on_card(parts.vae)
    assert not on_card(parts.text_encoder)
    residency.ready_to_draw()
    assert on_card(parts.vae)


def test_the_text_encoder_leaves_even_when_encoding_fails(parts: Any) -> None:
    residency = Residency(parts, "balanced", CARD)
    with pytest.raises(RuntimeError, match="no"), residency.for_text():
        raise RuntimeError("no")
    assert not on_card(parts.text_encoder)
