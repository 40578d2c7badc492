import dataclasses
from collections.abc import Callable
from itertools import product as pairs
from pathlib import Path
from typing import get_args

import pytest

from zimage_core.domain import Category, Clause, Language, Product, Prompt, SceneName
from zimage_core.errors import PromptError
from zimage_core.prompting import MAX_PROMPT_TOKENS, PromptLibrary, estimated_tokens


def compose(library: PromptLibrary, product: Product, scene: SceneName, language: Language = "zh", **more: object):
    promotion = library.promotion("618")
    mode = more.pop("mode", None)
    resolved = library.scene(scene, product.category)
    if mode:
        resolved = dataclasses.replace(resolved, mode=mode)
    answer = library.compose(product, resolved, library.brand("nuowu"), promotion, language=language, **more)
    assert isinstance(answer, Prompt)
    return answer


def test_the_shipped_library_holds_what_the_project_speaks_of(library: PromptLibrary):
    assert set(library.scene_names) == set(get_args(SceneName))
    assert library.promotion_slugs == ("618", "black_friday", "double11", "everyday")
    assert library.brand_slugs == ("default", "nuowu")
    assert library.promotion("618").scenes == ("packshot", "studio", "lifestyle")
    assert library.promotion("618").badge_zh == "618年中大促"
    assert library.promotion("everyday").badge_zh == ""
    assert library.promotion("black_friday").language == "en"
    assert library.lead_days("618") == 14


def test_unknown_names_are_answered_with_the_known_ones(library: PromptLibrary):
    with pytest.raises(PromptError, match="no promotion '619'; known promotions: 618, black_friday"):
        library.promotion("619")
    with pytest.raises(PromptError, match="no brand 'x'; known brands: default, nuowu"):
        library.brand("x")
    with pytest.raises(PromptError, match="known scenes: detail, flat_lay"):
        library.scene("poster", "home")  # type: ignore[arg-type]


def test_what_suits_is_data(library: PromptLibrary):
    assert library.suits("flat_lay", "beauty")
    assert not library.suits("flat_lay", "electronics")
    assert [c for c in get_args(Category) if library.suits("model_wear", c)] == ["fashion"]
    assert all(library.suits("packshot", c) for c in get_args(Category))


def test_a_stage_is_described_empty_or_the_engine_would_paint_a_second_mug(library: PromptLibrary, mug: Product):
    zh, en = compose(library, mug, "lifestyle"), compose(library, mug, "lifestyle", "en")
    assert "马克杯" not in zh.text
    assert "mug" not in en.text
    assert "空无一物" in zh.text
    assert "empty" in en.text
    assert "杯子" in zh.negative


def test_a_product_drawn_from_words_is_named_with_what_is_known_of_it(library: PromptLibrary, mug: Product):
    zh, en = compose(library, mug, "lifestyle", mode="text"), compose(library, mug, "lifestyle", "en", mode="text")
    assert "素白釉面马克杯 350ml，白色，陶瓷材质" in zh.text
    assert "Glazed white mug 350 ml" in en.text
    assert "空无一物" not in zh.text
    bare = compose(library, dataclasses.replace(mug, color=None, material=None, name_en=None), "studio", mode="text")
    assert "None" not in bare.text
    assert "材质" not in bare.text.split("。")[0]


def test_a_colour_that_the_name_already_says_is_not_said_twice(library: PromptLibrary, mug: Product):
    lamp = dataclasses.replace(mug, name="折臂台灯 鼠尾草绿", color="鼠尾草绿")
    assert compose(library, lamp, "studio", mode="text").text.count("鼠尾草绿") == 1


def test_every_prompt_can_be_traced_to_files_and_versions(library: PromptLibrary, mug: Product):
    prompt = compose(library, mug, "studio", mode="text")
    assert prompt.text == "".join(f"{clause.text}。" for clause in prompt.clauses)
    version = library.scene("studio", "home").version
    assert {(c.file, c.version) for c in prompt.clauses[:-1]} == {("scenes/studio.yaml", version)}
    brand = library.brand("nuowu")
    assert prompt.clauses[-1] == Clause("克制留白、自然质感、安静耐看", "brands/nuowu.yaml", brand.version)


def test_wordings_differ_in_words_but_never_run_out(library: PromptLibrary, mug: Product):
    scene = library.scene("lifestyle", "home")
    count = library.wordings(scene, "zh")
    texts = [compose(library, mug, "lifestyle", wording=w).text for w in range(count)]
    assert count >= 6
    assert len(set(texts)) == count
    assert compose(library, mug, "lifestyle", wording=count).text == texts[0]
    first, second = (compose(library, mug, "lifestyle", wording=w).clauses[:-1] for w in (0, 1))
    assert all(a.text != b.text for a, b in zip(first, second, strict=True))


def test_a_packshot_does_not_change_with_taste(library: PromptLibrary, mug: Product):
    promotion, scene = library.promotion("618"), library.scene("packshot", "home")
    one, other = (library.compose(mug, scene, library.brand(b), promotion, language="zh") for b in library.brand_slugs)
    assert one == other


def test_two_promotions_that_want_the_same_picture_share_its_prompt(library: PromptLibrary, mug: Product):
    scene, brand = library.scene("studio", "home"), library.brand("nuowu")
    one, other = (
        library.compose(mug, scene, brand, library.promotion(slug), language="zh") for slug in ("618", "double11")
    )
    assert one == other


@pytest.mark.parametrize(("scene", "language"), list(pairs(get_args(SceneName), get_args(Language))))
def test_every_scene_speaks_to_every_category_within_the_models_window(
    library: PromptLibrary, mug: Product, scene: SceneName, language: Language
):
    wordy = dataclasses.replace(mug, name="长" * 500, name_en="long name " * 50, material="料" * 500)
    for category in get_args(Category):
        for mode in ("stage", "text", "inpaint", "packshot"):
            product = dataclasses.replace(wordy, category=category)
            prompt = compose(library, product, scene, language, mode=mode)
            assert estimated_tokens(prompt.text) <= MAX_PROMPT_TOKENS
            assert prompt.negative
            assert "{" not in prompt.text


def test_a_language_that_a_scene_lacks_is_said_when_it_is_asked_for(edited: Callable[..., Path], mug: Product):
    library = PromptLibrary.load(edited("scenes/packshot.yaml", "default.en", None))
    assert compose(library, mug, "packshot", "zh")
    with pytest.raises(PromptError, match=r"scenes/packshot\.yaml: has no words in 'en'"):
        compose(library, mug, "packshot", "en")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ price }} 元", "'price' is undefined"),
        ("{{ name.__class__.__mro__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% if false %}x{% endif %}", "came out empty"),
        ("{{ name ", "cannot be filled in"),
    ],
)
def test_a_template_that_cannot_be_filled_in_names_its_file_and_key(
    edited: Callable[..., Path], mug: Product, template: str, said: str
):
    library = PromptLibrary.load(edited("scenes/detail.yaml", "default.zh.mood", [template]))
    with pytest.raises(PromptError, match=r"scenes/detail\.yaml: zh\.mood") as caught:
        compose(library, mug, "detail")
    assert said in str(caught.value)


def test_a_prompt_that_the_model_would_cut_in_silence_is_refused(edited: Callable[..., Path], mug: Product):
    library = PromptLibrary.load(edited("scenes/detail.yaml", "default.zh.mood", ["真实的细节" * 110]))
    with pytest.raises(PromptError, match=r"the zh prompt is about 6\d\d tokens long and the model reads 512"):
        compose(library, mug, "detail")


def test_a_scene_may_ask_for_the_promotion_and_then_differs_by_it(edited: Callable[..., Path], mug: Product):
    library = PromptLibrary.load(edited("scenes/detail.yaml", "default.zh.mood", ["{{ promotion }}的气氛"]))
    assert "618年中大促的气氛" in compose(library, mug, "detail").text


@pytest.mark.parametrize(
    "badge", ["全网最低价", "最 低 价", "618 极致狂欢", "No.1 之选", "全 国 第 一", "１００％正品"]
)
def test_a_promotion_that_writes_an_absolute_claim_over_pictures_is_refused(edited: Callable[..., Path], badge: str):
    claiming = PromptLibrary.load(edited("promotions/618.yaml", "badge_zh", badge))
    with pytest.raises(PromptError, match=r"promotions/618\.yaml writes “.*” over pictures, and “.*” may not stand"):
        claiming.promotion("618")
    assert claiming.promotion("everyday").badge_zh == ""


def test_a_word_that_is_a_claim_only_in_a_badge_is_no_claim_in_a_products_text(library: PromptLibrary, mug: Product):
    assert library.refuse(dataclasses.replace(mug, selling_points=("最大直径 12 cm", "独家花纹"))) is None
