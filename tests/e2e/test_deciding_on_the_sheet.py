"""A thousand shots on ten pages, decided by keyboard in a real browser, and what the ledger makes of the file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium, listened_to
from made_up import RUN, attempt, grade, judged, promise
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from tasks.review import record_decisions
from tasks.runtime import opened_rooms
from zimage_core.domain import Attempt, ShotOutcome
from zimage_core.ledger import Ledger
from zimage_core.reporting import summarise, write_contact_sheet

SHOTS = 1000
PER_PAGE = 100
DOUBTFUL = [n for n in range(1, SHOTS + 1) if n % 5 == 0]
KEY_S = 0.1
"""Longest one key press may take until the page has drawn: what people take for at once (Nielsen, "Response Times")."""


def tiny() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 24), (180, 160, 140)).save(out, "PNG")
    return out.getvalue()


def picture(_outcome: ShotOutcome, of: Attempt | None) -> bytes | None:
    return PICTURE if of is None or of.object_key else None


PICTURE = tiny()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder whose ledger holds a run of a thousand judged shots, every fifth of them a B."""
    folder = tmp_path_factory.mktemp("thousand")
    with Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}") as ledger:
        ledger.open_run(RUN)
        ledger.promise(promise(n, shard_id=f"shard-{n // 200}") for n in range(1, SHOTS + 1))
        attempts = [attempt(n) for n in range(1, SHOTS + 1)]
        ledger.record_attempts(RUN.run_id, attempts)
        grades = [grade(one, "B" if n in DOUBTFUL else "A") for n, one in enumerate(attempts, 1)]
        ledger.record_grades(grades)
        ledger.record_verdicts(
            RUN.run_id,
            [
                judged(one, "review" if n in DOUBTFUL else "accept", its)
                for n, (one, its) in enumerate(zip(attempts, grades, strict=True), 1)
            ],
        )
    return folder


@pytest.fixture(scope="module")
def pages(work: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return write_sheet(work, tmp_path_factory.mktemp("sheet"))


def write_sheet(work: Path, folder: Path) -> tuple[Path, ...]:
    with Ledger.open(f"sqlite:///{work / 'ledger.sqlite'}") as ledger:
        outcomes = list(ledger.outcomes(RUN.run_id))
    return write_contact_sheet(
        outcomes,
        folder / "index.html",
        title="Double 11",
        summary=summarise(outcomes, []),
        refusals=[],
        picture=picture,
        shots_per_page=PER_PAGE,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1400, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, pages: tuple[Path, ...]) -> Iterator[Page]:
    opened = context.new_page()
    said = listened_to(opened)
    opened.goto(pages[0].as_uri())
    opened.fill("#who", "mei")
    opened.locator("#who").blur()
    yield opened
    assert said == []


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def current(page: Page) -> int:
    return int(page.locator("article.current").get_attribute("data-number") or 0)


def counted(page: Page) -> tuple[int, int]:
    """Return how many are marked, and how many are left to decide, as the page says."""
    return int(page.locator("#marks").inner_text()), int(page.locator("#left").inner_text())


def mark_of(page: Page, number: int) -> str | None:
    """Return the decision that a card shows."""
    return page.evaluate(
        "n => document.querySelector(`[data-number='${n}'] [data-mark][aria-pressed=true]`)?.dataset.mark ?? null",
        number,
    )


def export(page: Page, to: Path) -> Path:
    with page.expect_download() as download:
        press(page, "e")
    download.value.save_as(to / download.value.suggested_filename)
    return to / "decisions.csv"


def test_a_thousand_shots_are_decided_by_keyboard_alone_and_the_ledger_takes_exactly_those(
    page: Page, pages: tuple[Path, ...], work: Path, tmp_path: Path
) -> None:
    assert len(pages) == SHOTS // PER_PAGE
    assert counted(page) == (0, 200)
    press(page, "n")
    for at, number in enumerate(DOUBTFUL):
        assert current(page) == number
        if number % 50 == 0:
            press(page, "r")
            page.keyboard.insert_text(f"reason {number}")
            press(page, "Enter")
        elif number % 35 == 0:
            press(page, "g")
            page.keyboard.insert_text("lighter, 更亮")
            press(page, "Enter")
        else:
            press(page, "a")
        if number % PER_PAGE == 0:
            assert counted(page) == (at + 1, len(DOUBTFUL) - at - 1)
        if number % PER_PAGE == 0 and number < SHOTS:
            with page.expect_navigation():
                press(page, "n")
    path = export(page, tmp_path)
    work = Path(shutil.copytree(work, tmp_path / "work"))
    with opened_rooms():
        judged_file = record_decisions(path, None, work, tmp_path)
        assert judged_file.kinds == {"approve": 154, "reject": 20, "regenerate": 26}
        again = record_decisions(path, None, work, tmp_path)
        assert (again.kinds, again.recorded) == ({}, 200)
    with Ledger.open(f"sqlite:///{work / 'ledger.sqlite'}") as ledger:
        tally = ledger.tally(RUN.run_id)
        said = ledger.decisions([attempt(n).attempt_id for n in DOUBTFUL])
    assert (tally.doubtful, tally.given_up, tally.accepted, tally.pending) == (0, 20, 954, 26)
    assert {one.who for several in said.values() for one in several} == {"mei"}
    assert said[attempt(50).attempt_id][0].why == "reason 50"
    # on the sheet written afterwards nothing is left to decide, and marks that took effect are gone
    later = write_sheet(work, tmp_path)
    page.goto(later[0].as_uri())
    assert counted(page)[1] == 0
    assert mark_of(page, 5) is None
    assert page.locator(".old:not([hidden])").count() == 0


def test_undo_takes_back_the_last_action_wherever_it_was_and_redo_does_it_again(
    page: Page, pages: tuple[Path, ...]
) -> None:
    press(page, "n", "a", "r")
    page.keyboard.type("crooked")
    press(page, "Enter", "]")
    page.wait_for_url("**/index-2.html")
    assert counted(page) == (2, 198)
    press(page, "n", "g", "Enter")
    page.reload()
    assert mark_of(page, 105) == "regenerate"
    press(page, "u")
    assert (mark_of(page, 105), current(page), counted(page)) == (None, 105, (2, 198))
    press(page, "u")  # what was rejected on the page before, with its reason
    assert counted(page) == (1, 199)
    assert "MUG-0010" in page.locator("#toast").inner_text()
    press(page, "Shift+U", "Shift+U")
    assert (mark_of(page, 105), counted(page)) == ("regenerate", (3, 197))
    page.goto(pages[0].as_uri())
    assert (mark_of(page, 5), mark_of(page, 10)) == ("approve", "reject")
    assert page.locator("[data-number='10'] .why").input_value() == "crooked"
    press(page, "u", "u", "u")
    assert counted(page) == (0, 200)
    press(page, "u")
    assert page.locator("#undo").is_disabled()
    press(page, "Shift+U")
    assert counted(page) == (1, 199)
    press(page, "n", "a")  # something new: what was undone cannot come back
    press(page, "Shift+U")
    assert counted(page) == (2, 198)


def test_a_changed_reason_is_undone_by_itself(page: Page) -> None:
    press(page, "n", "r")
    page.keyboard.type("dark")
    press(page, "Enter", "n", "a", "k", "k", "k", "k", "k", "k", "k", "k", "k", "k")
    page.locator("[data-number='5'] .why").fill("too dark")
    press(page, "Escape", "u")
    assert page.locator("[data-number='5'] .why").input_value() == "dark"
    assert mark_of(page, 5) == "reject"
    press(page, "u", "u")
    assert counted(page) == (0, 200)


def test_a_rejection_without_a_reason_is_not_exported(page: Page, tmp_path: Path) -> None:
    press(page, "n", "r", "Enter")
    assert page.evaluate("document.activeElement.className") == "why"
    press(page, "Escape", "j", "e")
    assert page.evaluate("document.activeElement.closest('article').dataset.number") == "5"
    assert "MUG-0005" in page.locator("#toast").inner_text()
    press(page, "Escape", "]")
    page.wait_for_url("**/index-2.html")
    press(page, "e")
    assert "MUG-0005 · studio (1)" in page.locator("#toast").inner_text()
    press(page, "[")
    page.wait_for_url("**/index.html")
    page.locator("[data-number='5'] .why").fill("blurred")
    press(page, "Escape")
    assert "blurred" in export(page, tmp_path).read_text("utf-8-sig")


def test_only_what_is_left_to_decide_can_be_shown_on_every_page(page: Page) -> None:
    press(page, "d")
    assert page.locator("article:not([hidden])").count() == 20
    press(page, "j", "a", "a")
    assert page.locator("article:not([hidden])").count() == 20  # nothing jumps away while one is deciding
    press(page, "]")
    page.wait_for_url("**/index-2.html")
    assert page.locator("article:not([hidden])").count() == 20
    press(page, "[")
    page.wait_for_url("**/index.html")
    assert page.locator("article:not([hidden])").count() == 18
    press(page, "d")
    assert page.locator("article:not([hidden])").count() == 100


def test_going_on_by_itself_can_be_switched_off(page: Page) -> None:
    page.click("#onward")
    press(page, "n", "a")
    assert current(page) == 5
    page.reload()
    assert not page.locator("#onward").is_checked()


def test_two_pages_open_side_by_side_know_of_each_other(page: Page, context: BrowserContext, pages: tuple[Path, ...]):
    other = context.new_page()
    other.goto(pages[3].as_uri())
    press(page, "n", "a", "a")
    press(other, "n", "a")
    assert counted(other) == (3, 197)
    page.wait_for_function("document.querySelector('#marks').textContent === '3'")
    page.goto(pages[9].as_uri())
    assert counted(page) == (3, 197)


def test_a_mark_on_a_shot_that_was_judged_again_does_not_count(page: Page, work: Path, tmp_path: Path) -> None:
    press(page, "n", "a", "a")
    work = Path(shutil.copytree(work, tmp_path / "work"))
    with Ledger.open(f"sqlite:///{work / 'ledger.sqlite'}") as ledger:
        worse = grade(attempt(5), "B", rubric="rubric-2")
        ledger.record_grades([worse])
        ledger.record_verdicts(RUN.run_id, [judged(attempt(5), "review", worse)])
    page.goto(write_sheet(work, tmp_path)[0].as_uri())
    assert (mark_of(page, 5), mark_of(page, 10), counted(page)) == (None, "approve", (1, 199))
    assert page.locator("[data-number='5'] .old").is_visible()
    assert export(page, tmp_path).read_text("utf-8-sig").count("approve") == 1
    press(page, "n", "a")
    assert counted(page) == (2, 198)


def test_a_browser_that_keeps_nothing_says_so_and_still_exports(
    context: BrowserContext, pages: tuple[Path, ...], tmp_path: Path
) -> None:
    page = context.new_page()
    page.add_init_script("Storage.prototype.setItem = () => { throw new DOMException('not here'); }")
    page.goto(pages[0].as_uri())
    press(page, "n", "a")
    assert "浏览器不允许保存标记" in page.locator("#toast").inner_text()
    press(page, "a", "u")
    page.fill("#who", "mei")
    page.locator("#who").blur()
    assert export(page, tmp_path).read_text("utf-8-sig").count("approve") == 1


def test_a_key_press_is_answered_at_once(page: Page) -> None:
    """With a thousand marks kept, on a page of a hundred shots; the median, so that a busy machine is no failure."""
    press(page, "n")
    page.evaluate(FILL)
    page.reload()
    page.keyboard.press("j")
    spent = page.evaluate(PRESS)
    assert sorted(spent)[len(spent) // 2] < KEY_S * 1000, spent


FILL = """() => {
  const run = document.documentElement.dataset.run;
  for (let n = 1; n <= 1000; n++) {
    const mark = { decision: 'approve', why: 'because it is good enough', marked_at: new Date().toISOString(), page: 9,
      number: n, attempt_id: 'a'.repeat(16), sku: 'MUG', scene: 'studio', state: 'accepted', seen: 's' + n };
    localStorage.setItem(`zimage:mark:${run}:other${n}`, JSON.stringify(mark));
  }
}"""

PRESS = """() => {
  const spent = [];
  for (const key of ['a', 'j', 'a', 'j', 'x', 'u', 'U', 'a', 'n', 'a', 'n', 'u', 'd', 'd', 'j', 'k']) {
    const start = performance.now();
    (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true,
      shiftKey: key === 'U' }));
    void document.body.offsetHeight;
    spent.push(performance.now() - start);
  }
  return spent;
}"""
