"""`zimage lint`: files and folders against a channel, as a table and as JSON; exit 1 when anything is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from flows.cli_lint import COMMANDS
from zimage_core.errors import ConfigurationError

app = typer.Typer()
for command in COMMANDS:
    app.command(command.__name__)(command)


def lint(*arguments: str | Path, code: int) -> str:
    answer = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(one) for one in arguments])
    assert answer.exit_code == code, answer.output
    return answer.stdout


def packshot(path: Path, side_px: int = 1200, fill: float = 0.9) -> Path:
    canvas = Image.new("RGB", (side_px, side_px), (255, 255, 255))
    edge = side_px * (1 - fill) / 2
    ImageDraw.Draw(canvas).ellipse((edge, edge, side_px - edge, side_px - edge), fill=(120, 40, 60))
    canvas.save(path)
    return path


def test_a_file_that_fits_is_said_so(tmp_path: Path):
    out = lint(packshot(tmp_path / "mug.jpg"), "--channel", "amazon_main", code=0)
    assert "mug.jpg: fits" in out
    assert "1 of 1 files fit amazon_main" in out


def test_each_broken_rule_is_named_with_its_source_and_day(tmp_path: Path):
    packshot(tmp_path / "good.jpg")
    packshot(tmp_path / "small.webp", side_px=600, fill=0.5)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "notes.png").write_text("not a picture")
    (tmp_path / "ignored.txt").write_text("x")
    out = " ".join(lint(tmp_path, "--channel", "amazon_main", code=1).split())
    assert "good.jpg: fits" in out
    assert "wrong format It is a webp file" in out
    assert "too small It is 600 x 600 px" in out
    assert "zoom from 1000 px" in out
    assert "(2026-11-21)" in out
    assert "notes.png:" in out
    assert "unreadable" in out
    assert "1 of 3 files fit amazon_main; 1 wrong format; 1 too small; 1 too little fill; 1 unreadable" in out


def test_json_holds_everything(tmp_path: Path):
    good, bad = packshot(tmp_path / "a.jpg"), packshot(tmp_path / "b.jpg", fill=0.5)
    answers = json.loads(lint(good, bad, bad, "--channel", "amazon_main", "--json", code=1))
    assert [(a["file"], a["fits"], a["error"], a["channel"]) for a in answers] == [
        (str(good), True, None, "amazon_main"),
        (str(bad), False, None, "amazon_main"),
    ]
    (rule,) = answers[1]["broken"]
    assert (rule["code"], rule["limit"], rule["verified_on"]) == ("too_little_fill", "at least 85%", "2026-11-21")
    assert rule["source"].startswith("third party")


def test_channels_of_ones_own_and_how_it_was_made(tmp_path: Path):
    own = tmp_path / "mine.yaml"
    own.write_text("mine: {like: amazon_main, min_fill_ratio: 0.4}\n", encoding="utf-8")
    loose = packshot(tmp_path / "loose.jpg", fill=0.5)
    lint(loose, "--channel", "mine", "--channels", own, code=0)
    out = lint(loose, "--channel", "mine", "--channels", own, "--made", "generated", code=1)
    assert "label missing" in out
    out = lint(loose, "--channel", "etsy", "--made", "generated", code=1)
    assert "not allowed" in out
    assert "rule etsy-the-item-itself" in " ".join(out.split())


def test_the_channels_that_runs_use_are_known_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "mine.yaml"
    own.write_text("mine: {like: amazon_main, min_fill_ratio: 0.4}\n", encoding="utf-8")
    monkeypatch.setenv("ZIMAGE_CHANNELS", str(own))
    lint(packshot(tmp_path / "loose.jpg", fill=0.5), "--channel", "mine", code=0)


def test_questions_that_cannot_be_answered_are_refused(tmp_path: Path):
    good = packshot(tmp_path / "a.jpg")
    (tmp_path / "empty").mkdir()
    for arguments, sentence in (
        ((good, "--channel", "nowhere"), "There is no channel 'nowhere'; known: taobao_main"),
        ((tmp_path / "gone.jpg", "--channel", "ebay"), "There is no file"),
        ((tmp_path / "empty", "--channel", "ebay"), "holds no pictures"),
        ((good, "--channel", "ebay", "--made", "by hand"), "'by hand' is no way to make a picture; known: photo"),
    ):
        answer = CliRunner().invoke(app, [str(one) for one in arguments])
        assert isinstance(answer.exception, ConfigurationError)
        assert sentence in str(answer.exception)


def test_many_files_are_all_looked_at(tmp_path: Path):
    for number in range(25):
        packshot(tmp_path / f"{number:02}.png", side_px=64)
    out = lint(tmp_path, "--channel", "ebay", code=1)
    assert "0 of 25 files fit ebay; 25 too small" in out


@pytest.mark.parametrize("name", ["strange [red] name.jpg"])
def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path, name: str):
    assert name in lint(packshot(tmp_path / name), "--channel", "amazon_main", code=0)
