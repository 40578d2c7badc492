"""Commands on feeds: put a release's pictures into the file by which a shop's products travel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption
from zimage_core.errors import CatalogueError, ConfigurationError

if TYPE_CHECKING:
    from zimage_core.publishing.manifest import ManifestEntry

app = typer.Typer(help="Fill Shopify's product CSV and Google's product data with published pictures.",
                  no_args_is_help=True)  # fmt: skip
SHOWN = 20
"""SKUs that are named; of the others there is the number."""


@app.callback()
def _feeds() -> None:
    """Keep `fill` a command of its own, though it is the only one."""


@app.command()
def fill(
    feed: Annotated[Path, typer.Argument(help="Shopify's product CSV, or Google's product data as TSV, CSV or XML.")],
    out: Annotated[Path, typer.Option(help="Where the filled feed goes; may be the feed itself.")],
    channel: Annotated[
        list[str], typer.Option("--channel", "-c", help="Whose pictures; repeatable, the first one's come first.")
    ],
    manifest: Annotated[Path | None, typer.Option(help="A release's manifest.")] = None,
    promotion: Annotated[str | None, typer.Option("--promotion", "-p", help="Or: what is live of a promotion.")] = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Put a release's pictures into a feed and leave every other byte as it is; doing it twice changes nothing.

    SKUs for which there is no picture are named and left as they are.
    """
    from zimage_core.publishing.channels import known_channels
    from zimage_core.publishing.feeds import feed_pictures, fill_feed, kind_of_feed, require_no_overlay
    from zimage_core.settings import load_publish_settings, load_settings
    from zimage_core.storage import write_whole

    data = _bytes_of(feed)
    if kind_of_feed(data, feed.name) != "shopify":
        require_no_overlay(channel, known_channels(load_settings().channels))
    with _entries(manifest, promotion, work_dir, out_dir) as entries:
        pictures = feed_pictures(entries, channel, public_url=load_publish_settings().public_url)
    done = fill_feed(data, pictures, feed.name)
    if done.changes or out.resolve() != feed.resolve():
        write_whole(out, done.data)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for note in done.notes:
        console.print(note)
    _name(console, "No picture for", done.unknown)
    _name(console, "Not in the feed:", done.unused)
    console.print(f"{out}: pictures of {len(done.filled)} SKUs, {done.changes} changes.")


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def _entries(
    manifest: Path | None, promotion: str | None, work_dir: Path | None, out_dir: Path | None
) -> Iterator[tuple[ManifestEntry, ...]]:
    """Give the files of the release that was named. Raises ConfigurationError unless exactly one was."""
    from zimage_core.publishing.manifest import parse_manifest

    if (manifest is None) == (promotion is None):
        raise ConfigurationError("Say whose pictures: --manifest FILE, or --promotion NAME for what is live of it.")
    if manifest is not None:
        yield parse_manifest(_bytes_of(manifest)).entries
        return
    from tasks.order import ProductionOrder
    from tasks.runtime import opened_rooms, rooms
    from zimage_core.publishing.release import current_release

    assert promotion is not None
    with opened_rooms():
        store = rooms(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir)).cdn
        release = current_release(store, promotion)
        if release is None:
            raise ConfigurationError(f"Nothing of {promotion} is live.")
        yield parse_manifest(store.get(release.manifest_key)).entries


def _name(console: Console, what: str, skus: tuple[str, ...]) -> None:
    if skus:
        more = f" and {len(skus) - SHOWN} more" if len(skus) > SHOWN else ""
        console.print(f"{what} {', '.join(skus[:SHOWN])}{more}.")
