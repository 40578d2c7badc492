"""How a model is held in memory, and what is given up, in which order, when memory runs out: decisions only.

Nothing here touches a device: sizes go in, a choice with its reason comes out, so every rung can be tested anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from zimage_core.engines.diffusers.options import Options, ProfileName, Quantization

Size = tuple[int, int]
"""(width_px, height_px) of a canvas."""

GIB: Final = 2**30
DRAWING_BYTES: Final = 5 * GIB
"""Activations, graphs and the VAE's decode beside the weights at 1024 x 1024, batch 2, bf16 (3 to 5 GB as estimated
from the model's shapes)."""
LEAST_DRAWING_BYTES: Final = 2 * GIB
"""The same with batch 1 and a tiled VAE."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of each part in the precision it will be loaded in."""

    transformer_bytes: int
    text_encoder_bytes: int
    vae_bytes: int

    @property
    def whole_bytes(self) -> int:
        """All parts together."""
        return self.transformer_bytes + self.text_encoder_bytes + self.vae_bytes


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as its driver describes it."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Profile:
    """How the model is held, and the sentence that says why."""

    name: ProfileName
    reason: str


def choose_quantization(options: Options, parts: Footprint, card: Card | None) -> Quantization:
    """Return the quantisation to load with; it changes pixels, so it follows from what does not change by the hour.

    Asked for, it is taken. Otherwise weights are only quantised in profile `quantized`, or when the card's whole memory
    cannot hold the larger of transformer and text encoder: to nf4 where even int8 would not fit, else to int8.
    """
    if options.quantization != "none":
        return options.quantization
    room = None if card is None else card.total_bytes - LEAST_DRAWING_BYTES
    too_small = room is not None and max(parts.transformer_bytes, parts.text_encoder_bytes) > room
    if options.profile != "quantized" and not (options.profile == "auto" and too_small):
        return "none"
    return "nf4" if room is not None and parts.transformer_bytes // 2 > room else "int8"


def choose_profile(options: Options, parts: Footprint, card: Card | None, quantization: Quantization) -> Profile:
    """Return the profile asked for, or the fastest that fits into the card's free memory, with the reason.

    fast: all parts and DRAWING_BYTES. balanced: the text encoder comes from host memory, so it must fit beside the
    transformer while nothing is drawn. small: one part at a time. Weights that are quantised are `quantized`.
    """
    held = quantization in ("int8", "nf4")
    if held and options.profile in ("balanced", "small"):
        return Profile(
            "quantized", f"profile quantized, not {options.profile}: {quantization} weights stay on the card"
        )
    if options.profile != "auto":
        return Profile(options.profile, f"profile {options.profile}, as asked for")
    if card is None:
        return Profile("fast", "profile fast: there is no GPU, everything is held in host memory")
    free = f"{_gib(card.free_bytes)} of {_gib(card.total_bytes)} GiB are free on {card.name}"
    if held:
        return Profile("quantized", f"profile quantized ({quantization}): {free}")
    drawing = parts.transformer_bytes + parts.vae_bytes
    if parts.whole_bytes + DRAWING_BYTES <= card.free_bytes:
        return Profile("fast", f"profile fast: {free}, all parts take {_gib(parts.whole_bytes)} GiB")
    if parts.whole_bytes + GIB <= card.free_bytes and drawing + DRAWING_BYTES <= card.free_bytes:
        return Profile("balanced", f"profile balanced: {free}; the text encoder waits in host memory while drawing")
    return Profile("small", f"profile small: {free}; one part at a time is on the card, and pictures take longer")


def smaller_profile(profile: Profile, options: Options) -> Profile | None:
    """Return the next profile down, for when loading itself ran out of memory; None where there is none to choose.

    What was free when the profile was chosen may be taken by the time the weights arrive.
    """
    below: dict[ProfileName, ProfileName] = {"fast": "balanced", "balanced": "small"}
    if options.profile != "auto" or profile.name not in below:
        return None
    name = below[profile.name]
    return Profile(name, f"profile {name}, because loading in profile {profile.name} ran out of memory")


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}"


# ---------------------------------------------------------------- when memory runs out

Rung = Literal["halve", "tiling", "offload", "shrink", "give_up"]


@dataclass(frozen=True, slots=True)
class Thrift:
    """What has been given up so far to fit into memory; it holds for the engine's lifetime.

    `limits`: the batch that fitted, by canvas size. `shrunk`: sizes whose soft stages are drawn at three quarters.
    """

    limits: Mapping[Size, int] = field(default_factory=dict)
    tiling: bool = False
    offload: bool = False
    shrunk: frozenset[Size] = frozenset()

    def limit_for(self, size: Size, planned: int) -> int:
        """Return how many pictures of this size are drawn at once: as planned, or what fitted after memory ran out."""
        return min(planned, self.limits.get(size, planned))


def after_out_of_memory(
    thrift: Thrift, size: Size, batch: int, *, can_offload: bool, can_shrink: bool
) -> tuple[Thrift, Rung]:
    """Return what to give up next, cheapest first: a smaller batch, a tiled VAE, offloading, resolution, the picture.

    `can_offload`: there is a device to offload from. `can_shrink`: every picture of the batch may be drawn smaller.
    A batch that ran out of memory is halved, and the half is remembered for its size; siblings never fail together,
    because only a single picture is ever given up.
    """
    if batch > 1:
        return dataclasses.replace(thrift, limits={**thrift.limits, size: batch // 2}), "halve"
    if not thrift.tiling:
        return dataclasses.replace(thrift, tiling=True), "tiling"
    if can_offload and not thrift.offload:
        return dataclasses.replace(thrift, offload=True), "offload"
    if can_shrink and size not in thrift.shrunk:
        return dataclasses.replace(thrift, shrunk=thrift.shrunk | {size}), "shrink"
    return thrift, "give_up"
