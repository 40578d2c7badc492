from __future__ import annotations

import pytest
from judged_shots import finding, graded

from zimage_core.domain import Likeness, Product
from zimage_core.quality.likeness import sizes_of_one, with_likenesses


def named(name: str, color: str | None = None) -> Product:
    return Product("SKU", name, 1, color=color)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("素白釉面马克杯 350ml", "素白釉面马克杯 450 ML"),
        ("亚麻条纹抱枕 陶土色 45×45cm", "亚麻条纹抱枕 陶土色 50x50cm"),
        ("Phone 8GB+256GB", "Phone 12GB+512GB"),
        ("T-shirt S", "T-shirt XXL"),
        ("马克杯 大号", "马克杯（小号）"),
        ("Mug", "Mug"),
    ],
)
def test_sizes_of_one_product_may_share_a_photo(one: str, other: str) -> None:
    assert sizes_of_one(named(one), named(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("口红 021", "口红 022"),
        ("正红唇膏", "枫叶红唇膏"),
        ("iPhone 15", "iPhone 16"),
        ("Mug", "Mugs"),
        ("Mug 1", "Mug"),
    ],
)
def test_shades_models_and_other_names_may_not(one: str, other: str) -> None:
    assert not sizes_of_one(named(one), named(other))


def test_two_colours_are_two_products_whatever_their_names() -> None:
    assert not sizes_of_one(named("T-shirt S", "red"), named("T-shirt M", "blue"))


def test_without_a_likeness_a_grade_is_itself() -> None:
    good = graded("A", score=0.95)
    assert with_likenesses(good, []) is good


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("repeated_picture", "A", "C"),
        ("repeated_picture", "B", "C"),
        ("sold_twice", "A", "B"),
        ("sold_twice", "B", "B"),
        ("sold_twice", "C", "C"),
    ],
)
def test_a_likeness_lowers_the_letter_and_says_why_first(kind, before, after) -> None:
    likeness = Likeness(kind, "a", "b", "MUG-9", "flat_lay", 0.5)
    seen = with_likenesses(graded(before, finding("fill", 0.5), score=0.9), [likeness])
    assert (seen.letter, seen.score) == (after, 0.9)
    assert "flat lay" in seen.reasons[0]
    assert seen.reasons[1:] == ("fill is 0.5.",)
