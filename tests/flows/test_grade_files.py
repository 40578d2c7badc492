"""`zimage grade`: any picture is judged and explained, whatever it is, and a file that is none is an answer too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.grade_files import FileOrder, grade_files, pictures_of, to_json
from zimage_core.errors import ConfigurationError
from zimage_core.imaging.pixels import read_photo
from zimage_core.publishing.channels import load_channels
from zimage_core.quality.files import Claims, given_file, on_white
from zimage_core.quality.rubric import load_rubric

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = ROOT / "examples" / "products"
LAMP, CUSHION = PRODUCTS / "lamp.jpg", PRODUCTS / "cushion.jpg"


def order(**changes) -> FileOrder:
    return FileOrder(rubric=load_rubric(), **changes)


def zimage(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", "grade", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def blurred(folder: Path) -> Path:
    path = folder / "lamp_blurred.jpg"
    cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(LAMP)), (0, 0), 6))
    return path


def test_a_sharp_photo_is_better_than_the_same_blurred_and_the_reason_is_said(tmp_path: Path):
    sharp, soft = grade_files([LAMP, blurred(tmp_path)], order())
    assert sharp.grade.score > soft.grade.score
    assert soft.grade.letter == "C"
    assert any("blurred" in reason or "soft" in reason or "sharp" in reason for reason in soft.grade.reasons)


def test_files_that_are_no_pictures_are_answers_and_the_others_are_still_judged(tmp_path: Path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    (tmp_path / "cut.jpg").write_bytes(LAMP.read_bytes()[:9000])
    (tmp_path / "good.jpg").write_bytes(CUSHION.read_bytes())
    cut, good, notes = grade_files(pictures_of([tmp_path]), order())
    assert (cut.grade, notes.grade) == (None, None)
    assert "cut.jpg" in cut.error
    assert "not a readable" in notes.error
    assert good.grade is not None


def test_several_processes_answer_the_same_and_in_order(tmp_path: Path):
    files = [LAMP, blurred(tmp_path), CUSHION]
    assert list(grade_files(files, order(), processes=2)) == list(grade_files(files, order()))


def test_a_folder_stands_for_its_pictures_and_a_missing_path_is_refused(tmp_path: Path):
    assert LAMP in pictures_of([PRODUCTS])
    assert PRODUCTS / "README.md" not in pictures_of([PRODUCTS])
    assert pictures_of([LAMP, LAMP]) == [LAMP]
    with pytest.raises(ConfigurationError, match="holds no pictures"):
        pictures_of([tmp_path])
    with pytest.raises(ConfigurationError, match="no file"):
        pictures_of([tmp_path / "gone.jpg"])


def test_a_reference_that_cannot_be_cut_out_is_refused_before_anything_is_judged(tmp_path: Path):
    busy = tmp_path / "busy.png"
    cv2.imwrite(str(busy), np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    with pytest.raises(ConfigurationError, match=r"reference photo busy\.png cannot be cut out"):
        next(grade_files([LAMP], order(reference=busy)))


def test_a_channel_says_which_size_and_background_were_promised():
    channel = load_channels()["amazon_main"]
    given = given_file(read_photo(LAMP), "lamp.jpg", Claims(channel=channel))
    assert (given.width_px, given.height_px) == (channel.width_px, channel.height_px)
    assert (given.scene.name, given.scene.stage.fill_ratio) == ("packshot", channel.min_fill_ratio)
    free = given_file(read_photo(LAMP), "lamp.jpg", Claims())
    assert (free.width_px, free.height_px) == (1600, 1600)
    assert free.scene.name == "studio"


def test_what_is_transparent_counts_as_white(tmp_path: Path):
    path = tmp_path / "clear.png"
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[2:6, 2:6] = (10, 20, 30, 255)
    pixels[0, 0] = (0, 0, 0, 128)
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    shown = on_white(read_photo(path))
    assert shown[7, 7].tolist() == [255, 255, 255]
    assert shown[3, 3].tolist() == [10, 20, 30]
    assert shown[0, 0].tolist() == [127, 127, 127]


def test_the_command_prints_a_table_and_ends_with_1_when_a_picture_is_worse_than_asked(tmp_path: Path):
    soft = blurred(tmp_path)
    done = zimage(soft, "--worst", "B", "--annotate", tmp_path / "seen")
    assert done.returncode == 1
    assert "lamp_blurred.jpg: C" in done.stdout
    assert "sharpness" in done.stdout
    (seen,) = (tmp_path / "seen").iterdir()
    assert read_photo(seen).rgb.shape[1] > read_photo(soft).rgb.shape[1]
    assert zimage(soft).returncode == 0


def test_the_command_gives_everything_as_json(tmp_path: Path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    done = zimage(LAMP, tmp_path / "notes.jpg", "--json", "--category", "home")
    assert done.returncode == 1
    lamp, notes = json.loads(done.stdout)
    assert (lamp["letter"], notes["letter"]) != (None, None)
    assert notes["error"]
    finding = next(one for one in lamp["findings"] if one["check"] == "sharpness")
    assert {"value", "unit", "limit", "score", "passed", "veto", "sentence", "box"} <= set(finding)
    assert lamp == json.loads(json.dumps(to_json(next(grade_files([LAMP], order(category="home"))))))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--channel", "tiktok"), "no channel 'tiktok'; known: "),
        (("--palette", "reddish"), "'reddish' is not a colour"),
        (("--rubric", "missing.yaml"), "The rubric missing.yaml cannot be read"),
        (("--reference", "missing.jpg"), "The reference photo cannot be used"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(arguments: tuple[str, str], sentence: str):
    done = zimage(LAMP, *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_scorer_without_its_weights_is_refused_before_anything_is_judged(tmp_path: Path):
    shipped = (ROOT / "zimage_core" / "quality" / "rubric.yaml").read_text()
    scorer = "\nscorers:\n  clip: {group: opinion, weight: 1.0, curve: {kind: ramp, points: [[0, 0], [1, 1]]}, "
    rubric = tmp_path / "rubric.yaml"
    rubric.write_text(f"{shipped}{scorer}source: a test, verified_on: 2026-11-21}}\n")
    done = zimage(LAMP, "--rubric", rubric)
    assert done.returncode == 2
    assert "The scorer 'clip' needs option model" in " ".join(done.stderr.split())
    assert done.stdout == ""
