"""What an operator starts from the Prefect UI beside productions: publish what people decided, expire what is over.

The same sentences stand behind `zimage publish` and `zimage expire`; here they have a form, and a schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from flows.expire import expire
from flows.publish import publish
from tasks.expire import expired_promotions, order_of_live, refuse_while_running
from tasks.order import ProductionOrder
from tasks.report import write_report
from tasks.runs import latest_run_of, order_of, unaccounted
from zimage_core import clock
from zimage_core.domain import Release
from zimage_core.errors import ConfigurationError, ZImageError
from zimage_core.publishing.history import Held


class _Request(BaseModel):
    """What operators' forms share: an empty field means the same as one that was not filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("run_id", "promotion", "who", "work_dir", "out_dir", mode="before", check_fields=False)
    @classmethod
    def _empty_means_none(cls, value: object) -> object:
        return None if value == "" else value


class PublishRequest(_Request):
    """Which run to release, and when."""

    run_id: str | None = Field(
        None, title="Run", description="A run's id, as reports show it. None = the latest run of the promotion below."
    )
    promotion: str | None = Field(
        None, title="Promotion", description="Whose latest run, where none is named. None = the latest run of all."
    )
    partial: bool = Field(
        False, title="Partial", description="Release what is accepted although some pictures are not made yet."
    )
    hold: bool = Field(False, title="Hold", description="Prepare and check the release, and let a person make it live.")
    go_live_at: AwareDatetime | None = Field(
        None,
        title="Go live at",
        description="Hold the release until then, with a time zone: 2027-06-01T00:00+08:00. See `zimage go-live`.",
    )
    although_over: bool = Field(
        False,
        title="Although over",
        description="Although the promotion is over and its prices were taken down.",
    )
    work_dir: Path | None = Field(None, title="Work folder", description="None = the configured one.")
    out_dir: Path | None = Field(None, title="Output folder", description="None = the configured one.")


class ExpireRequest(_Request):
    """Which promotion's badges and prices come down."""

    promotion: str | None = Field(
        None, title="Promotion", description="Which one. None = every promotion that is over."
    )
    although_running: bool = Field(
        False, title="Although running", description="Take its prices down although the promotion is not over."
    )
    who: str | None = Field(None, title="Who", description="Who does this, for those who ask later.")
    work_dir: Path | None = Field(None, title="Work folder", description="None = the configured one.")
    out_dir: Path | None = Field(None, title="Output folder", description="None = the configured one.")


class _Named(BaseModel):
    """What a request is about, whichever it is."""

    promotion: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What came of publishing a run; `release` None = nothing is accepted yet."""

    order: ProductionOrder
    run_id: str
    release: Release | Held | None


@dataclass(frozen=True, slots=True)
class Expired:
    """What came of expiring one promotion: its plain release, or why there is none."""

    promotion: str
    release: Release | None
    error: ZImageError | None = None

    @property
    def sentence(self) -> str:
        """What to tell a person."""
        if self.release is None:
            return f"{self.promotion}: {type(self.error).__name__}: {self.error}"
        return (
            f"{self.promotion} shows no badge and no price any more: release {self.release.release_id}, "
            f"{self.release.rendition_count} files."
        )


def _run_name() -> str:
    """Return what a run is called in the UI: what is done and to what, as far as that was said."""
    request = _Named.model_validate(flow_run.parameters["request"], from_attributes=True)
    return " ".join(part for part in (flow_run.flow_name, request.promotion, request.run_id) if part)


@flow(name="publish-accepted", flow_run_name=_run_name)
def publish_accepted(request: PublishRequest = PublishRequest()) -> State[None]:  # noqa: B008 - frozen
    """Release what is accepted of a run, then write its report again. The run's state says what came of it."""
    published = publish_run(request)
    return Completed(message=_published_sentence(published))


@flow(name="expire-promotions", flow_run_name=_run_name)
def expire_promotions(request: ExpireRequest = ExpireRequest()) -> State[None]:  # noqa: B008 - frozen
    """Take badge and price out of what promotions show that are over. The run's state says what came of each."""
    found = expire_over(request)
    said = " ".join(one.sentence for one in found) or "No live promotion is over, or all that are show no prices."
    return Completed(message=said) if all(one.error is None for one in found) else Failed(message=said)


def publish_run(request: PublishRequest) -> Published:
    """Release what is accepted of a run and write its report again.

    Raises ConfigurationError when there is no such run or some of its shots are not made yet, PublishError as
    `flows.publish` does.
    """
    chosen = request.run_id
    if chosen is None and request.promotion is not None:
        chosen = latest_run_of(request.promotion, request.work_dir, request.out_dir)
    order, run_id = order_of(chosen, request.work_dir, request.out_dir)
    if not request.partial and (missing := unaccounted(order, run_id)):
        raise ConfigurationError(
            f"{missing} shots of {run_id} are not made yet; run it again first, or publish it partially (--partial)."
        )
    order = order.model_copy(update={"hold": request.hold, "go_live_at": request.go_live_at})
    released = publish(order, run_id, request.although_over)
    write_report(order, run_id)
    return Published(order, run_id, released)


def expire_over(
    request: ExpireRequest, zone: ZoneInfo | None = None, tell: Callable[[Expired], None] = lambda _one: None
) -> list[Expired]:
    """Take badge and price out of what is shown of one promotion, or of all that are over; `tell` hears of each.

    `zone` None = each promotion's own says when its last day ends. What goes wrong with one of several stops none of
    the others; with the only one it is raised.
    """
    work_dir, out_dir, now = request.work_dir, request.out_dir, clock.now()
    named = request.promotion
    chosen = expired_promotions(now, zone, work_dir, out_dir) if named is None else [named]
    found: list[Expired] = []
    for name in chosen:
        try:
            found.append(Expired(name, _expire_one(name, request, now, zone)))
        except ZImageError as error:
            if len(chosen) == 1:
                raise
            found.append(Expired(name, None, error))
        tell(found[-1])
    return found


def _expire_one(promotion: str, request: ExpireRequest, now: datetime, zone: ZoneInfo | None) -> Release:
    order, run_id = order_of_live(promotion, request.work_dir, request.out_dir)
    if not request.although_running:
        refuse_while_running(promotion, now, zone, order)
    return expire(order, run_id, request.who)


def _published_sentence(published: Published) -> str:
    release, order = published.release, published.order
    if release is None:
        return f"Nothing of run {published.run_id} is accepted yet, so nothing was released."
    if isinstance(release, Release):
        return f"{order.promotion} points at release {release.release_id}: {release.rendition_count} files."
    when = "until somebody makes it live" if release.not_before is None else f"until {release.not_before.isoformat()}"
    return f"Release {release.release_id} of {order.promotion} is prepared and held {when}."
