"""With ZIMAGE_LOG_FORMAT=json every line on standard error is an object that says what it is about."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable

import pytest
from PIL import Image, ImageFilter
from workshop import MUG, Workshop

from zimage_core import logs
from zimage_core.errors import EngineBusy, LedgerError
from zimage_core.logs import JsonFormatter, JsonLines, PlainText, about, ask_context


@pytest.fixture
def shop(new_workshop: Callable[[str], Workshop]) -> Workshop:
    made = new_workshop("shop")
    made.environment["ZIMAGE_LOG_FORMAT"] = "json"
    return made


def lines_of(text: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert found
    for line in found:
        assert {"time", "level", "logger", "message"} <= set(line)
    return found


def test_a_run_s_lines_say_run_shot_and_attempt(shop: Workshop):
    shop.write(MUG)
    with Image.open(shop.folder / MUG["image"]) as photo:
        photo.filter(ImageFilter.GaussianBlur(25)).save(shop.folder / MUG["image"])
    done = shop.run("run", "catalogue.csv", "-p", "618", "-s", "packshot", "-c", "taobao_main")
    found = lines_of(done.stderr)
    run_id = done.stdout.split("/reports/")[1].split("/")[0]
    judged = next(line for line in found if str(line["message"]).startswith("MUG-1 packshot: "))
    assert (judged["run"], judged["sku"], judged["attempt"]) == (run_id, "MUG-1", 1)
    assert judged["promotion"] == "618"
    assert judged["shot"]
    assert judged["task_run"] == "grade MUG-1"
    made = next(line for line in found if "attempts made" in str(line["message"]))
    assert (made["run"], made["task_run"]) == (run_id, "generate MUG-1")
    assert {line["logger"] for line in found} >= {"zimage_core.tasks", "prefect.flow_runs", "prefect.task_runs"}


def test_the_error_that_ends_a_command_is_a_line_too(shop: Workshop):
    done = shop.run("run", "missing.csv", check=False)
    assert done.returncode != 0
    last = lines_of(done.stderr)[-1]
    assert (last["level"], last["error"]) == ("error", "CatalogueError")
    assert "missing.csv" in str(last["message"])
    shop.environment["ZIMAGE_LOG_FORMAT"] = "xml"
    done = shop.run("status", check=False)
    assert done.returncode == 2
    assert "ZIMAGE_LOG_FORMAT" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- one line


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("zimage_core.tasks", logging.WARNING, __file__, 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def line(made: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(made)
    assert "\n" not in text
    return dict(json.loads(text))


def test_an_error_says_where_it_happened_whether_it_is_raised_or_named():
    busy = EngineBusy("It is busy.", sku="MUG-1", shot_id="s1", attempt=2, engine="comfyui")
    about_it = {"sku": "MUG-1", "shot": "s1", "attempt": 2, "engine": "comfyui"}
    assert about_it.items() <= line(record("not made: %s", busy)).items()
    raised = record("not made")
    try:
        raise busy
    except EngineBusy:
        raised.exc_info = sys.exc_info()
    found = line(raised)
    assert about_it.items() <= found.items()
    assert found["error"] == "EngineBusy"
    assert "Traceback" in str(found["stack"])


def test_what_is_known_adds_up_and_the_closer_word_counts():
    with about(run="r1", sku="A", engine=None), about(sku="B", shot="s1"):
        found = line(record("x", attempt=3))
        assert (found["run"], found["sku"], found["shot"], found["attempt"]) == ("r1", "B", "s1", 3)
        assert "engine" not in found
        assert line(record("%s", LedgerError("no", sku="C")))["sku"] == "C"
    assert "run" not in line(record("x"))


def test_whoever_knows_more_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "_contexts", [])

    def context() -> dict[str, object]:
        return {"run": "r9", "odd": object()}

    ask_context(context)
    ask_context(context)
    assert len(logs._contexts) == 1
    found = line(record("x"))
    assert found["run"] == "r9"
    assert str(found["odd"]).startswith("<object")


def test_odd_messages_are_still_one_line():
    assert line(record("two\nlines 到手价"))["message"] == "two\nlines 到手价"
    assert "到手价" in JsonFormatter().format(record("到手价"))
    assert line(record("%d of them", "many"))["message"] == "%d of them ('many',)"
    assert line(record("x", flow_run_name="<unknown>", task_run_name="grade"))["task_run"] == "grade"


def test_the_handler_keeps_its_format_whatever_it_is_handed(capsys: pytest.CaptureFixture[str]):
    handler = JsonLines(sys.stderr, styles={"log.web_url": "blue"})
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.emit(record("x"))
    assert json.loads(capsys.readouterr().err)["message"] == "x"


def test_what_anybody_prints_on_standard_error_becomes_lines():
    below = io.StringIO()
    plain = PlainText(below)
    JsonLines(plain).emit(record("ours"))
    print("Starting …\n\r  12 %", file=plain)
    plain.write("half a ")
    plain.write("line")
    plain.end_line()
    plain.end_line()
    assert not plain.isatty()
    found = [json.loads(one) for one in below.getvalue().splitlines()]
    assert [one["message"] for one in found] == ["ours", "Starting …", "  12 %", "half a line"]
    assert {one["logger"] for one in found[1:]} == {"stderr"}


def test_what_python_says_becomes_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with warnings.catch_warnings():
        logs.log_what_python_says()
        try:
            warnings.simplefilter("always")
            warnings.warn("old thing", DeprecationWarning, stacklevel=1)
            sys.excepthook(LedgerError, LedgerError("It is gone."), None)
            sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        finally:
            logging.captureWarnings(capture=False)
    assert "old thing" in caplog.text
    assert [made.getMessage() for made in caplog.records][-2:] == ["It is gone.", "Interrupted."]
