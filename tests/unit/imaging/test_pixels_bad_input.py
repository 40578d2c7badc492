"""What suppliers send that is no ordinary photo: each kind has one outcome, a photo with a note or one clear error."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zimage_core.errors import ImageError
from zimage_core.imaging.jpeg_scans import MAX_SCANS, scan_count
from zimage_core.imaging.pixels import read_photo

FORMS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "products"


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def leaves(side_px: int = 96) -> Image.Image:
    """A picture with detail, so that every encoder has something to say."""
    rng = np.random.default_rng(4)
    return Image.fromarray(rng.integers(0, 256, (side_px, side_px, 3)).astype(np.uint8))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


# ---------------------------------------------------------------- small, cut off, nothing


@pytest.mark.parametrize("form", FORMS)
def test_one_pixel_is_a_photo(form: str) -> None:
    photo = read_photo(saved(Image.new("RGB", (1, 1), (200, 200, 200)), form))
    assert photo.rgb.shape == (1, 1, 3)
    assert np.abs(photo.rgb.astype(int) - 200).max() <= 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_refused_by_name_and_says_what_to_do(tmp_path: Path, form: str, share: float) -> None:
    whole = saved(leaves(), form)
    path = tmp_path / f"mug-front.{form.lower()}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError, match=r"^mug-front\.") as caught:
        read_photo(path)
    assert "ask for the file again" in caught.value.sentence or "save it as one of these" in caught.value.sentence


def test_the_example_that_was_cut_off_in_transfer_is_refused() -> None:
    with pytest.raises(ImageError, match=r"^phone_truncated\.jpg is damaged .* truncated.*; ask for the file again"):
        read_photo(EXAMPLES / "phone_truncated.jpg")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8\xff", id="three bytes"),
        pytest.param(b"%PDF-1.7\n", id="pdf"),
        pytest.param(b"<!doctype html><title>404</title>", id="a web page"),
        pytest.param(b"PK\x03\x04" + b"\0" * 60, id="zip"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, id="heic"),
        pytest.param(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 40, id="video"),
        pytest.param(saved(leaves(8), "GIF"), id="gif"),
        pytest.param(b"\0" * 4096, id="zeros"),
    ],
)
def test_what_is_no_picture_of_ours_is_named_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "lamp.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"^lamp\.jpg .*; (save it as one of these|ask for the file again)\."):
        read_photo(path)


def test_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "photos.jpg"
    folder.mkdir()
    with pytest.raises(ImageError, match=r"^photos\.jpg cannot be read"):
        read_photo(folder)


# ---------------------------------------------------------------- several frames, deep and odd pixels


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("PNG", "It has 3 frames; only the first is used."),
        ("WEBP", "It has 3 frames; only the first is used."),
        ("AVIF", "It has 3 frames; only the first is used."),
        ("TIFF", "It has several pages; only the first is used."),
    ],
)
def test_of_several_frames_the_first_is_taken(form: str, note: str) -> None:
    frames = [Image.new("RGB", (32, 24), (k, 90, 90)) for k in (200, 100, 0)]
    photo = read_photo(saved(frames[0], form, save_all=True, append_images=frames[1:]))
    assert photo.rgb.shape == (24, 32, 3)
    assert abs(int(photo.rgb[12, 16, 0]) - 200) <= 4
    assert photo.notes == (note,)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_usual_pixel_form_of_tiff_becomes_rgb(mode: str) -> None:
    photo = read_photo(saved(Image.new(mode, (16, 12)), "TIFF"))
    assert photo.rgb.shape == (12, 16, 3)
    assert photo.rgb.dtype == np.uint8
    assert (photo.alpha is None) == (mode not in {"LA", "PA", "RGBA"})


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_without_one_meaning_are_refused_with_what_to_do(mode: str) -> None:
    with pytest.raises(ImageError, match=f"stored as {mode} pixels.*save it as RGB"):
        read_photo(saved(Image.new(mode, (16, 12)), "TIFF"))


# ---------------------------------------------------------------- files that ask for too much


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_chunk_that_unpacks_to_200_megabytes_is_refused_before_it_does(kind: bytes) -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\1\2\3" * 8) * 8)
    swollen = b"a\0\0" + zlib.compress(b"\0" * 200_000_000, 9)
    bomb = png_of((b"IHDR", header), (kind, swollen), (b"IDAT", pixels), (b"IEND", b""))
    with pytest.raises(ImageError, match="too large"):
        read_photo(bomb)


def test_a_huge_picture_is_refused_from_its_header() -> None:
    header = struct.pack(">IIBBBBB", 9_000, 9_000, 8, 2, 0, 0, 0)
    with pytest.raises(ImageError, match=r"9000 x 9000 \(81.0 megapixels\).*not decoded; reduce it first"):
        read_photo(png_of((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")))


def test_a_jpeg_that_paints_itself_over_and_over_is_refused_before_it_is_decoded() -> None:
    sound = saved(Image.new("L", (4000, 4000), 128), "JPEG", progressive=True)
    last = sound.rindex(b"\xff\xda")
    bomb = sound[:-2] + sound[last:-2] * 5_000 + b"\xff\xd9"
    assert len(bomb) < 300_000, "a few bytes a scan"
    before = time.process_time()
    with pytest.raises(ImageError, match=f"JPEG of more than {MAX_SCANS} scans .*save it again"):
        read_photo(bomb)
    assert time.process_time() - before < 5.0


@pytest.mark.parametrize(
    ("options", "scans"), [({}, 1), ({"progressive": True}, 10), ({"quality": 95, "subsampling": 0}, 1)]
)
def test_scans_of_ordinary_files_are_counted(options: dict[str, Any], scans: int) -> None:
    assert scan_count(saved(leaves(), "JPEG", **options)) == scans


def test_neither_a_thumbnail_nor_what_follows_the_picture_is_counted() -> None:
    thumbnail = saved(leaves(32), "JPEG", progressive=True)
    sound = saved(leaves(), "JPEG", exif=b"Exif\0\0" + thumbnail)
    assert scan_count(sound) == 1
    assert scan_count(sound + b"\xff\xda\0\x02" * 500) == 1, "a motion photo carries a film behind its picture"
    assert read_photo(sound + b"\xff\xda\0\x02" * 500).rgb.shape == (96, 96, 3)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xe0\xff\xff", b"GIF8"])
def test_counting_ends_on_any_bytes(data: bytes) -> None:
    assert scan_count(data) in {0, 1}


def test_a_tiff_with_ten_thousand_pages_costs_no_more_than_one_with_two() -> None:
    page = bytearray(saved(Image.new("RGB", (16, 16), (9, 9, 9)), "TIFF"))
    at = struct.unpack("<I", page[4:8])[0]
    length = 2 + 12 * struct.unpack("<H", page[at : at + 2])[0]
    directory = bytes(page[at : at + length])
    page += b"\0" * (len(page) % 2)
    page[at + length : at + length + 4] = struct.pack("<I", len(page))
    for _ in range(10_000):
        page += directory + struct.pack("<I", len(page) + length + 4)
    page[-4:] = b"\0\0\0\0"
    before = time.process_time()
    assert read_photo(bytes(page)).notes == ("It has several pages; only the first is used.",)
    assert time.process_time() - before < 2.0


def test_pages_of_a_tiff_that_lead_in_a_circle_end() -> None:
    page = bytearray(saved(Image.new("RGB", (16, 16), (9, 9, 9)), "TIFF"))
    at = struct.unpack("<I", page[4:8])[0]
    length = 2 + 12 * struct.unpack("<H", page[at : at + 2])[0]
    page[at + length : at + length + 4] = struct.pack("<I", at)
    assert read_photo(bytes(page)).rgb.shape == (16, 16, 3)
