"""Which way a product is cut out: by the catalogue's matte, by the tool of the settings, or by our own; kept apart."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up import promise
from product_photos import load
from workshop import MUG, Workshop

from tasks.layers import cutout_of
from tasks.order import ProductionOrder
from tasks.runtime import Rooms, rooms
from zimage_core.domain import Promise
from zimage_core.errors import ConfigurationError, ImageError
from zimage_core.imaging.cutout import CutOut, CutOutFailure


class Bench:
    """A workshop with a mug, its rooms opened with given settings, and promises of it."""

    def __init__(self, workshop: Workshop) -> None:
        workshop.write(MUG)
        self.folder = workshop.folder
        self.order = ProductionOrder(catalogue=str(workshop.catalogue), promotion="618")

    def rooms(self, **settings: object) -> Rooms:
        opened = rooms(self.order)
        return dataclasses.replace(opened, settings=opened.settings.model_copy(update=settings))

    def sha256(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def promise(self, matte: str | None = None) -> Promise:
        made = promise(1)
        shot = dataclasses.replace(
            made.shot,
            reference_sha256=self.sha256("products/mug.jpg"),
            matte=matte,
            matte_sha256=None if matte is None else self.sha256(matte),
        )
        return dataclasses.replace(made, shot=shot)

    def write_matte(self, plane: np.ndarray) -> str:
        cv2.imwrite(str(self.folder / "mug_matte.png"), plane)
        return "mug_matte.png"


@pytest.fixture
def bench(workshop: Workshop) -> Bench:
    return Bench(workshop)


def half_of_the_mug() -> np.ndarray:
    _, mask = load("mug")
    mask[:, 800:] = 0
    return mask


def test_the_catalogues_matte_is_taken_at_its_word_and_kept_beside_our_own_cut_out(bench: Bench) -> None:
    plane = half_of_the_mug()
    matte = bench.write_matte(plane)
    own = cutout_of(bench.rooms(), bench.promise(), bench.order)
    given = cutout_of(bench.rooms(), bench.promise(matte), bench.order)
    assert isinstance(own, CutOut)
    assert isinstance(given, CutOut)
    assert given.coverage_ratio == pytest.approx(float(plane.mean() / 255))
    assert own.coverage_ratio > 1.5 * given.coverage_ratio
    (bench.folder / matte).unlink()
    sha256 = hashlib.sha256(cv2.imencode(".png", plane)[1].tobytes()).hexdigest()
    kept = dataclasses.replace(bench.promise(), shot=dataclasses.replace(
        bench.promise().shot, matte=matte, matte_sha256=sha256))  # fmt: skip
    again = cutout_of(bench.rooms(), kept, bench.order)
    assert isinstance(again, CutOut)
    assert np.array_equal(again.rgba, given.rgba)


def test_another_matte_is_another_cut_out(bench: Bench) -> None:
    first = cutout_of(bench.rooms(), bench.promise(bench.write_matte(half_of_the_mug())), bench.order)
    second = cutout_of(bench.rooms(), bench.promise(bench.write_matte(load("mug")[1])), bench.order)
    assert isinstance(first, CutOut)
    assert isinstance(second, CutOut)
    assert second.coverage_ratio > 1.5 * first.coverage_ratio


def test_a_matte_that_changed_since_the_catalogue_was_read_is_an_error(bench: Bench) -> None:
    promised = bench.promise(bench.write_matte(half_of_the_mug()))
    bench.write_matte(load("mug")[1])
    with pytest.raises(ImageError, match=r"The matte mug_matte.png was changed since the catalogue was read"):
        cutout_of(bench.rooms(), promised, bench.order)


def test_a_tool_of_another_package_cuts_out_where_the_settings_say_so_but_not_against_a_matte(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "boxes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zimage.cutouts]\nbox = box_cutter:create\n")
    (tmp_path / "box_cutter.py").write_text(
        "import numpy as np\n\n\nclass Box:\n    def __init__(self, share):\n        self.share = share\n"
        "        self.fingerprint = f'box-{share}'\n\n    def alpha(self, rgb):\n"
        "        alpha = np.zeros(rgb.shape[:2], np.uint8)\n"
        "        alpha[: int(len(alpha) * self.share)] = 255\n        return alpha\n\n\n"
        "def create(options):\n    return Box(float(options['share']))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    for share in (0.5, 0.25, 0.0):
        opened = bench.rooms(cutout="box", cutout_options={"share": str(share)})
        made = cutout_of(opened, bench.promise(), bench.order)
        if share:
            assert isinstance(made, CutOut)
            assert made.coverage_ratio == pytest.approx(share)
        else:
            assert isinstance(made, CutOutFailure)
            assert made.code == "empty"
        again = cutout_of(opened, bench.promise(), bench.order)
        assert again == made if isinstance(made, CutOutFailure) else isinstance(again, CutOut)
    plane = half_of_the_mug()
    given = cutout_of(opened, bench.promise(bench.write_matte(plane)), bench.order)
    assert isinstance(given, CutOut)
    assert given.coverage_ratio == pytest.approx(float(plane.mean() / 255))


def test_a_tool_that_cannot_be_used_here_is_a_fault_of_the_settings(bench: Bench) -> None:
    opened = bench.rooms(cutout="rembg", cutout_options={"model_path": str(bench.folder / "none.onnx")})
    with pytest.raises(ConfigurationError, match="no model file"):
        cutout_of(opened, bench.promise(), bench.order)
