"""Cut-out tools by name: ours, rembg on a model file that is here, and what other packages register."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from product_photos import alpha_in_photo, got, load, overlap, photo_of, refused

from zimage_core.errors import ConfigurationError, ImageError
from zimage_core.imaging import cutters
from zimage_core.imaging.cutters import create_cutter, cut_out_with, known_cutters
from zimage_core.imaging.pixels import Plane, Rgb

SIDE = 400
PLUGIN_CODE = """
import numpy as np

class Thresholder:
    def __init__(self, level):
        self.fingerprint, self.level = f"thresholder-1-{level}", level

    def alpha(self, rgb):
        if self.level == 0:
            raise RuntimeError("no model today")
        rgb[:] = 0 if self.level == 1 else rgb
        return np.where(rgb.min(axis=2) < self.level, 255, 0).astype(np.uint8)

def create(options):
    return Thresholder(int(options.get("level", "240")))

def create_nonsense(options):
    return object()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package that registers three tools, one that works and two that do not; return its name."""
    info = tmp_path / "thresholder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thresholder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[zimage.cutouts]\nthresholder = thresholder_cutter:create\nnonsense = thresholder_cutter:create_nonsense\n"
        "nowhere = thresholder_cutter.missing:create\nnothing = thresholder_cutter:absent\n"
    )
    (tmp_path / "thresholder_cutter.py").write_text(PLUGIN_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "thresholder_cutter", raising=False)
    return "thresholder"


def test_a_tool_of_another_package_is_found_by_its_entry_point_and_cuts_out(plugin: str) -> None:
    assert {"builtin", "rembg", plugin} <= set(known_cutters())
    cutter = create_cutter(plugin, {"level": "250"})
    assert cutter is not None
    assert cutter.fingerprint == "thresholder-1-250"
    rgb, mask = load("phone", SIDE)
    cutout = got(cut_out_with(cutter, photo_of(rgb)))
    assert overlap(alpha_in_photo(cutout, mask), mask) > 0.9
    assert np.array_equal(cutout.rgba[2:-2, 2:-2, 3] == 0, (cutout.rgba[2:-2, 2:-2] == 0).all(axis=2))


def test_a_tool_cannot_write_into_the_photo(plugin: str) -> None:
    rgb, _ = load("phone", SIDE)
    kept = rgb.copy()
    cut_out_with(create_cutter(plugin, {"level": "1"}), photo_of(rgb))
    assert np.array_equal(rgb, kept)


def test_a_tool_that_fails_or_answers_nonsense_is_named(plugin: str) -> None:
    rgb, _ = load("phone", SIDE)
    with pytest.raises(ImageError, match=r"thresholder-1-0 failed on this photo: RuntimeError: no model today\."):
        cut_out_with(create_cutter(plugin, {"level": "0"}), photo_of(rgb))

    class Wrong:
        fingerprint = "wrong-1"

        def alpha(self, rgb: Rgb) -> Plane:
            return np.ones((3, 3), np.uint8)

    with pytest.raises(ImageError, match=r"wrong-1 answered uint8 \(3, 3\) instead of uint8 \(400, 400\)"):
        cut_out_with(Wrong(), photo_of(rgb))


def test_a_tool_that_finds_no_product_is_refused_like_any_photo_without_one() -> None:
    class Blind:
        fingerprint = "blind-1"

        def alpha(self, rgb: Rgb) -> Plane:
            return np.zeros(rgb.shape[:2], np.uint8)

    rgb, mask = load("phone", SIDE)
    assert refused(cut_out_with(Blind(), photo_of(rgb))).code == "empty"
    assert np.array_equal(alpha_in_photo(got(cut_out_with(Blind(), photo_of(rgb, mask))), mask), mask)


def test_built_in_means_our_own() -> None:
    rgb, mask = load("lipstick", SIDE)
    assert create_cutter("builtin", {}) is None
    assert overlap(alpha_in_photo(got(cut_out_with(None, photo_of(rgb))), mask), mask) > 0.98


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("scissors", {}, "no cut-out tool named 'scissors'; the known ones are builtin, "),
        ("builtin", {"level": "3"}, "takes no options, but ZIMAGE_CUTOUT_OPTIONS has level"),
        ("nonsense", {}, "needs fingerprint"),
        ("nowhere", {}, "cannot be loaded from thresholder_cutter.missing"),
        ("nothing", {}, "thresholder_cutter:absent, which is not a function"),
        ("rembg", {}, "give its path as model_path in ZIMAGE_CUTOUT_OPTIONS"),
        ("rembg", {"model_path": "/nowhere/u2net.onnx"}, "no model file /nowhere/u2net.onnx"),
        ("rembg", {"model": "u2net", "model_path": "x"}, "can be u2net_custom, dis_custom, ben_custom"),
        ("rembg", {"weights": "x"}, "not weights"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    plugin: str, name: str, options: Mapping[str, str], sentence: str
) -> None:
    assert plugin
    with pytest.raises(ConfigurationError, match=sentence):
        create_cutter(name, options)


def test_a_name_is_taken_once() -> None:
    other = EntryPoint("rembg", "somebody.else:create", "zimage.cutouts")
    with pytest.raises(ConfigurationError, match="named 'rembg'"):
        known_cutters([other])


# ---------------------------------------------------------------- rembg


def test_rembg_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    model = tmp_path / "u2net.onnx"
    model.write_bytes(b"weights")
    with pytest.raises(ConfigurationError, match="install zimage with its extra 'cutout'"):
        create_cutter("rembg", {"model_path": str(model)})


def test_rembg_is_asked_for_a_mask_from_the_model_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in with the two functions of rembg 2.0 that are used, called as its source says they are."""
    rgb, mask = load("cushion", SIDE)
    asked: list[tuple[object, ...]] = []

    def new_session(model: str, providers: object = None, **options: object) -> str:
        asked.append((model, providers, options))
        if options["model_path"].endswith("broken.onnx"):  # type: ignore[attr-defined]
            raise ValueError("not an ONNX file")
        return "session"

    def remove(data: Image.Image, *, session: str, only_mask: bool) -> Image.Image:
        assert (session, only_mask, data.mode, data.size) == ("session", True, "RGB", (SIDE, SIDE))
        return Image.fromarray(mask)

    stand_in = types.ModuleType("rembg")
    stand_in.new_session, stand_in.remove = new_session, remove  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", stand_in)
    monkeypatch.setattr("zimage_core.imaging.rembg_cutter.version", lambda _: "2.0.67")
    (tmp_path / "model.onnx").write_bytes(b"weights")
    (tmp_path / "broken.onnx").write_bytes(b"?")
    options = {"model": "dis_custom", "model_path": str(tmp_path / "model.onnx")}
    cutter = cutters.create_cutter("rembg", options)
    assert cutter is not None
    assert asked == [("dis_custom", None, {"model_path": options["model_path"]})]
    assert cutter.fingerprint.startswith("rembg-2.0.67-dis_custom-")
    assert np.array_equal(alpha_in_photo(got(cut_out_with(cutter, photo_of(rgb))), mask), mask)
    with pytest.raises(ConfigurationError, match=r"rembg cannot load .*broken\.onnx as u2net_custom: ValueError"):
        create_cutter("rembg", {"model_path": str(tmp_path / "broken.onnx")})
