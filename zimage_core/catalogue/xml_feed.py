"""Google's product data as XML (RSS 2.0 or Atom with the namespace `g:`) as a catalogue: a row per item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import polars as pl
from defusedxml.common import DefusedXmlException

from zimage_core.catalogue.columns import choose_columns
from zimage_core.catalogue.source import BATCH_ROWS, TextSource, sha256_of_file
from zimage_core.errors import CatalogueError

ITEM_TAGS: Final = ("item", "entry")
NAMESPACE: Final = "http://base.google.com/ns/1.0"


def open_xml_feed(path: Path, mapping: Mapping[str, str] | None) -> TextSource:
    """Open an XML feed. Record numbers count items from 1; of an attribute that is repeated the first counts.

    Raises CatalogueError: not XML, a document type (which nobody needs and which can be a trap), no item; and see
    `columns.choose_columns`.
    """
    rows = list(_rows(path))
    if not rows:
        raise CatalogueError(f"{path.name} has no <item> or <entry>; Google's product data is read, no other XML.")
    headers = list(dict.fromkeys(name for row in rows for name in row))
    columns = choose_columns(headers, mapping, path.name, feeds=True)
    numbers = pl.Series("record_no", range(1, len(rows) + 1), dtype=pl.UInt32)
    frame = pl.DataFrame(
        [
            numbers,
            *(
                pl.Series(name, [row.get(column) for row in rows], dtype=pl.String)
                for name, column in columns.taken.items()
            ),
        ]
    )
    digest = sha256_of_file(path)
    return TextSource(columns, frame.iter_slices(BATCH_ROWS), lambda: digest)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield each item's attributes by name: Google's own, and where it has none of that name the feed's."""
    try:
        for _, element in defusedxml.ElementTree.iterparse(path, events=("end",), forbid_dtd=True):
            if _local(element.tag) in ITEM_TAGS:
                yield _attributes(element)
                element.clear()
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise CatalogueError(f"{path.name} cannot be read as XML: {error}.") from None


def _attributes(item: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for ours in (True, False):
        for child in item:
            if child.tag.startswith(f"{{{NAMESPACE}}}") is ours and len(child) == 0:
                found.setdefault(_local(child.tag).replace("_", " "), child.text or "")
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
