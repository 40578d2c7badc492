"""The contact sheet in a real browser, opened from the disk as a shop owner would."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import chromium, listened_to
from made_up import attempt, outcome, product, promise
from playwright.sync_api import Browser, Page

from zimage_core.domain import Attempt, Refusal, ShotOutcome
from zimage_core.reporting import summarise, write_contact_sheet
from zimage_core.reporting.decisions import DECISION_COLUMNS, read_decisions

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "products" / "mug.jpg"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">{{7*7}}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hostile = replace(outcome(5), promise=replace(promise(5), product=product(5, name=HOSTILE)))
    outcomes = [
        outcome(1),
        outcome(2, made_again=True),
        outcome(3, "doubtful", letter="B"),
        outcome(4, "given_up", letter="C"),
        hostile,
        outcome(6, "failed", letter=None),
    ]
    refusals = [Refusal("extract", "price_missing", "The price is empty.", "MUG-0107", 7)]

    def picture(_outcome: ShotOutcome, of: Attempt | None) -> bytes | None:
        return PHOTO.read_bytes() if of is None or of.object_key else None

    path = tmp_path_factory.mktemp("sheet") / "contact sheet.html"
    summary = summarise(outcomes, refusals)
    write_contact_sheet(outcomes, path, title="Double 11", summary=summary, refusals=refusals, picture=picture)
    return path


@pytest.fixture
def page(browser: Browser, sheet: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    said = listened_to(opened)
    opened.goto(sheet.as_uri())
    yield opened
    context.close()
    assert said == []  # no error, no violated policy, no request to anybody


def shown(page: Page) -> list[str]:
    return page.locator("article:not([hidden])").evaluate_all("cards => cards.map(card => card.dataset.number)")


def test_every_picture_is_there(page: Page) -> None:
    page.locator("article").last.scroll_into_view_if_needed()
    sizes = page.locator("article img").evaluate_all(
        "images => Promise.all(images.map(i => { i.loading = 'eager'; return i.decode().then(() => i.naturalWidth) }))"
    )
    assert len(sizes) == 12
    assert all(size > 0 for size in sizes)


def test_words_of_the_catalogue_do_not_run(page: Page) -> None:
    assert page.title() == "Double 11"
    assert page.locator("#name-5").inner_text() == HOSTILE
    assert page.locator("article img[src='x']").count() == 0


def test_filters_narrow_what_is_shown_and_can_be_cleared(page: Page) -> None:
    page.click("button[data-state=accepted]")
    assert shown(page) == ["1", "2", "5"]
    page.fill("#search", "mug-0002")
    assert shown(page) == ["2"]
    assert page.locator("#shown").inner_text() == "1"
    page.fill("#search", "nothing like this")
    assert page.locator("#nothing").is_visible()
    page.click("#clear")
    assert len(shown(page)) == 6
    page.click("button[data-letter=B]")
    page.click("button[data-letter=C]")
    assert shown(page) == ["3", "4"]


def test_what_waits_for_a_person_can_come_first(page: Page) -> None:
    page.select_option("#sort", "review")
    assert shown(page)[0] == "3"
    page.select_option("#sort", "catalogue")
    assert shown(page) == ["1", "2", "3", "4", "5", "6"]


def test_a_person_decides_by_keyboard_and_exports_what_the_ledger_reads(page: Page, tmp_path: Path) -> None:
    for key in ("j", "a", "j", "a", "x", "j", "g"):
        page.keyboard.press(key)
    page.keyboard.type('=too dark, "really"')
    page.keyboard.press("Enter")
    page.keyboard.press("e")
    assert page.locator("#toast").is_visible()
    page.fill("#who", "李倩")
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "decisions.csv"
    download.value.save_as(tmp_path / "decisions.csv")
    with (tmp_path / "decisions.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == DECISION_COLUMNS
    shown = [(row["attempt_id"], row["decision"], row["who"], row["sku"], row["grade"], row["state"]) for row in rows]
    assert shown == [
        (attempt(1).attempt_id, "approve", "李倩", "MUG-0001", "A", "accepted"),
        (attempt(3).attempt_id, "regenerate", "李倩", "MUG-0003", "B", "doubtful"),
    ]
    assert rows[1]["why"] == '\'=too dark, "really"'
    read = read_decisions((tmp_path / "decisions.csv").read_text("utf-8-sig"), "decisions.csv", None)
    assert [(line.kind, line.why) for line in read.lines] == [
        ("approve", ""),
        ("regenerate", '=too dark, "really"'),
    ]


def test_marks_survive_closing_the_page(page: Page) -> None:
    page.locator("[data-number='3'] [data-mark=approve]").click()
    page.reload()
    assert page.locator("[data-number='3'] [data-mark=approve]").get_attribute("aria-pressed") == "true"
    assert page.locator("#marks").inner_text() == "1"


def test_a_key_does_nothing_where_there_is_nothing_to_decide(page: Page) -> None:
    page.click("button[data-state=given_up]")
    page.keyboard.press("j")
    page.keyboard.press("a")
    assert page.locator("#marks").inner_text() == "0"
    page.keyboard.press("g")
    assert page.locator("#marks").inner_text() == "1"


def test_the_result_can_be_seen_large_beside_the_photo(page: Page) -> None:
    page.locator("[data-number='1'] .shot-result button").click()
    assert page.locator("#lightbox").is_visible()
    assert page.locator("#lightbox img").count() == 2
    page.keyboard.press("ArrowRight")
    assert page.locator("#lightbox .lightbar p span").inner_text() == "MUG-0002"
    page.keyboard.press("Escape")
    assert not page.locator("#lightbox").is_visible()


def test_the_language_switches_every_label(page: Page) -> None:
    assert page.locator("#export").inner_text() == "导出决定"
    page.click("#language")
    assert page.locator("#export").inner_text() == "Export decisions"
    assert page.locator("#search").get_attribute("placeholder") == "Search SKU or name"
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_nothing_sticks_out_at_any_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for fold in page.locator("article[data-number='2'] summary").all():
        fold.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name_and_text_can_be_read_in_light_and_dark(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a')].filter(el => el.checkVisibility()
            && !(el.innerText || '').trim() && !el.getAttribute('aria-label')).length"""
    )
    assert nameless == 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => colour.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (el) => {
    for (; el; el = el.parentElement) {
      const colour = rgb(getComputedStyle(el).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  let worst = { ratio: 21 };
  for (const el of document.querySelectorAll('body *')) {
    const words = [...el.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!words || !el.checkVisibility() || el.closest('.skip, option, kbd')) continue;
    const [a, b] = [light(rgb(getComputedStyle(el).color)), light(behind(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = { ratio, words, class: el.className, parent: el.parentElement.className };
  }
  return worst;
}"""
