"""Foreign text never becomes a path that leads elsewhere, nor a formula that runs."""

from __future__ import annotations

import string
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zimage_core.catalogue import path_safe, spreadsheet_safe

ALLOWED = set(string.ascii_letters + string.digits + "._-")
NASTY = st.text(alphabet=st.one_of(st.sampled_from("./\\-_:~%$ aA0\x00\n\u202e名é"), st.characters()), max_size=90)


@pytest.mark.parametrize("text", ["MUG-0101", "a", "0", "A.b_c-1", "x" * 64, "6900000000001"])
def test_a_plain_sku_is_its_own_path(text: str) -> None:
    assert path_safe(text) == text


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("../../etc/passwd", "etc-passwd-"),
        ("a/b", "a-b-"),
        ("..", "x-"),
        (".", "x-"),
        ("", "x-"),
        ("素白杯", "x-"),
        ("crème brûlée", "creme-brulee-"),
        (".hidden", "hidden-"),
        ("-rf", "rf-"),
        ("name.", "name-"),
        ("a..b", "a-b-"),
        ("CON", "CON-"),
        ("nul.jpg", "nul-jpg-"),
        ("x" * 65, "x" * 40 + "-"),
        ("sku\n", "sku-"),
    ],
)
def test_any_other_text_becomes_a_readable_slug_with_a_hash(text: str, slug: str) -> None:
    name = path_safe(text)
    assert name.startswith(slug)
    assert len(name) == len(slug) + 16


@given(NASTY)
@example("a-0123456789abcdef")
def test_a_path_safe_name_is_one_harmless_part(text: str) -> None:
    name = path_safe(text)
    assert 1 <= len(name) <= 64
    assert set(name) <= ALLOWED
    assert name[0] not in ".-"
    assert not name.endswith(".")
    assert ".." not in name
    assert PurePosixPath("root", name).parent == PurePosixPath("root")
    assert PureWindowsPath("root", name).parent == PureWindowsPath("root")
    assert path_safe(text) == name


@given(NASTY, NASTY)
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    assert (path_safe(one) == path_safe(other)) == (one == other)


@given(NASTY)
def test_a_name_made_from_a_text_is_not_the_name_of_another_text(text: str) -> None:
    name = path_safe(text)
    assert name == text or path_safe(name) != name


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u3000=1"])
def test_a_formula_is_made_text(text: str) -> None:
    assert spreadsheet_safe(text) == f"'{text}"


@given(st.text(max_size=40))
def test_what_leaves_is_no_formula_and_otherwise_untouched(text: str) -> None:
    safe = spreadsheet_safe(text)
    assert safe.removeprefix("'") == text.removeprefix("'") or safe == f"'{text}"
    assert safe[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    if text[:1].isalnum():
        assert safe == text
