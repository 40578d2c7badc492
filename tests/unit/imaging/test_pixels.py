"""Reading photos that may be anything, and the pixel arithmetic that everything else stands on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

from zimage_core.errors import ImageError
from zimage_core.imaging import pixels
from zimage_core.imaging.pixels import (
    decode_png,
    encode_png,
    from_linear,
    read_photo,
    resize,
    resize_rgba,
    sha256_hex,
    to_lab,
    to_linear,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def half_and_half(mode: str = "RGB", left: Any = (200, 30, 60), right: Any = (20, 160, 220)) -> Image.Image:
    """64 x 48: one colour to the left, another to the right."""
    image = Image.new(mode, (64, 48), right)
    image.paste(left, (0, 0, 32, 48))
    return image


# ---------------------------------------------------------------- what is read


def test_a_photo_is_read_as_it_is_and_named_by_its_bytes() -> None:
    path = EXAMPLES / "products" / "mug.jpg"
    photo = read_photo(path)
    assert photo.rgb.shape == (1600, 1600, 3)
    assert photo.rgb.dtype == np.uint8
    assert photo.alpha is None
    assert photo.notes == ()
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_hex(path.read_bytes())
    assert np.array_equal(photo.rgb, read_photo(path.read_bytes()).rgb)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
    ],
)
def test_every_form_gives_the_same_picture(form: str, options: dict[str, Any]) -> None:
    rgb = read_photo(saved(half_and_half(), form, **options)).rgb.astype(int)
    assert np.abs(rgb[24, 10] - (200, 30, 60)).max() <= 6
    assert np.abs(rgb[24, 50] - (20, 160, 220)).max() <= 6


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        pytest.param(half_and_half("L", 40, 220), (40, 40, 40), (220, 220, 220), id="grey"),
        pytest.param(half_and_half("1", 0, 1), (0, 0, 0), (255, 255, 255), id="one bit"),
        pytest.param(half_and_half().quantize(4), (200, 30, 60), (20, 160, 220), id="palette"),
    ],
)
def test_grey_bitmap_and_palette_become_rgb(image: Image.Image, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    rgb = read_photo(saved(image)).rgb.astype(int)
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb[24, 10] - left).max() <= 1
    assert np.abs(rgb[24, 50] - right).max() <= 1


def test_sixteen_bit_grey_is_rounded_not_truncated() -> None:
    deep = np.full((48, 64), 0x80FF, np.uint16)
    photo = read_photo(saved(Image.fromarray(deep)))
    assert photo.rgb[0, 0].tolist() == [128, 128, 128]
    assert np.array_equal(read_photo(saved(Image.fromarray(np.full((8, 8), 65_535, np.uint16)))).rgb[0, 0], (255,) * 3)
    assert any("16-bit" in note for note in photo.notes)


def test_sixteen_bit_colour_is_read() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 51_400, 7_710, 15_420) * 8 for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    assert np.abs(read_photo(data).rgb[4, 4].astype(int) - (200, 30, 60)).max() <= 1


def test_cmyk_without_a_profile_is_converted_and_says_so() -> None:
    photo = read_photo(saved(half_and_half("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "JPEG", quality=95))
    assert np.abs(photo.rgb[24, 10].astype(int) - (255, 0, 0)).max() < 12
    assert np.abs(photo.rgb[24, 50].astype(int) - (255, 255, 255)).max() < 6
    assert any("CMYK without" in note for note in photo.notes)


# ---------------------------------------------------------------- transparency


def test_transparency_is_kept_beside_the_colours() -> None:
    image = half_and_half("RGBA", (200, 30, 60, 255), (20, 160, 220, 0))
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        photo = read_photo(saved(image, form, **options))
        assert photo.alpha is not None, form
        assert photo.alpha.shape == (48, 64)
        assert photo.alpha[24, 10] == 255
        assert photo.alpha[24, 50] == 0
        assert photo.rgb[24, 10].tolist() == [200, 30, 60]


def test_a_transparent_colour_of_a_palette_is_transparency() -> None:
    image = half_and_half().quantize(4)
    clear = image.getpixel((50, 24))
    photo = read_photo(saved(image, "PNG", transparency=clear))
    assert photo.alpha is not None
    assert (photo.alpha[24, 10], photo.alpha[24, 50]) == (255, 0)


def test_alpha_that_is_opaque_everywhere_is_none() -> None:
    assert read_photo(saved(half_and_half("RGBA", (1, 2, 3, 255), (4, 5, 6, 255)))).alpha is None


# ---------------------------------------------------------------- orientation, frames


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(form: str, orientation: int) -> None:
    """The picture is stored turned as a camera would, so that undoing its orientation tag gives back this one."""
    upright = Image.new("RGB", (64, 32), (255, 255, 255))
    upright.paste((255, 0, 0), (0, 0, 16, 16))
    upright.paste((0, 0, 255), (48, 16, 64, 32))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if form in {"JPEG", "AVIF"} else {"lossless": True} if form == "WEBP" else {}
    rgb = read_photo(saved(stored, form, exif=exif, **options)).rgb.astype(int)
    assert rgb.shape == (32, 64, 3)
    assert np.abs(rgb[8, 8] - (255, 0, 0)).max() < 40
    assert np.abs(rgb[24, 56] - (0, 0, 255)).max() < 40
    assert np.abs(rgb[24, 8] - 255).max() < 40


def test_of_an_animation_the_first_frame_is_taken_and_it_says_so() -> None:
    frames = [half_and_half(), Image.new("RGB", (64, 48), (0, 0, 0))]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 2
    photo = read_photo(data)
    assert photo.rgb[24, 10].tolist() == [200, 30, 60]
    assert photo.notes == ("It has 2 frames; only the first is used.",)


# ---------------------------------------------------------------- colour profiles


def other_rgb_profile() -> bytes:
    """A linear-light profile with sRGB's primaries, built by hand: nothing like sRGB in its curve."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = struct.pack(">4sIIH", b"curv", 0, 1, 256) + b"\0\0"  # u8Fixed8: gamma 1.0
    count = struct.unpack(">I", profile[128:132])[0]
    at = len(profile)
    profile += curve
    for index in range(count):
        entry = 132 + 12 * index
        if bytes(profile[entry : entry + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            profile[entry + 4 : entry + 12] = struct.pack(">II", at, 14)
    profile[0:4] = struct.pack(">I", len(profile))
    return bytes(profile)


def test_an_embedded_profile_is_converted_to_srgb() -> None:
    photo = read_photo(saved(half_and_half(left=(55, 55, 55)), "PNG", icc_profile=other_rgb_profile()))
    linear = 55 / 255
    expected = round(255 * (1.055 * linear ** (1 / 2.4) - 0.055))
    assert np.abs(photo.rgb[24, 10].astype(int) - expected).max() <= 2
    assert any(note.startswith("Converted to sRGB") for note in photo.notes)


def test_srgb_under_its_own_name_changes_no_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    photo = read_photo(saved(image, "PNG", icc_profile=profile))
    assert np.array_equal(photo.rgb, np.asarray(image))
    assert photo.notes == ()


@pytest.mark.parametrize(
    ("mode", "profile", "note"),
    [
        ("RGB", b"not a profile", "damaged and was ignored"),
        ("L", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), "is for RGB, not for its L pixels"),
    ],
)
def test_a_profile_of_no_use_is_ignored_and_noted(mode: str, profile: bytes, note: str) -> None:
    photo = read_photo(saved(half_and_half(mode, *((90, 180) if mode == "L" else ())), "PNG", icc_profile=profile))
    assert photo.rgb.shape == (48, 64, 3)
    assert any(note in said for said in photo.notes)


def test_a_profile_does_not_touch_transparency() -> None:
    image = half_and_half("RGBA", (55, 55, 55, 200), (20, 160, 220, 0))
    photo = read_photo(saved(image, "PNG", icc_profile=other_rgb_profile()))
    assert photo.alpha is not None
    assert photo.alpha[24, 10] == 200
    assert photo.rgb[24, 10, 0] > 100


# ---------------------------------------------------------------- what is refused


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        bomb += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with pytest.raises(ImageError, match="far above 80 megapixels and was not decoded"):
        read_photo(bomb)
    with pytest.raises(ImageError, match="too large and was not decoded"):
        decode_png(bomb)


def test_the_limit_is_the_callers() -> None:
    data = saved(Image.new("RGB", (2000, 1500)))
    assert read_photo(data, max_megapixels=3.0).rgb.shape == (1500, 2000, 3)
    with pytest.raises(ImageError, match=r"2000 x 1500 \(3.0 megapixels\), above the limit of 2.5"):
        read_photo(data, max_megapixels=2.5)


def test_a_side_too_long_for_any_tool_is_refused() -> None:
    with pytest.raises(ImageError, match="a side is above 32000 px"):
        read_photo(saved(Image.new("L", (33_000, 2))))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a readable JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable"),
        (saved(half_and_half(), "GIF"), "not a readable"),
        (saved(half_and_half(), "JPEG")[:-200], "damaged and cannot be decoded"),
        (saved(half_and_half())[:60], "damaged and cannot be decoded"),
        (saved(half_and_half(), "TIFF", compression="tiff_lzw")[:200], "damaged|not a readable"),
        (saved(Image.new("F", (8, 8)), "TIFF"), "stored as F pixels"),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        read_photo(data)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"mug-7.jpg cannot be read: No such file"):
        read_photo(tmp_path / "mug-7.jpg")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_damage_anywhere_gives_pixels_or_an_image_error_and_nothing_else(form: str) -> None:
    sound = saved(half_and_half(), form)
    chance = np.random.default_rng(11)
    for _ in range(60):
        hurt = bytearray(sound)
        for at in chance.integers(0, len(hurt), 4):
            hurt[at] = int(chance.integers(0, 256))
        with contextlib.suppress(ImageError):
            assert read_photo(bytes(hurt), max_megapixels=1.0).rgb.ndim == 3


# ---------------------------------------------------------------- PNG


def test_png_is_lossless_and_the_same_bytes_every_time() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    data = encode_png(rgb)
    assert data == encode_png(rgb.copy())
    assert np.array_equal(decode_png(data), rgb)


def test_png_refuses_what_it_does_not_take() -> None:
    with pytest.raises(ImageError, match=r"takes \(H, W, 3\) uint8"):
        encode_png(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ImageError, match="not a PNG"):
        decode_png(b"JFIF")
    with pytest.raises(ImageError, match="The PNG is damaged"):
        decode_png(encode_png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))[:4000])


# ---------------------------------------------------------------- size and colour


def test_shrinking_does_not_alias() -> None:
    """A one-pixel chequerboard must become grey: filters that look at four or sixteen pixels leave a pattern."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    rgb = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    small = resize(rgb, 100, 77)
    assert small.shape == (77, 100, 3)
    assert np.abs(small.astype(int) - 127.5).max() < 6


def test_each_axis_is_resized_by_its_own_direction() -> None:
    rgb = np.zeros((100, 50, 3), np.uint8)
    rgb[:, 25:] = 255
    changed = resize(rgb, 200, 30)
    assert changed.shape == (30, 200, 3)
    assert changed[:, :80].max() <= 8
    assert changed[:, 120:].min() >= 247
    assert np.array_equal(resize(rgb, 50, 100), rgb)
    with pytest.raises(ImageError, match="cannot be resized to 0 x 10"):
        resize(rgb, 0, 10)


def test_resizing_a_cutout_brings_no_dark_rim() -> None:
    rgba = np.zeros((80, 80, 4), np.uint8)
    rgba[20:60, 20:60] = (240, 230, 220, 255)
    for side in (33, 200):
        sized = resize_rgba(rgba, side, side)
        rim = sized[(sized[..., 3] > 10) & (sized[..., 3] < 245)]
        assert rim.size
        assert np.abs(rim[:, :3].astype(int) - (240, 230, 220)).max() <= 12
        assert (sized[sized[..., 3] == 0] == 0).all()


def test_linear_light_and_back_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(from_linear(to_linear(levels)), levels)
    assert to_linear(np.array([188], np.uint8))[0] == pytest.approx(0.5, abs=0.005)
    assert from_linear(np.array([-0.2, 1.7], np.float32)).tolist() == [0, 255]


def test_lab_agrees_with_published_values() -> None:
    """sRGB red, D65: L 53.24, a 80.09, b 67.20 (Lindbloom's calculator); white is L 100 without colour."""
    lab = to_lab(np.array([[(255, 0, 0), (255, 255, 255), (0, 0, 0)]], np.uint8))
    assert lab[0, 0] == pytest.approx((53.24, 80.09, 67.20), abs=0.15)
    assert lab[0, 1] == pytest.approx((100, 0, 0), abs=0.05)
    assert lab[0, 2] == pytest.approx((0, 0, 0), abs=0.05)


def test_opencv_keeps_to_one_thread_of_its_own() -> None:
    assert pixels.cv2.getNumThreads() == 1
