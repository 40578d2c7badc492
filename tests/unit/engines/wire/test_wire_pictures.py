"""From bytes to pixels, whatever a server sends."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from bad_pictures import huge_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_servers import HTML, drawn_picture

from zimage_core.engines.wire.pictures import decode_picture, picture_size
from zimage_core.errors import BadImage
from zimage_core.imaging.pixels import encode_png

PICTURE = drawn_picture("a mug", 3, 48, 32)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode(body: bytes, width_px: int = 48, height_px: int = 32) -> np.ndarray:
    return decode_picture(body, "e", width_px=width_px, height_px=height_px)


def test_lossless_formats_keep_every_pixel() -> None:
    for body in (encode_png(PICTURE), encoded("PNG"), encoded("WEBP", lossless=True)):
        assert np.array_equal(decode(body), PICTURE)


def test_a_jpeg_is_taken_whatever_it_is_called() -> None:
    assert np.abs(decode(encoded("JPEG", quality=95)).astype(int) - PICTURE).mean() < 6


def test_what_a_server_wrote_into_the_file_is_dropped() -> None:
    info = PngInfo()
    info.add_text("prompt", '{"graph": "of a whole workflow"}')
    decoded = decode(encoded("PNG", pnginfo=info))
    assert np.array_equal(decoded, PICTURE)
    assert type(decoded) is np.ndarray
    assert b"workflow" not in encode_png(decoded)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "empty body"),
        (HTML, "HTML page"),
        (b'  {"detail": "no"}', "JSON"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b"out of memory", "text"),
        (b"GIF89a....", "GIF"),
        (b"\x00\x01\x02\x03", "no picture"),
        (encode_png(PICTURE)[:100], "cut off"),
        (encode_png(PICTURE)[:20], "cut off"),
        (encoded("JPEG")[:200], "cut off"),
        (encoded("WEBP")[:60], "cut off"),
    ],
)
def test_what_came_instead_is_named(body: bytes, named: str) -> None:
    with pytest.raises(BadImage, match=named) as caught:
        decode(body)
    assert "Engine 'e'" in caught.value.sentence
    assert caught.value.retryable


def test_another_size_is_refused_before_anything_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(BadImage):
        decode(bomb)
    with pytest.raises(BadImage, match="48 x 32 px where 32 x 48"):
        decode(encode_png(PICTURE), 32, 48)


def test_a_picture_with_transparency_or_turned_by_exif_is_no_drawing() -> None:
    rgba = np.dstack([PICTURE, np.full((32, 48), 200, np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    with pytest.raises(BadImage, match="transparency"):
        decode(buffer.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(BadImage, match="EXIF"):
        decode(encoded("JPEG", exif=exif))
    opaque = np.dstack([PICTURE, np.full((32, 48), 255, np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(opaque).save(buffer, "PNG")
    assert np.array_equal(decode(buffer.getvalue()), PICTURE)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_damage_anywhere_gives_a_picture_or_a_bad_image_and_nothing_else(kind: str, data: st.DataObject) -> None:
    body = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    shape = None
    with contextlib.suppress(BadImage):
        shape = decode(bytes(body[: data.draw(st.integers(0, len(body)))])).shape
    assert shape in (None, (32, 48, 3))


def test_a_header_that_announces_gigapixels_is_a_bad_image_and_nothing_is_decoded() -> None:
    for look in (picture_size, partial(decode_picture, width_px=60_000, height_px=60_000)):
        with pytest.raises(BadImage, match="header"):
            look(huge_png(), "e")
