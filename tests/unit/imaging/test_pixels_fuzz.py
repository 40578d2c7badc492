"""The decoder boundary under files damaged on purpose: a photo or an ImageError, in bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import resource
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from zimage_core.errors import ImageError
from zimage_core.imaging.jpeg_scans import MAX_SCANS, scan_count
from zimage_core.imaging.pixels import Photo, decode_png, read_photo

MAX_MEGAPIXELS = 1.0
MAX_CPU_S = 20.0
MAX_GROWTH_KIB = 400 * 1024
SEEDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("RGB", "JPEG", {"quality": 90}),
    "jpeg progressive": ("RGB", "JPEG", {"quality": 80, "progressive": True}),
    "jpeg cmyk": ("CMYK", "JPEG", {}),
    "png": ("RGB", "PNG", {}),
    "png palette": ("P", "PNG", {}),
    "png alpha": ("RGBA", "PNG", {}),
    "png 16 bit": ("I;16", "PNG", {}),
    "webp": ("RGB", "WEBP", {"quality": 80}),
    "webp lossless": ("RGBA", "WEBP", {"lossless": True}),
    "avif": ("RGB", "AVIF", {"quality": 60}),
    "tiff": ("RGB", "TIFF", {}),
    "tiff lzw": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "tiff deflate": ("CMYK", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "bmp": ("RGB", "BMP", {}),
}

Damage = tuple[str, float, bytes]
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "double", "zero"]),
        st.floats(0.0, 1.0),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


@cache
def sound(kind: str) -> bytes:
    mode, form, options = SEEDS[kind]
    rng = np.random.default_rng(8)
    image = Image.fromarray(rng.integers(0, 256, (24, 32, 3)).astype(np.uint8))
    deep = Image.fromarray(rng.integers(0, 65_536, (24, 32)).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    extra: dict[str, Any] = {} if form in {"BMP", "TIFF"} else {"exif": exif}
    if mode in {"RGB", "RGBA", "P"} and form != "BMP":
        extra["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    (deep if mode == "I;16" else image.convert(mode)).save(buffer, form, **options, **extra)
    return buffer.getvalue()


def hurt(data: bytes, damages: list[Damage]) -> bytes:
    """Damage bytes as transfers, disks and people do: changed, cut off, inserted, doubled, zeroed."""
    made = bytearray(data)
    for how, where, value in damages:
        at = int(where * max(0, len(made) - 1))
        if how == "set":
            made[at : at + len(value)] = value
        elif how == "cut":
            del made[at + 1 :]
        elif how == "insert":
            made[at:at] = value
        elif how == "double":
            made[at:at] = made[at : at + 64]
        else:
            made[at : at + 40] = b"\0" * len(made[at : at + 40])
    return bytes(made)


def check(photo: Photo) -> None:
    height, width = photo.rgb.shape[:2]
    assert photo.rgb.shape == (height, width, 3)
    assert photo.rgb.dtype == np.uint8
    assert 0 < height * width <= MAX_MEGAPIXELS * 1e6
    assert photo.alpha is None or photo.alpha.shape == (height, width)


def photo_or_sentence(source: bytes | Path) -> Photo | str:
    try:
        return read_photo(source, max_megapixels=MAX_MEGAPIXELS)
    except ImageError as error:
        return error.sentence


def read_or_refuse(source: bytes | Path) -> None:
    before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = source.name if isinstance(source, Path) else "the photo"
    answer = photo_or_sentence(source)
    if isinstance(answer, Photo):
        check(answer)
    else:
        assert answer.startswith(name)
        assert answer.endswith(".")
    assert time.process_time() - before < MAX_CPU_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_GROWTH_KIB


@pytest.mark.parametrize("kind", SEEDS)
def test_the_sound_files_are_read(kind: str) -> None:
    check(read_photo(sound(kind)))


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(damages=DAMAGE)
def test_a_damaged_file_is_a_photo_or_one_clear_error(kind: str, damages: list[Damage]) -> None:
    read_or_refuse(hurt(sound(kind), damages))


@pytest.mark.parametrize("kind", SEEDS)
def test_a_file_cut_off_anywhere_is_a_photo_or_one_clear_error(kind: str, tmp_path: Path) -> None:
    whole = sound(kind)
    path = tmp_path / "cut off.bin"
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        read_or_refuse(path)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(head=st.sampled_from([sound(kind)[:24] for kind in SEEDS] + [b""]), tail=st.binary(max_size=600))
def test_any_bytes_behind_any_head_are_a_photo_or_one_clear_error(head: bytes, tail: bytes) -> None:
    read_or_refuse(head + tail)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(damages=DAMAGE)
def test_our_own_png_is_decoded_or_refused(damages: list[Damage]) -> None:
    with contextlib.suppress(ImageError):
        assert decode_png(hurt(sound("png"), damages)).shape[2] == 3


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_scans_of_any_bytes_are_counted(data: bytes) -> None:
    for bytes_read in (data, b"\xff\xd8" + data):
        assert 0 <= scan_count(bytes_read) <= MAX_SCANS + 1
