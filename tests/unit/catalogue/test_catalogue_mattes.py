"""A matte goes on only if it belongs to its photo and says something; else a reason tells what to do about it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from zimage_core.catalogue import check_photos, read_catalogue
from zimage_core.domain import Product, Refusal

SIZE = (160, 120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.effect_noise(SIZE, 60).convert("RGB").save(tmp_path / "mug.jpg")
    disc(SIZE).save(tmp_path / "mug_matte.png")
    return tmp_path


def disc(size: tuple[int, int]) -> Image.Image:
    plane = Image.new("L", size, 0)
    ImageDraw.Draw(plane).ellipse((20, 20, size[0] - 20, size[1] - 20), fill=255)
    return plane


def outcome(root: Path, matte: str | None, image: str | None = "mug.jpg", **options: float) -> Product | Refusal:
    (found,) = check_photos([Product("S", "name", 7, image=image, matte=matte)], root, **options)  # type: ignore[arg-type]
    return found


def refused(root: Path, matte: str, image: str | None = "mug.jpg", **options: float) -> Refusal:
    found = outcome(root, matte, image, **options)
    assert isinstance(found, Refusal), found
    assert (found.stage, found.sku, found.record_no, found.field) == ("extract", "S", 7, "matte")
    assert found.reason.endswith(".")
    return found


def test_a_matte_is_named_by_its_bytes_and_a_product_without_one_is_as_before(folder: Path) -> None:
    found = outcome(folder, ".\\mug_matte.png")
    assert isinstance(found, Product)
    assert found.matte == "mug_matte.png"
    assert found.matte_sha256 == hashlib.sha256((folder / "mug_matte.png").read_bytes()).hexdigest()
    plain = outcome(folder, None)
    assert isinstance(plain, Product)
    assert (plain.matte, plain.matte_sha256, plain.image_sha256) == (None, None, found.image_sha256)


@pytest.mark.parametrize("form", ["grey", "16 bit", "1 bit", "RGBA", "grey with alpha", "palette", "grey as RGB"])
def test_every_form_that_says_what_is_product_is_taken(folder: Path, form: str) -> None:
    plane = disc(SIZE)
    red = Image.new("RGB", SIZE, (200, 30, 30))
    palette = red.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    pictures = {
        "grey": plane,
        "16 bit": Image.frombytes("I;16", SIZE, b"".join(bytes((0, v)) for v in plane.tobytes())),
        "1 bit": plane.convert("1"),
        "RGBA": Image.merge("RGBA", (*red.split(), plane)),
        "grey with alpha": Image.merge("LA", (Image.new("L", SIZE, 90), plane)),
        "palette": Image.merge("RGBA", (*red.split(), plane)).quantize(16),
        "grey as RGB": Image.merge("RGB", (plane, plane, plane)),
    }
    pictures[form].save(folder / "a.png")
    assert isinstance(outcome(folder, "a.png"), Product)


@pytest.mark.parametrize(
    ("size", "hint"),
    [((80, 60), "cropped or scaled"), ((160, 121), "another photo"), ((120, 160), "turned on its side")],
)
def test_a_matte_of_another_size_is_refused_with_both_sizes(folder: Path, size: tuple[int, int], hint: str) -> None:
    disc(size).save(folder / "a.png")
    found = refused(folder, "a.png")
    assert found.code == "matte_other_size"
    assert f"{size[0]} x {size[1]} px but the photo 160 x 120 px" in found.reason
    assert hint in found.reason


def test_size_means_the_photo_as_it_is_shown(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise(SIZE, 60).convert("RGB").save(folder / "lying.jpg", exif=exif)
    disc((120, 160)).save(folder / "upright.png")
    assert isinstance(outcome(folder, "upright.png", "lying.jpg"), Product)
    assert refused(folder, "mug_matte.png", "lying.jpg").code == "matte_other_size"


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (Image.new("L", SIZE, 0), "matte_empty"),
        (Image.new("L", SIZE, 100), "matte_empty"),
        (Image.new("L", SIZE, 255), "matte_all_opaque"),
        (Image.new("RGBA", SIZE, (9, 9, 9, 255)), "matte_all_opaque"),
        (Image.new("RGBA", SIZE, (255, 255, 255, 0)), "matte_empty"),
        (Image.merge("RGB", (disc(SIZE), Image.new("L", SIZE, 40), Image.new("L", SIZE, 90))), "matte_not_grey"),
    ],
)
def test_a_matte_that_cannot_be_meant_is_refused(folder: Path, picture: Image.Image, code: str) -> None:
    picture.save(folder / "a.png")
    assert refused(folder, "a.png").code == code


def test_a_matte_must_be_there_whole_and_in_its_folder(folder: Path) -> None:
    assert refused(folder, "nowhere.png").code == "matte_missing"
    assert refused(folder, "../mug_matte.png").code == "matte_outside"
    assert refused(folder, "https://cdn.example/a.png").code == "matte_is_url"
    assert refused(folder, str(folder / "mug_matte.png")).code == "matte_outside"
    (folder / "cut.png").write_bytes((folder / "mug_matte.png").read_bytes()[:-40])
    assert refused(folder, "cut.png").code == "matte_damaged"
    (folder / "empty.png").write_bytes(b"")
    assert refused(folder, "empty.png").code == "matte_empty"
    (folder / "text.png").write_text("white = product")
    assert refused(folder, "text.png").code == "matte_not_an_image"
    disc((320, 240)).save(folder / "huge.png")
    assert refused(folder, "huge.png", max_megapixels=0.02).code == "matte_too_many_pixels"


def test_a_matte_without_a_photo_and_a_photo_that_is_refused_say_which(folder: Path) -> None:
    assert refused(folder, "mug_matte.png", None).code == "matte_without_photo"
    found = outcome(folder, "mug_matte.png", "nowhere.jpg")
    assert isinstance(found, Refusal)
    assert (found.code, found.field) == ("photo_missing", "image")


@pytest.mark.parametrize("header", ["matte", "mask", "蒙版", "抠图路径"])
def test_the_column_is_found_by_its_names(tmp_path: Path, header: str) -> None:
    path = tmp_path / "catalogue.csv"
    path.write_text(f"sku,name,image,{header}\nA,Mug,mug.jpg,mattes/mug.png\nB,Lamp,lamp.jpg,\n", encoding="utf-8")
    with read_catalogue(path, work_dir=tmp_path / "work") as catalogue:
        first, second = catalogue.products()
    assert (first.matte, second.matte) == ("mattes/mug.png", None)
