"""Whatever a feed looks like, what is not a picture's comes out byte for byte; filling twice is filling once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from zimage_core.publishing.feeds import FeedPicture, FeedPictures, fill_feed

BASE = "https://img.example/img/"
HEADERS = ["Handle", "Title", "Body (HTML)", "Variant SKU", "Image Src", "Image Position", "名称", "Status"]
SRC, POSITION, SKU = HEADERS.index("Image Src"), HEADERS.index("Image Position"), HEADERS.index("Variant SKU")


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    encoding: str
    separator: str
    line_end: str
    last_line_ends: bool


forms = st.builds(
    Form,
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
texts = st.text(st.sampled_from(list("ab 1,;\t\"'\n\r&<>杯é\ufeff\u200b=|")), max_size=12)


def written(value: str, form: Form, *, quoted: bool) -> str:
    needs = any(sign in value for sign in (form.separator, '"', "\r", "\n")) or value != value.strip()
    return '"' + value.replace('"', '""') + '"' if quoted or needs else value


@st.composite
def feeds(draw: st.DrawFn) -> tuple[Form, list[list[str]], list[str | None]]:
    """A feed as rows of written cells, and the SKU that each row names; one product a row."""
    form = draw(forms)
    rows, skus = [], []
    for number in range(draw(st.integers(0, 6))):
        sku = f"S-{number}"
        values = [f"h{number}", *draw(st.tuples(texts, texts)), sku, *draw(st.tuples(texts, texts, texts, texts))]
        quotes = draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
        rows.append([written(value, form, quoted=q) for value, q in zip(values, quotes, strict=True)])
        skus.append(sku if draw(st.booleans()) else None)
    return form, rows, skus


def joined(form: Form, rows: list[list[str]]) -> bytes:
    lines = [form.separator.join(row) for row in [HEADERS, *rows]]
    return (form.line_end.join(lines) + (form.line_end if form.last_line_ends else "")).encode(form.encoding)


def picture(sku: str, n: int = 0) -> FeedPicture:
    return FeedPicture(f"{BASE}{sku}/{n}.jpg", "", "packshot", hashlib.sha256(f"{sku}{n}".encode()).hexdigest())


def same_or_new(form: Form, cell: str, value: str) -> str:
    return cell if cell in (value, f'"{value}"') else written(value, form, quoted=cell.startswith('"'))


@settings(max_examples=300, deadline=None)
@given(feeds(), st.integers(1, 3))
def test_only_the_pictures_change(feed: tuple[Form, list[list[str]], list[str | None]], count: int) -> None:
    form, rows, skus = feed
    pictures = FeedPictures(
        {sku: tuple(picture(sku, n) for n in range(count)) for sku in skus if sku is not None}, BASE
    )
    wanted: list[list[str]] = []
    for row, sku in zip(rows, skus, strict=True):
        changed = list(row)
        if sku is not None:
            changed[SRC] = same_or_new(form, row[SRC], f"{BASE}{sku}/0.jpg")
            changed[POSITION] = same_or_new(form, row[POSITION], "1")
        wanted.append(changed)
        for n in range(1, count) if sku is not None else ():
            added = [row[0], *[""] * (len(HEADERS) - 1)]
            added[SRC], added[POSITION] = f"{BASE}{sku}/{n}.jpg", str(n + 1)
            wanted.append(added)
    done = fill_feed(joined(form, rows), pictures, "products.csv")
    assert done.data == joined(form, wanted)
    again = fill_feed(done.data, pictures, "products.csv")
    assert (again.data, again.changes) == (done.data, 0)


@settings(max_examples=200, deadline=None)
@given(feeds())
def test_a_feed_without_matches_comes_out_as_it_went_in(
    feed: tuple[Form, list[list[str]], list[str | None]],
) -> None:
    form, rows, _ = feed
    data = joined(form, rows)
    done = fill_feed(data, FeedPictures({"another": (picture("another"),)}, BASE), "products.csv")
    assert (done.data, done.changes) == (data, 0)


blanks = st.sampled_from(["", " ", "\n  ", "\r\n\t"])
inside = st.sampled_from(
    ["<g:title>杯 &amp; b</g:title>", "<!-- <g:image_link>x</g:image_link> -->", "<g:note a='>'/>",
     "<![CDATA[<g:id>]]>", "<g:shipping><g:id>9</g:id></g:shipping>", "<link>https://a.example/?a&amp;b</link>", "text"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(blanks, inside, blanks), max_size=5),
    st.lists(st.tuples(blanks, inside, blanks), max_size=5),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_only_the_link_of_an_item_changes(
    before: list[tuple[str, str, str]], after: list[tuple[str, str, str]], encoding: str, known: bool
) -> None:
    def feed(link: str) -> bytes:
        left, right = ("".join("".join(part) for part in parts) for parts in (before, after))
        return (
            f"<rss xmlns:g='http://base.google.com/ns/1.0'><item>{left}<g:id> S-0\n</g:id>{right}"
            f"<g:image_link  >{link}</g:image_link></item>\r\n</rss>\n"
        ).encode(encoding)

    sku = "S-0" if known else "another"
    done = fill_feed(feed("https://a.example/old.jpg"), FeedPictures({sku: (picture(sku),)}, BASE), "google.xml")
    assert done.data == feed(f"{BASE}S-0/0.jpg" if known else "https://a.example/old.jpg")
    assert fill_feed(done.data, FeedPictures({sku: (picture(sku),)}, BASE), "google.xml").changes == 0
