from collections.abc import Callable
from pathlib import Path

import pytest

from zimage_core.prompting import PromptLibrary
from zimage_core.prompting.lint import contrast_ratio


def test_what_we_ship_has_nothing_to_object_to(library: PromptLibrary):
    assert library.lint() == ()


@pytest.mark.parametrize(
    ("file", "key", "value", "at", "said", "severity"),
    [
        ("scenes/packshot.yaml", "default.en", None, "default.en", "no words in 'en'", "error"),
        ("scenes/detail.yaml", "default.zh.mood", ["{{ pirce }} 元"], "default.zh.mood", "'pirce' does not", "error"),
        ("scenes/detail.yaml", "default.zh.mood", ["{{ name "], "default.zh.mood", "does not parse", "error"),
        ("scenes/detail.yaml", "default.zh.mood", ["国家级质感"], "default.zh.mood", "国家级", "error"),
        ("scenes/detail.yaml", "default.zh.mood", ["真实" * 220], "default.zh", "the model reads 512", "error"),
        ("scenes/studio.yaml", "default.stage.light.azimuth_deg", 40, "default.en.light", "from the left", "error"),
        ("scenes/studio.yaml", "default.stage.light.azimuth_deg", 0, "default.zh.light", "is the front", "error"),
        ("scenes/studio.yaml", "default.en.light", ["Soft light"], "default.en.light", "from the front", "error"),
        ("scenes/studio.yaml", "default.en.light", ["Overhead light, left"], "default.en.light", "only 48", "error"),
        ("scenes/studio.yaml", "default.stage.floor", "wood", "default.zh.setting", "The floor is wood", "error"),
        ("scenes/studio.yaml", "default.stage.palette", ["beige"], "default.stage.palette", "#rrggbb", "error"),
        ("scenes/studio.yaml", "default.stage.fill_ratio", 1.2, "default.stage.fill_ratio", "closeup", "error"),
        ("scenes/packshot.yaml", "default.stage.floor", "paper", "default.stage.backdrop", "on white", "error"),
        (
            "scenes/model_wear.yaml",
            "categories.food",
            {"camera": "eye_level"},
            "categories.food",
            "never used",
            "warning",
        ),
        ("brands/nuowu.yaml", "badge_color", "#A8391F", "badge_color", "lower case", "error"),
        ("brands/nuowu.yaml", "badge_text_color", "#c0503a", "badge_text_color", "contrast", "error"),
        ("brands/nuowu.yaml", "badge_text_color", "#e8b0a0", "badge_text_color", "contrast", "warning"),
        ("brands/nuowu.yaml", "style_words_en", [], "style_words_en", "no style words", "warning"),
        ("brands/nuowu.yaml", "style_words_zh", ["爱马仕风"], "style_words_zh", "爱马仕", "error"),
        ("promotions/618.yaml", "ends", "2027-05-01", "ends", "before it starts", "error"),
        ("promotions/618.yaml", "brand", "nobody", "brand", "known: default, nuowu", "error"),
        ("promotions/618.yaml", "badge_en", "", "badge_en", "one language only", "warning"),
        ("promotions/618.yaml", "badge_zh", "全网最低价", "badge_zh", "全网最低", "error"),
        ("promotions/618.yaml", "channels", ["shopify", "shopify"], "channels", "twice", "error"),
    ],
)
def test_a_careful_editor_objects(
    edited: Callable[..., Path], file: str, key: str, value: object, at: str, said: str, severity: str
):
    problems = PromptLibrary.load(edited(file, key, value)).lint()
    assert [p for p in problems if (p.file, p.key, p.severity) == (file, at, severity) and said in p.sentence], problems


def test_a_promotion_of_a_scene_that_was_deleted_is_found(edited: Callable[..., Path]):
    root = edited("promotions/618.yaml", "version", 2)
    (root / "scenes/lifestyle.yaml").unlink()
    problems = PromptLibrary.load(root).lint()
    assert {p.file for p in problems} == {
        f"promotions/{slug}.yaml" for slug in ("618", "black_friday", "double11", "everyday")
    }
    assert all("no scene 'lifestyle'" in p.sentence for p in problems)


def test_errors_come_before_warnings(edited: Callable[..., Path]):
    edited("brands/default.yaml", "style_words_en", [])
    problems = PromptLibrary.load(edited("promotions/618.yaml", "ends", "2027-05-01")).lint()
    assert [p.severity for p in problems] == ["error", "warning"]


def test_a_fill_light_on_the_other_side_is_no_contradiction(edited: Callable[..., Path]):
    light = ["Key light from the left, a weak fill from the right"] * 2
    assert PromptLibrary.load(edited("scenes/studio.yaml", "default.en.light", light)).lint() == ()


def test_contrast_is_what_wcag_says():
    assert contrast_ratio("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast_ratio("#ffffff", "#ffffff") == pytest.approx(1.0)
    assert contrast_ratio("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the well-known AA grey
