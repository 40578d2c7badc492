from __future__ import annotations

import pytest

from zimage_core.engines.colour_words import colour_words, palette_words


@pytest.mark.parametrize(
    ("colour", "english", "chinese"),
    [
        ("#ffffff", "white", "白色"),
        ("#111111", "black", "黑色"),
        ("#808080", "grey", "灰色"),
        ("#e6e0d7", "pale beige", "浅米色"),
        ("#2b3a55", "dark blue", "深蓝色"),
        ("#c01818", "vivid red", "鲜红色"),
        ("#7d8c6f", "green", "绿色"),
    ],
)
def test_colours_are_named_as_people_name_them(colour: str, english: str, chinese: str) -> None:
    assert colour_words(colour, "en") == english
    assert colour_words(colour, "zh") == chinese


def test_a_palette_is_named_by_its_first_two_colours_once_each() -> None:
    assert palette_words(("#ffffff", "#fefefe", "#c01818"), "en").startswith("Background and surface are white, with")
    assert "浅米色和深蓝色" in palette_words(("#e6e0d7", "#2b3a55"), "zh")
    assert "beige" in palette_words((), "en")
