"""`zimage` as people type it: each command in a process of its own."""

from __future__ import annotations

import json

import pytest
from workshop import LIPSTICK, MUG, Workshop

RUN = ("run", "catalogue.csv", "-p", "618", "-s", "packshot", "-c", "taobao_main")


@pytest.fixture
def shop(new_workshop) -> Workshop:
    made: Workshop = new_workshop("shop")
    return made


def test_run_says_where_to_look_and_status_report_and_rollback_find_the_run_again(shop: Workshop):
    said = shop.run(*RUN).stdout
    assert "2 accepted, 0 doubtful, 0 given up" in said
    sheet = next(line for line in said.splitlines() if line.startswith("Contact sheet")).split(maxsplit=2)[2]
    assert sheet.endswith("index.html")

    listed = shop.run("status").stdout
    run_id = listed.split()[0]
    assert "completed" in listed
    assert "MUG-1 · packshot" in shop.run("status", run_id).stdout

    (shop.folder / "out" / "reports" / run_id / "index.html").unlink()
    shop.run("report", run_id)
    assert (shop.folder / "out" / "reports" / run_id / "index.html").is_file()

    first = json.loads((shop.cdn / "current" / "618.json").read_text())
    shop.write(MUG)
    shop.run(*RUN)
    assert json.loads((shop.cdn / "current" / "618.json").read_text()) != first
    assert first["release_id"] in shop.run("rollback", "618").stdout
    assert json.loads((shop.cdn / "current" / "618.json").read_text()) == first


def test_plan_spends_nothing_and_names_what_it_would_refuse(shop: Workshop):
    shop.write(MUG, LIPSTICK | {"price": "面议"})
    said = shop.run("plan", *RUN[1:]).stdout
    assert "1 shot of 1 product" in said
    assert "LIP-1" in said
    assert shop.calls() == []
    assert shop.run("status").stdout == ""


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_model_for_an_engine_that_takes_none_is_refused_before_anything_is_spent(shop: Workshop, command: str):
    del shop.environment["ZIMAGE_ENGINE"], shop.environment["ZIMAGE_ENGINE_OPTIONS"]
    done = shop.run(command, *RUN[1:], "--model", "weights", check=False)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("The studio engine takes no options; remove model.")
    assert "Traceback" not in done.stderr
    assert shop.run("status").stdout == ""


def test_another_model_is_another_run_and_the_same_one_goes_on_with_its_own(shop: Workshop):
    shop.write(MUG | {"image": ""})
    words = ("-s", "studio", "-c", "wechat_moments", "--engine", "sleeping")
    drawn = ("--engine-option", f"journal={shop.folder / 'journals'}")

    def pictures() -> int:
        return sum(path.read_text().count("drawn") for path in (shop.folder / "journals").iterdir())

    def runs() -> int:
        return len(shop.run("status").stdout.splitlines())

    assert "1 shot of 1 product" in shop.run("plan", "catalogue.csv", *words, *drawn, "--model", "first").stdout
    shop.run("run", "catalogue.csv", *words, *drawn, "--model", "first")
    shop.run("run", "catalogue.csv", *words, *drawn, "--model", "first", "--engine-option", "device=elsewhere")
    assert (pictures(), runs()) == (1, 1)
    shop.run("run", "catalogue.csv", *words, *drawn, "--model", "second")
    assert (pictures(), runs()) == (2, 2)


def test_prompts_are_linted_listed_and_previewed_with_their_files(shop: Workshop):
    assert "0 errors" in shop.run("prompts", "lint").stdout
    assert "double11" in shop.run("prompts", "list").stdout
    preview = shop.run("prompts", "preview", "--sku", "MUG-1", "--catalogue", "catalogue.csv").stdout
    assert "scenes/studio.yaml" in preview


def test_doctor_finds_this_machine_fit(shop: Workshop):
    said = shop.run("doctor").stdout
    assert "✗" not in said
    assert "studio" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "missing.csv"), "no catalogue file"),
        (("run", "catalogue.csv", "-p", "christmas"), "618"),
        (("run", "catalogue.csv", "-s", "poster"), "no scene 'poster'"),
        (("run", "catalogue.csv", "-c", "ebay_main"), "taobao_main"),
        (("run", "catalogue.csv", "--engine", "dalle"), "studio"),
        (("run", "catalogue.csv", "--column", "sku"), "our_field=Your column"),
        (("plan", "catalogue.csv", "--engine-option", "steps"), "'--engine-option steps' should read option=value"),
        (("run", "catalogue.csv", "--model", "a", "--engine-option", "model=b"), "the model is given twice"),
        (("run", "postgresql://u:secret@localhost/db"), "ZIMAGE_CATALOGUE_PASSWORD"),
        (("rollback", "618"), "618"),
        (("publish",), "no run yet"),
    ],
)
def test_a_wrong_order_is_one_sentence_that_says_what_to_do(shop: Workshop, arguments: tuple[str, ...], sentence: str):
    done = shop.run(*arguments, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode in (1, 2)
    assert sentence in said
    assert "Traceback" not in said
    assert "secret" not in said
