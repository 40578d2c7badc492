"""A photo goes on only if it lies in its folder and is a whole picture, named by its bytes; else a reason says why."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from zimage_core.catalogue import check_photos
from zimage_core.domain import Product, Refusal

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "products"


def product(image: str | None, sku: str = "S") -> Product:
    return Product(sku, "name", 7, image=image)


def outcome(root: Path, image: str, **options: float) -> Product | Refusal:
    (found,) = check_photos([product(image)], root, **options)  # type: ignore[arg-type]
    return found


def code(root: Path, image: str, **options: float) -> str:
    found = outcome(root, image, **options)
    assert isinstance(found, Refusal), found
    assert (found.stage, found.sku, found.record_no, found.field) == ("extract", "S", 7, "image")
    assert found.reason.endswith(".")
    return found.code


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def picture(side_px: int = 96, mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((side_px, side_px), 60).convert(mode)


@pytest.mark.parametrize("name", ["mug.jpg", "lamp.jpg", "perfume.jpg"])
def test_a_real_photo_is_named_by_its_bytes(name: str) -> None:
    found = outcome(EXAMPLES, name)
    assert isinstance(found, Product)
    assert found.image_sha256 == hashlib.sha256((EXAMPLES / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_is_taken_whole_and_refused_cut_off(tmp_path: Path, suffix: str, mode: str) -> None:
    path = save(tmp_path / f"a.{suffix}", picture(200, mode))
    assert isinstance(outcome(tmp_path, path.name), Product)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert code(tmp_path, path.name) == "photo_damaged"


def test_the_content_counts_not_the_extension(tmp_path: Path) -> None:
    save(tmp_path / "photo.dat", picture(), format="PNG")
    assert isinstance(outcome(tmp_path, "photo.dat"), Product)
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    assert code(tmp_path, "page.jpg") == "photo_not_an_image"
    save(tmp_path / "a.jpg", picture(), format="GIF")
    assert code(tmp_path, "a.jpg") == "photo_not_an_image"


def test_a_path_stays_inside_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    inside = save(root / "photos" / "a.png", picture())
    outside = save(tmp_path / "secret.png", picture())
    (root / "way_out.png").symlink_to(outside)
    (root / "out").symlink_to(tmp_path)
    (root / "within.png").symlink_to(inside)
    for image in (
        str(inside),
        "../secret.png",
        "photos/../../secret.png",
        "way_out.png",
        "out/secret.png",
        "C:\\a.png",
    ):
        assert code(root, image) == "photo_outside", image
    for image in (
        "\\\\server\\share\\a.png",
        "//server/a.png",
        "https://cdn.example/a.png",
        "data:image/png;base64,AA",
    ):
        assert code(root, image) == "photo_is_url", image
    for image in ("within.png", "photos/a.png", "./photos//a.png", "photos\\a.png"):
        found = outcome(root, image)
        assert isinstance(found, Product), image
    assert found.image == "photos/a.png"


def test_missing_empty_and_odd_files_have_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    assert code(tmp_path, "nowhere.jpg") == "photo_missing"
    assert code(tmp_path, "empty.jpg/a.jpg") == "photo_missing"
    assert code(tmp_path, "empty.jpg") == "photo_empty"
    assert code(tmp_path, "folder.jpg") == "photo_not_a_file"
    assert code(tmp_path, "pipe.jpg") == "photo_not_a_file"
    assert code(tmp_path, "round.jpg") == "photo_unreadable"
    assert code(tmp_path, "a\x00b.jpg") == "photo_unreadable"
    assert code(tmp_path, "x" * 300) == "photo_unreadable"


def test_a_decompression_bomb_is_judged_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    assert code(tmp_path, "bomb.png") == "photo_too_many_pixels"
    save(tmp_path / "a.png", picture(1001))
    assert code(tmp_path, "a.png", max_megapixels=1.0) == "photo_too_many_pixels"
    assert isinstance(outcome(tmp_path, "a.png", max_megapixels=1.01), Product)


def test_small_moving_and_profileless_cmyk_pictures_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "small.png", picture(63))
    save(tmp_path / "moving.png", picture(), save_all=True, append_images=[picture()])
    save(tmp_path / "moving.webp", picture(), save_all=True, append_images=[picture()])
    save(tmp_path / "pages.tiff", picture(), save_all=True, append_images=[picture()])
    save(tmp_path / "print.jpg", picture(mode="CMYK"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save(tmp_path / "profiled.jpg", picture(mode="CMYK"), icc_profile=profile)
    assert code(tmp_path, "small.png") == "photo_too_small"
    assert code(tmp_path, "moving.png") == "photo_animated"
    assert code(tmp_path, "moving.webp") == "photo_animated"
    assert code(tmp_path, "pages.tiff") == "photo_animated"
    assert code(tmp_path, "print.jpg") == "photo_cmyk"
    assert isinstance(outcome(tmp_path, "profiled.jpg"), Product)


def test_a_phone_photo_with_a_second_picture_behind_it_is_taken(tmp_path: Path) -> None:
    save(tmp_path / "phone.jpg", picture(), format="MPO", save_all=True, append_images=[picture()])
    assert isinstance(outcome(tmp_path, "phone.jpg"), Product)


def test_damaged_bytes_in_the_middle_of_a_png_are_found(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(300).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    assert code(tmp_path, "a.png") == "photo_damaged"


def test_order_is_kept_and_products_are_taken_only_as_needed(tmp_path: Path) -> None:
    save(tmp_path / "big.png", picture(900))
    save(tmp_path / "small.png", picture(64))
    taken = 0

    def endless() -> Iterator[Product]:
        nonlocal taken
        while True:
            taken += 1
            yield product((None, "big.png", "small.png", "nowhere.png")[taken % 4], sku=str(taken))

    found = check_photos(endless(), tmp_path, workers=3)
    assert [next(found).sku for _ in range(40)] == [str(n) for n in range(1, 41)]
    found.close()
    assert taken <= 40 + 3 * 4


def test_a_product_without_a_photo_passes_unchanged(tmp_path: Path) -> None:
    assert list(check_photos([product(None)], tmp_path)) == [product(None)]
