"""The contact sheet as a file: whole, inert, small enough, and the same for the same results."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up import CONTRAST, attempt, outcome, product, promise

from zimage_core.domain import Refusal
from zimage_core.errors import StorageError
from zimage_core.reporting.labels import LABELS

MakeSheet = Callable[..., tuple[Path, ...]]
HOSTILE = '<script>alert(1)</script>{{7*7}}{% raw %}"><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Collects what a test wants to know of a page: tags, addresses, and the text of chosen elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def with_words(words: str):
    return replace(outcome(1), promise=replace(promise(1), product=product(1, name=words, sku=words)), reason=words)


def test_the_page_holds_everything_and_asks_nobody(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1), outcome(2, "doubtful", letter="B", made_again=True)])
    page = Page(path)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert not page.all("link")
    assert not [script for script in page.all("script") if "src" in script]
    outward = [a["href"] for a in page.all("a") if re.match(r"[a-z]+:|//", a["href"] or "")]
    assert outward == []
    assert "url(" not in path.read_text("utf-8")


def test_only_its_own_script_and_style_may_run(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1)])
    text = path.read_text("utf-8")
    policy = next(m["content"] for m in Page(path).all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    for tag in ("script", "style"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<[^>]+ (?:style|on[a-z]+)=", text)


def test_words_of_the_catalogue_stay_words(make_sheet: MakeSheet) -> None:
    refusal = Refusal("extract", "odd", HOSTILE, HOSTILE, 3, "name", HOSTILE)
    (path,) = make_sheet([with_words(HOSTILE)], [refusal], title=HOSTILE)
    text, page = path.read_text("utf-8"), Page(path)
    assert text.count("<script") == 1
    assert not [image for image in page.all("img") if "onerror" in image]
    assert HOSTILE in page.texts
    assert "{{7*7}}" in text


def test_the_same_results_give_the_same_bytes(make_sheet: MakeSheet, tmp_path: Path) -> None:
    outcomes = [outcome(1), outcome(2, "doubtful", letter="B", made_again=True), outcome(3, "failed", letter=None)]
    (one,) = make_sheet(outcomes)
    (tmp_path / "elsewhere").mkdir()
    slower = [replace(o, attempts=tuple(replace(a, seconds=99.0) for a in o.attempts)) for o in outcomes]
    (two,) = make_sheet(slower, path=tmp_path / "elsewhere" / "sheet.html")
    assert one.read_bytes() == two.read_bytes()


def test_a_card_shows_the_photo_the_result_and_what_came_before(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1, "doubtful", letter="B", made_again=True)])
    page = Page(path)
    assert len(page.all("img")) == 3  # reference, result, the C before it
    words = " ".join(" ".join(page.texts).split())
    for wanted in ("MUG-0001", "¥59.00", "the product drowned in its backdrop", "C 0.40", "9.5 ΔE", "because doubtful"):
        assert wanted in words
    (card,) = page.all("article")
    assert card["data-attempt"] == attempt(1, 2, CONTRAST).attempt_id


def test_a_shot_without_a_picture_has_nothing_to_decide(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1, "failed", letter=None), outcome(2)])
    assert ["data-attempt" in card for card in Page(path).all("article")] == [False, True]


def test_what_policy_gave_up_can_be_asked_for_again_but_not_waved_through(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1, "given_up", letter="C")])
    assert [b["data-mark"] for b in Page(path).all("button") if "data-mark" in b] == ["regenerate"]


def test_a_picture_that_cannot_be_decoded_does_not_stop_the_sheet(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(1)], picture=lambda _outcome, _attempt: b"not a picture")
    assert LABELS["unreadable"][1] in Page(path).texts


def test_pictures_are_made_small(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([outcome(n) for n in range(8)])
    sides = [max(int(image["width"]), int(image["height"])) for image in Page(path).all("img")]
    assert max(sides) == 960
    assert path.stat().st_size < 8 * 250_000


def test_many_shots_go_on_linked_pages(make_sheet: MakeSheet) -> None:
    pages = make_sheet([outcome(n) for n in range(5)], shots_per_page=2)
    assert [path.name for path in pages] == ["sheet.html", "sheet-2.html", "sheet-3.html"]
    found = [Page(path) for path in pages]
    assert [len(page.all("article")) for page in found] == [2, 2, 1]
    for page, links in zip(found, (["sheet-2.html"], ["sheet.html", "sheet-3.html"], ["sheet-2.html"]), strict=True):
        assert [a["href"] for a in page.all("a") if a.get("rel") in ("prev", "next")] == links * 2
    numbers = [card["data-number"] for page in found for card in page.all("article")]
    assert numbers == ["1", "2", "3", "4", "5"]


def test_a_shorter_sheet_leaves_no_pages_of_the_longer_one(make_sheet: MakeSheet, tmp_path: Path) -> None:
    make_sheet([outcome(n) for n in range(3)], shots_per_page=1)
    make_sheet([outcome(1)], shots_per_page=1)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.html"]


def test_the_number_of_threads_changes_nothing(make_sheet: MakeSheet) -> None:
    outcomes = [outcome(n) for n in range(6)]
    one = make_sheet(outcomes, workers=1)[0].read_bytes()
    assert make_sheet(outcomes, workers=8)[0].read_bytes() == one


def test_a_run_without_shots_still_says_what_was_refused(make_sheet: MakeSheet) -> None:
    (path,) = make_sheet([], [Refusal("extract", "price_missing", "The price is empty.", "MUG-0107", 7)])
    assert "The price is empty." in Page(path).texts


def test_only_so_many_refusals_are_listed_and_the_rest_is_counted(make_sheet: MakeSheet) -> None:
    refusals = [Refusal("extract", "price_missing", "The price is empty.", f"SKU-{n}", n) for n in range(620)]
    (path,) = make_sheet([outcome(1)], refusals)
    page = Page(path)
    assert page.texts.count("The price is empty.") == 500
    assert any(text.strip().startswith("120") for text in page.texts)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_both_languages_are_in_the_page_and_one_is_shown_first(make_sheet: MakeSheet, language: str) -> None:
    (path,) = make_sheet([outcome(1)], language=language)
    page = Page(path)
    assert page.all("html")[0]["data-language"] == language
    for words in LABELS["approve"]:
        assert words in page.texts


def test_renditions_are_linked_beside_the_sheet(make_sheet: MakeSheet) -> None:
    shown = outcome(1)
    (path,) = make_sheet([shown], link=lambda file: f"../cdn/{file.object_key}")
    assert f"../cdn/{shown.renditions[0].object_key}" in [a["href"] for a in Page(path).all("a")]


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(make_sheet: MakeSheet, tmp_path: Path) -> None:
    (tmp_path / "sheet.html").mkdir()
    with pytest.raises(StorageError, match="could not be written"):
        make_sheet([outcome(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.html"]
