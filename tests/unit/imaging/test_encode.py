"""Files a channel can use: within its limit, with profile and packet, and the same bytes every time."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zimage_core.errors import ImageError
from zimage_core.imaging.encode import FORMATS, Format, encode, encoder_fingerprint, srgb_profile

PHOTOS = Path(__file__).resolve().parents[3] / "examples" / "products"
ALL_FORMATS: tuple[Format, ...] = ("jpeg", "webp", "avif", "png")
LARGE = 50_000_000
XMP = "<?xpacket?><标签>AI 生成</标签>".encode()


@pytest.fixture(scope="module")
def mug() -> NDArray[np.uint8]:
    with Image.open(PHOTOS / "mug.jpg") as image:
        return np.asarray(image.convert("RGB").resize((512, 512)))


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_a_file_is_what_it_says_and_carries_profile_and_packet(file_format: Format, mug: NDArray[np.uint8]) -> None:
    encoded = encode(mug, file_format, max_bytes=LARGE, xmp=XMP)
    with Image.open(io.BytesIO(encoded.data)) as image:
        image.load()
        assert (image.format, image.size, image.mode) == (file_format.upper(), (512, 512), "RGB")
        assert image.get_format_mimetype() == encoded.media_type
        assert image.info["icc_profile"] == srgb_profile()
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert packet.rstrip(b"\0") == XMP
    assert (encoded.quality, encoded.extension) == (FORMATS[file_format].start_quality, FORMATS[file_format].extension)


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_what_is_seen_is_close_to_what_was_given(file_format: Format, mug: NDArray[np.uint8]) -> None:
    with Image.open(io.BytesIO(encode(mug, file_format, max_bytes=LARGE).data)) as image:
        error = np.asarray(image.convert("RGB")).astype(float) - mug
    limit = 0.0 if file_format == "png" else 2.5
    assert np.sqrt((error**2).mean()) <= limit


def test_two_processes_give_the_same_bytes_in_every_format() -> None:
    # A fresh process at another second: LittleCMS dates its profiles, and AVIF depends on the number of threads.
    program = (
        "import hashlib, numpy as np\n"
        "from zimage_core.imaging.encode import encode\n"
        "rgb = np.random.default_rng(7).integers(0, 256, (96, 96, 3), dtype=np.uint8)\n"
        "for f in ('jpeg', 'webp', 'avif', 'png'):\n"
        "    print(hashlib.sha256(encode(rgb, f, max_bytes=10**7, xmp=b'<x/>').data).hexdigest())\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert srgb_profile()[24:36] == bytes((7, 0xE8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("file_format", ["jpeg", "webp", "avif"])
def test_a_limit_is_kept_at_the_best_quality_that_keeps_it(file_format: Format, mug: NDArray[np.uint8]) -> None:
    free = encode(mug, file_format, max_bytes=LARGE)
    limit = len(free.data) * 8 // 10
    tight = encode(mug, file_format, max_bytes=limit)
    assert len(tight.data) <= limit
    assert FORMATS[file_format].floor_quality <= tight.quality < free.quality
    one_better = encode(mug, file_format, max_bytes=LARGE, start_quality=tight.quality + 1)
    assert len(one_better.data) > limit


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_a_limit_that_only_a_ruined_picture_could_keep_is_an_error(file_format: Format, mug: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"needs \d+ bytes at quality \d+.*the limit is 900 bytes"):
        encode(mug, file_format, max_bytes=900)


def test_red_lettering_keeps_its_edges_in_a_jpeg() -> None:
    rgb = np.full((64, 64, 3), 255, np.uint8)
    rgb[:, 16:48:4] = (220, 20, 30)  # one-pixel strokes: 4:2:0 would smear them to pink
    with Image.open(io.BytesIO(encode(rgb, "jpeg", max_bytes=LARGE).data)) as image:
        decoded = np.asarray(image)
    assert decoded[:, 16:48:4, 1].mean() < 60
    assert decoded[:, 18:48:4, 1].mean() > 230


def test_a_packet_too_large_for_a_jpeg_is_refused_before_pillow_splits_it(mug: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="a JPEG holds at most"):
        encode(mug, "jpeg", max_bytes=LARGE, xmp=b"x" * 70_000)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3))])
def test_only_rgb_bytes_are_encoded(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="Only uint8 RGB"):
        encode(wrong, "png", max_bytes=LARGE)


def test_the_fingerprint_names_settings_and_versions() -> None:
    assert len({encoder_fingerprint(f) for f in ALL_FORMATS}) == 4
    assert "pillow-" in encoder_fingerprint("avif")
    assert "max_threads" in encoder_fingerprint("avif")


def test_a_picture_of_pure_grain_can_be_encoded_too() -> None:
    grain = np.random.default_rng(1).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    encoded = encode(grain, "jpeg", max_bytes=LARGE)
    assert len(encoded.data) > 800 * 800, "more than the one byte per pixel that Pillow sets aside"
    assert encode(grain, "jpeg", max_bytes=LARGE) == encoded
