"""Commands around what is live: releases, rollback, go-live, expire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption
from zimage_core.errors import ConfigurationError, ZImageError

if TYPE_CHECKING:
    from tasks.order import ProductionOrder
    from tasks.releases import Shelf
    from zimage_core.publishing.history import Held
    from zimage_core.publishing.purge import PurgeOutcome
    from zimage_core.publishing.retention import Pruning

AlthoughOverOption = Annotated[
    bool, typer.Option("--although-over", help="Although the promotion is over and its prices were taken down.")
]
WhoOption = Annotated[str | None, typer.Option(help="Who does this, for those who ask later.")]
_SHOWN = 20


def releases(
    promotion: Annotated[str | None, typer.Argument(help="Whose releases; none = what is live of all.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Say what retention would delete; see --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: delete it.")] = False,
    grace_days: Annotated[float, typer.Option(min=0, help="How long a file must have been unused.")] = 7.0,
    purge: Annotated[bool, typer.Option("--purge", help="Tell the cache again that the pointers moved.")] = False,
    drop: Annotated[str | None, typer.Option(help="A held release that shall not go live after all.")] = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """List what is live, since when and by whom, what waits, and what can be gone back to."""
    from tasks import releases as tasks
    from tasks.runtime import opened_rooms

    if promotion is None and (purge or drop):
        raise ConfigurationError("--purge and --drop need to know which promotion.")
    with opened_rooms():
        if prune:
            _say(*_pruned(tasks.prune(grace_days, dry=not yes, work_dir=work_dir, out_dir=out_dir), dry=not yes))
            return
        if promotion is not None and purge:
            _say_purge(tasks.purge_again(promotion, work_dir, out_dir), always=True)
            return
        if promotion is not None and drop:
            let_go = tasks.let_go(promotion, drop, work_dir, out_dir)
            _say(f"{let_go.release_id} of {promotion} is not held any more.")
            return
        _say(*_lines(tasks.shelf(promotion, work_dir, out_dir), promotion))


def rollback(
    promotion: Annotated[str, typer.Argument(help="Whose pointer to move back.")],
    to: Annotated[str | None, typer.Option(help="A release id; none = the one before the current.")] = None,
    who: WhoOption = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Point a promotion at an earlier release. Files of kept releases are never deleted, so this takes no time."""
    from tasks.releases import roll_back
    from tasks.runtime import opened_rooms

    with opened_rooms():
        release, purged = roll_back(promotion, to, who, work_dir, out_dir)
    _say(f"{promotion} now points at release {release.release_id} ({release.rendition_count} files).")
    _say_purge(purged)


def go_live(
    promotion: Annotated[str | None, typer.Argument(help="Whose held release; none = all whose time has come.")] = None,
    release: Annotated[str | None, typer.Option(help="Which, where several are held.")] = None,
    early: Annotated[bool, typer.Option(help="Although its time has not come.")] = False,
    although_over: AlthoughOverOption = False,
    who: WhoOption = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Make a release live that was prepared and held; without a promotion, those that are due: for a schedule."""
    from tasks import releases as tasks
    from tasks.runtime import opened_rooms

    if promotion is None and (release or early or although_over):
        raise ConfigurationError("--release, --early and --although-over need to know which promotion.")
    folders = {"work_dir": work_dir, "out_dir": out_dir}
    with opened_rooms():
        held = [(one.promotion, one.release_id) for one in tasks.due(work_dir, out_dir)]
        chosen = held if promotion is None else [(promotion, release)]
        if not chosen:
            _say("No held release is due.")
        failed = 0
        for name, release_id in chosen:
            with _told_if_one_of_many(len(chosen)) as told:
                old = tasks.outdated(name, release_id, early=early, **folders)
                if old is not None:
                    _publish_anew(*old, although_over=although_over)
                    continue
                made, purged = tasks.go_live(
                    name, release_id, early=early, who=who, although_over=although_over, **folders
                )
                _say(f"{name} now points at release {made.release_id} ({made.rendition_count} files).")
                _say_purge(purged)
            failed += len(told)
    if failed:
        raise typer.Exit(1)


def expire(
    promotion: Annotated[str | None, typer.Argument(help="Which; none = all that are over: for a schedule.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where its last day ends; none = the promotion's own zone.")] = None,
    although_running: Annotated[bool, typer.Option("--although-running", help="Although it is not over.")] = False,
    who: WhoOption = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Take badge and price out of what a promotion shows, by releasing the same pictures without them."""
    Console(stderr=True).print("[dim]Starting Prefect …[/]")
    from flows.operate import Expired, ExpireRequest, expire_over
    from tasks.runtime import opened_rooms
    from zimage_core.publishing.expiry import zone_of

    request = ExpireRequest(
        promotion=promotion, although_running=although_running, who=who, work_dir=work_dir, out_dir=out_dir
    )

    def tell(one: Expired) -> None:
        _say(one.sentence)

    with opened_rooms():
        found = expire_over(request, zone_of(zone) if zone else None, tell)
    if not found:
        _say("No live promotion is over, or all that are show no prices.")
    if any(one.error is not None for one in found):
        raise typer.Exit(1)


def _publish_anew(order: ProductionOrder, run_id: str, held: Held, *, although_over: bool) -> None:
    """Publish what was held with the prices as they are now, and hold the old one no longer."""
    from flows.publish import publish
    from tasks.releases import let_go

    _say(f"Prices of {order.promotion} have changed since {held.release_id} was prepared; they are drawn anew.")
    released = publish(order, run_id, although_over)
    if released is not None:
        let_go(order.promotion, held.release_id, order.work_dir, order.out_dir)
        _say(f"{order.promotion} now points at release {released.release_id}.")


COMMANDS = (releases, rollback, go_live, expire)


# ---------------------------------------------------------------- what is said


def _lines(shelf: Shelf, promotion: str | None) -> list[str]:
    lines: list[str] = []
    for live in shelf.live:
        lines.append(
            f"{live.promotion}  live {live.release_id}  {live.files} files for {', '.join(live.channels)}  "
            f"{_when(live.since, live.by, live.kind)}"
        )
        if live.lagging:
            lines.append(f"  behind: {', '.join(live.lagging)}; publish or roll back again to move them on")
    lines += [_held(one) for one in shelf.held]
    lines += [
        f"  {line.release_id}  {line.state}  {'?' if line.files is None else line.files} files  "
        f"{_when(line.at, line.by, line.kind)}"
        for line in shelf.lines
    ]
    return lines or [f"Nothing{f' of {promotion}' if promotion else ''} is live."]


def _held(held: Held) -> str:
    when = "when somebody says so" if held.not_before is None else f"from {_moment(held.not_before)}"
    return f"{held.promotion}  held {held.release_id}  {held.files} files  goes live {when}  {_by(held.by)}".rstrip()


def _when(at: datetime | None, by: str | None, kind: str | None) -> str:
    since = "at a time not noted" if at is None else _moment(at)
    return f"{since}  {(kind or 'published').replace('_', ' ')} {_by(by)}".rstrip()


def _by(by: str | None) -> str:
    return f"by {by}" if by else ""


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M %Z}"


def _pruned(found: Pruning, *, dry: bool) -> list[str]:
    lines = [f"{found.kept_releases} releases are kept, with {found.kept_objects} objects."]
    if dry:
        lines += [f"  would delete {key}" for key in found.doomed[:_SHOWN]]
        lines.append(f"{len(found.doomed)} objects would be deleted; say --yes to do it.")
    else:
        lines.append(f"{found.deleted} objects were deleted.")
    if found.waiting:
        lines.append(f"{len(found.waiting)} more are unused, but not for long enough yet.")
    return lines


@contextmanager
def _told_if_one_of_many(count: int) -> Iterator[list[ZImageError]]:
    """Say what went wrong with one of several promotions, and let the others go on."""
    told: list[ZImageError] = []
    try:
        yield told
    except ZImageError as error:
        if count == 1:
            raise
        told.append(error)
        _say(f"{error.code}: {error}")


def _say(*lines: str) -> None:
    for line in lines:
        Console().print(line, soft_wrap=True, markup=False, highlight=False)


def _say_purge(outcome: PurgeOutcome, *, always: bool = False) -> None:
    if always or not outcome.is_done:
        _say(outcome.sentence)
