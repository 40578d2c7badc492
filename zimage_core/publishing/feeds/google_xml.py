"""Google's product data as XML: elements are set by their place in the bytes, everything else stays what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat  # for the places of elements; document types, its danger, are refused
from xml.sax.saxutils import escape

from zimage_core.catalogue.xml_feed import ITEM_TAGS, NAMESPACE
from zimage_core.errors import CatalogueError
from zimage_core.publishing.feeds.google import google_links
from zimage_core.publishing.feeds.pictures import FeedPicture, FeedPictures

_ATTRIBUTES: Final = ("id", "image_link", "additional_image_link", "lifestyle_image_link")
_TAG_END: Final = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")


@dataclass(slots=True)
class _Element:
    """An element of an item: `start` of its start tag, `inside` its contents (None for <a/>), `end` of its end tag."""

    name: str
    start: int
    prefix: bytes
    declares: bool
    text: str = ""
    inside: tuple[int, int] | None = None
    end: int = 0

    def like(self, name: str, value: str) -> bytes:
        """Return an element of another name, in the same namespace by the same prefix, which is declared if need be."""
        tag = self.prefix + name.encode()
        mark = b":" + self.prefix.rstrip(b":") if self.prefix else b""
        declared = b' xmlns%s="%s"' % (mark, NAMESPACE.encode()) if self.declares else b""
        return b"<%s%s>%s</%s>" % (tag, declared, _escaped(value), tag)


@dataclass(slots=True)
class _Item:
    elements: list[_Element] = field(default_factory=list)

    def named(self, name: str) -> list[_Element]:
        return [element for element in self.elements if element.name == name]


class GoogleXmlFeed:
    """One feed being filled, as UTF-8; `known` are the SKUs it has, `notes` what was left as it was.

    Raises CatalogueError for what is not XML, has a document type or no item with a g:id.
    """

    def __init__(self, data: bytes, pictures: FeedPictures, name: str) -> None:
        self.data = data
        self.pictures = pictures
        self.known: dict[str, None] = {}
        self.notes: list[str] = []
        self._edits: list[tuple[int, int, int, bytes]] = []
        self._items = [item for item in _Reader(data, name).items if item.named("id")]
        if not self._items:
            raise CatalogueError(f"{name} has no <item> or <entry> with a <g:id>; it is no product data of Google's.")

    def filled(self) -> tuple[bytes, int]:
        """Return the bytes with the pictures in them, and how many places have changed."""
        for item in self._items:
            sku = item.named("id")[0].text.strip()
            self.known[sku] = None
            pictures = self.pictures.by_sku.get(sku, ())
            if pictures:
                self._fill(item, sku, pictures)
        pieces, at = [], 0
        for start, end, _, new in sorted(self._edits):
            pieces += [self.data[at:start], new]
            at = end
        return b"".join([*pieces, self.data[at:]]), len(self._edits)

    def _fill(self, item: _Item, sku: str, pictures: Sequence[FeedPicture]) -> None:
        had = [element.text.strip() for element in item.named("additional_image_link")]
        links = google_links(pictures, had, self.pictures, lifestyle=True)
        after = item.named("id")[0]
        if links.image is None:
            self.notes.append(f"{sku} has staged pictures only, so g:image_link stays as it is.")
        else:
            after = self._set(item, "image_link", [links.image], after)
        if links.lifestyle is not None:
            after = self._set(item, "lifestyle_image_link", [links.lifestyle], after)
        self._set(item, "additional_image_link", list(links.additional), after)

    def _set(self, item: _Item, name: str, values: Sequence[str], after: _Element) -> _Element:
        """Give the elements of a name these values: set those that are there, add or remove the others.

        Return the element behind which the next name goes.
        """
        there = item.named(name)
        for element, value in zip(there, values, strict=False):
            if element.text.strip() != value:
                self._set_text(element, value)
        for element in there[len(values) :]:
            self._edit(element.start - len(self._indent(element)), element.end, b"")
        last = there[min(len(there), len(values)) - 1] if there and values else after
        example = item.named("id")[0]
        for value in values[len(there) :]:
            self._edit(last.end, last.end, self._indent(after) + example.like(name, value))
        return last

    def _set_text(self, element: _Element, value: str) -> None:
        if element.inside is not None:
            self._edit(*element.inside, _escaped(value))
            return
        self._edit(element.start, element.end, element.like(element.name, value))

    def _indent(self, element: _Element) -> bytes:
        """Return the blanks before an element, which a new one behind it gets, too."""
        before = self.data[max(0, element.start - 200) : element.start]
        return before[len(before.rstrip()) :]

    def _edit(self, start: int, end: int, new: bytes) -> None:
        self._edits.append((start, end, len(self._edits), new))


class _Reader:
    """Finds the items and, right inside them, the elements of Google's namespace that matter here."""

    def __init__(self, data: bytes, name: str) -> None:
        self.items: list[_Item] = []
        self._data, self._name = data, name
        self._path: list[str] = []
        self._item: _Item | None = None
        self._depth = 0
        self._element: _Element | None = None
        parser = expat.ParserCreate("utf-8", " ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise CatalogueError(f"{name} cannot be read as XML: {error}.") from None

    def _doctype(self, *_: object) -> None:
        raise CatalogueError(f"{self._name} has a document type, which no feed needs and which can be a trap.")

    def _start(self, tag: str, _: object) -> None:
        self._path.append(tag)
        namespace, _, local = tag.rpartition(" ")
        if self._item is None:
            if local in ITEM_TAGS:
                self._item, self._depth = _Item(), len(self._path)
        elif len(self._path) == self._depth + 1 and namespace == NAMESPACE and local in _ATTRIBUTES:
            start = self._parser.CurrentByteIndex
            opened = _TAG_END.match(self._data, start)
            assert opened is not None, "expat has found the end of this tag"
            prefix, colon, _ = opened[0][1:].partition(local.encode())[0].partition(b":")
            self._element = _Element(local, start, prefix + colon, b"xmlns" in opened[0])

    def _characters(self, text: str) -> None:
        if self._element is not None:
            self._element.text += text

    def _end(self, tag: str) -> None:
        at = self._parser.CurrentByteIndex
        if self._element is not None and len(self._path) == self._depth + 1 and self._item is not None:
            element, self._element = self._element, None
            opened = _TAG_END.match(self._data, element.start)
            assert opened is not None, "expat has found the end of this tag"
            if self._data[opened.end() - 2 : opened.end()] == b"/>":
                element.end = opened.end()
            else:
                element.inside = (opened.end(), at)
                element.end = self._data.index(b">", at) + 1
            self._item.elements.append(element)
        elif self._item is not None and len(self._path) == self._depth:
            self.items.append(self._item)
            self._item = None
        self._path.pop()


def _escaped(value: str) -> bytes:
    return escape(value).encode()
