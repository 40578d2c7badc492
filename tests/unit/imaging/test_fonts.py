"""The fonts decide pixels: the right face, named, or an error with the cure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zimage_core.errors import ConfigurationError
from zimage_core.imaging import fonts
from zimage_core.imaging.fonts import Family, find_font, load_font, missing_glyphs


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "_FOLDERS", ())
    monkeypatch.setattr(fonts.shutil, "which", lambda _: None)
    find_font.cache_clear()
    yield
    find_font.cache_clear()


@pytest.mark.parametrize("family", ["sans", "serif"])
@pytest.mark.parametrize("bold", [True, False])
def test_the_simplified_chinese_face_of_the_right_weight_is_found(family: Family, bold: bool) -> None:
    font = find_font(family, bold)
    assert load_font(family, bold, 40).getname() == (f"Noto {family.title()} CJK SC", "Bold" if bold else "Regular")
    assert font.path.is_file()
    assert font.path.name in font.fingerprint


def test_the_fingerprint_tells_faces_apart() -> None:
    assert len({find_font(f, b).fingerprint for f in ("sans", "serif") for b in (True, False)}) == 4


@pytest.mark.usefixtures("no_fonts")
def test_a_machine_without_the_font_is_told_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="apt-get install fonts-noto-cjk"):
        find_font("sans", True)


def test_fontconfig_is_asked_where_the_known_folders_have_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_FOLDERS", ())
    find_font.cache_clear()
    try:
        assert find_font("sans", True).name.startswith("Noto Sans CJK SC")
    finally:
        find_font.cache_clear()


def test_characters_that_would_come_out_as_boxes_are_named() -> None:
    assert missing_glyphs("到手价 ¥59 Now $19.99 €5 £3 ・ ®", "sans", True) == ""
    assert missing_glyphs("新品🎉好🎉", "sans", True) == "🎉"
