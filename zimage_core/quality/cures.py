"""The table of policy: which change can cure which failing check. policy.py says where, experience.py how likely."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from zimage_core.quality.experience import Remedy

CURES: Final[Mapping[str, tuple[Remedy, ...]]] = MappingProxyType(
    {
        "resolution": ("wording",),
        "aspect": ("wording",),
        "blank": ("wording",),
        "noise": ("wording",),
        "sharpness": ("size", "wording"),
        "exposure_clipped": ("wording",),
        "exposure_dark": ("wording",),
        "exposure_shift": ("wording",),
        "grain": ("wording",),
        "banding": ("wording",),
        "blockiness": ("wording",),
        "colour_cast": ("palette", "wording"),
        "unexpected_text": ("wording", "mode"),
        "watermark": ("wording", "mode"),
        "expected_text": ("wording",),
        "text_pixels": ("layout",),
        "text_truth": ("layout",),
        "legibility_contrast": ("layout",),
        "legibility_height": ("layout",),
        "text_over_product": ("layout",),
        "centring": ("wording",),
        "seams": ("wording",),
        "shadow_direction": ("wording", "mode"),
        "fidelity_structure": ("mode",),
        "fidelity_colour": ("mode",),
        "cropping": ("wording",),
        "fill": ("wording",),
        "separation": ("backdrop",),
        "background_purity": ("wording",),
        "brand_colours": (),
        "repeated_picture": ("wording", "backdrop"),
        "sold_twice": (),
    }
)
"""Which changes can cure a failing check, likeliest first; a check that is not here is cured by other words.

backdrop: contrast, then plain. palette: the scene's colours named. layout: another overlay layout. wording: another
paraphrase (and with the number another seed). mode: a safer way to make the picture, text -> inpaint -> stage ->
packshot, as far as the engine goes. size: fewer pixels, so that a soft photo's edges are sharp again; once.
"""

WORTH_A_TRY: Final = 0.05
"""A change that cures less often than this is not paid for: twenty attempts for one picture."""

GUESSES: Final = (0.6, 0.35)
"""What the first and the second cure of a check are thought to succeed at, before there is any history."""
COSTS: Final[Mapping[Remedy, float]] = MappingProxyType({"size": 0.6})
"""Of an attempt, 1.0 = one as planned: three quarters of each side are 0.56 of the pixels."""
