"""An operator at the Prefect UI: the form, the run a worker makes of it, and what is said when it cannot be made."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployed import Deployed
from playwright.sync_api import Browser, Page, sync_playwright

from zimage_core.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployed")]

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAGE_MS = 60_000
SMALL = {"catalogue": "catalogue.csv", "promotion": "618", "scenes": ["packshot"], "channels": ["shopify"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def worked(deployed: Deployed) -> Iterator[Deployed]:
    """The deployed project with a worker that was started somewhere else and is told where to stand."""
    with deployed.worker("cpu", deployed.folder):
        yield deployed


@pytest.fixture(scope="module")
def made(worked: Deployed) -> dict[str, Any]:
    """A run that was started with a small catalogue and has ended."""
    return worked.ended("produce", {"order": SMALL})


def pointer(worked: Deployed, promotion: str) -> Path:
    return worked.folder / "out" / "cdn" / "current" / f"{promotion}.json"


def test_a_run_from_the_form_is_made_by_a_worker(worked: Deployed, made: dict[str, Any]) -> None:
    assert (made["state"]["type"], made["name"]) == ("COMPLETED", "618 · catalogue.csv"), made["state"]
    cdn = worked.folder / "out" / "cdn"
    manifest = json.loads((cdn / json.loads(pointer(worked, "618").read_text())["manifest_key"]).read_text())
    assert {(file["sku"], file["scene"], file["channel"]) for file in manifest["files"]} == {
        ("MUG-1", "packshot", "shopify"),
        ("LIP-1", "packshot", "shopify"),
    }
    assert all((cdn / file["key"]).is_file() for file in manifest["files"])
    (report,) = (worked.folder / "out" / "reports").glob("618-*/report.csv")
    with report.open(encoding="utf-8-sig", newline="") as lines:
        assert {row["sku"] for row in csv.DictReader(lines)} == {"MUG-1", "LIP-1"}


def test_the_same_run_again_makes_nothing_again(worked: Deployed, made: dict[str, Any]) -> None:
    before, live = attempts(worked), pointer(worked, "618").read_bytes()
    again = worked.ended("produce-618", {"order": SMALL})
    assert again["state"]["type"] == "COMPLETED"
    assert attempts(worked) == before > 0
    assert json.loads(pointer(worked, "618").read_bytes())["release_id"] == json.loads(live)["release_id"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"catalogue": "nowhere.csv"}, "CatalogueError: There is no catalogue file 'nowhere.csv'"),
        ({"deadline": "2020-01-01T00:00:00+00:00"}, "PlanError: The deadline 2020-01-01 00:00 +0000 is over"),
    ],
)
def test_what_only_we_can_know_is_wrong_is_a_sentence_and_costs_nothing(
    worked: Deployed, made: dict[str, Any], wrong: dict[str, object], said: str
) -> None:
    before = attempts(worked)
    run = worked.ended("produce", {"order": SMALL | wrong})
    assert run["state"]["type"] == "FAILED"
    assert said in run["state"]["message"]
    assert "Traceback" not in run["state"]["message"]
    assert attempts(worked) == before


def attempts(worked: Deployed) -> int:
    with Ledger.open(f"sqlite:///{worked.folder / 'work' / 'ledger.sqlite'}") as ledger:
        return sum(len(outcome.attempts) for row in ledger.runs() for outcome in ledger.outcomes(row.run.run_id))


def test_publishing_from_the_form_says_what_came_of_it(worked: Deployed, made: dict[str, Any]) -> None:
    held = worked.ended("publish", {"request": {"promotion": "618", "hold": True}})
    assert held["state"]["type"] == "COMPLETED"
    assert "of 618 is prepared and held until somebody makes it live." in held["state"]["message"]
    assert held["name"] == "publish-accepted 618"


def letters(text: str) -> str:
    """Return what is left of a text however it is laid out and marked up."""
    return re.sub(r"\W+", "", text)


def test_the_form_shows_titles_descriptions_and_choices(worked: Deployed, page: Page) -> None:
    deployment = worked.deployments()["produce-618"]
    page.goto(f"{worked.ui}/deployments/deployment/{deployment['id']}/run", timeout=PAGE_MS)
    page.get_by_text("Catalogue", exact=True).wait_for(timeout=PAGE_MS)
    fields = deployment["parameter_openapi_schema"]["definitions"]["ProductionOrder"]["properties"]
    wanted = [letters(field[part])[:30] for field in fields.values() for part in ("title", "description")]
    deadline = time.monotonic() + PAGE_MS / 1000
    while missing := [text for text in wanted if text not in letters(page.inner_text("body"))]:
        assert time.monotonic() < deadline, (missing, page.inner_text("body"))
        page.wait_for_timeout(200)
    values = page.locator("textarea, input").evaluate_all("boxes => boxes.map(box => box.value)")
    assert "catalogue.csv" in values
    assert len(page.screenshot(path=worked.folder / "form.png", full_page=True)) > 20_000
    assert "618" in page.inner_text("body").split(), "the promotion is picked from a list"


def test_a_run_has_a_page_with_its_stages(worked: Deployed, made: dict[str, Any], page: Page) -> None:
    page.goto(f"{worked.ui}/runs/flow-run/{made['id']}", timeout=PAGE_MS)
    page.get_by_text("618 · catalogue.csv").first.wait_for(timeout=PAGE_MS)
    page.get_by_text("Completed").first.wait_for(timeout=PAGE_MS)
    for tab in ("Logs", "Task Runs", "Subflow Runs", "Artifacts", "Parameters"):
        page.get_by_text(tab, exact=True).first.wait_for(timeout=PAGE_MS)
    assert len(page.screenshot(path=worked.folder / "run.png", full_page=True)) > 20_000
    chosen = {"flow_runs": {"id": {"any_": [made["id"]]}}}
    stages = {run["name"].split()[0] for run in worked.ask("/task_runs/filter", chosen)}
    assert {"extract", "plan", "report", "close"} <= stages
