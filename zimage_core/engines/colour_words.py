"""Colours in words, for models that can only be told of a palette: lightness, hue and strength by CIE Lab."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from zimage_core.domain import Language
from zimage_core.imaging.pixels import to_lab

_HUES: Final = (
    (0, "粉红", "pink"), (30, "红", "red"), (55, "橙", "orange"), (80, "米黄", "beige yellow"), (105, "黄", "yellow"),
    (115, "绿", "green"), (195, "青", "teal"), (255, "蓝", "blue"), (310, "紫", "purple"), (345, "粉红", "pink"),
)  # fmt: skip
"""From which Lab hue angle on (degrees) which word: the centres of the basic colour terms, about half way between."""

_NEUTRAL_CHROMA, _TINTED_CHROMA, _STRONG_CHROMA = 4.0, 16.0, 45.0
_BLACK_L, _DARK_L, _PALE_L, _WHITE_L = 12.0, 35.0, 72.0, 94.0


def palette_words(palette: tuple[str, ...], language: Language) -> str:
    """Return a clause that names the first two colours of a palette (#rrggbb each) and asks for no other tint."""
    named = list(dict.fromkeys(colour_words(colour, language) for colour in (palette[:2] or ("#d9d4cc",))))
    if language == "zh":
        return f"背景与台面的颜色是{'和'.join(named)}，白平衡准确，没有偏色"
    return f"Background and surface are {' and '.join(named)}, with neutral white balance and no colour cast"


def colour_words(colour: str, language: Language) -> str:
    """Return a colour (#rrggbb) as people say it: "pale warm grey", "dark blue", 浅米黄色."""
    codes = np.array([[[int(colour[i : i + 2], 16) for i in (1, 3, 5)]]], dtype=np.uint8)
    lightness, a, b = (float(value) for value in to_lab(codes).reshape(3))
    chroma, hue = math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360.0
    chinese = language == "zh"
    if chroma < _NEUTRAL_CHROMA:
        if lightness >= _WHITE_L:
            return "白色" if chinese else "white"
        if lightness <= _BLACK_L:
            return "黑色" if chinese else "black"
        name = ("灰", "grey")
    elif chroma < _TINTED_CHROMA:
        warm = hue >= 330.0 or hue < 110.0
        name = ("暖灰", "warm grey") if warm else ("冷灰", "cool grey")
        if warm and lightness >= _PALE_L:
            name = ("米", "beige")
    else:
        name = next((zh, en) for start, zh, en in reversed(_HUES) if hue >= start)
    shade = ("深", "dark") if lightness < _DARK_L else ("浅", "pale") if lightness >= _PALE_L else ("", "")
    strong = ("鲜", "vivid") if chroma >= _STRONG_CHROMA and not shade[0] else ("", "")
    if chinese:
        return f"{shade[0]}{strong[0]}{name[0]}色"
    return " ".join(word for word in (shade[1], strong[1], name[1]) if word)
