"""What an operator orders: a production's parameters, as the Prefect UI draws them and the command line fills them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import make_url

from tasks.choices import channels, engines, offering, promotions
from zimage_core.domain import SceneName
from zimage_core.settings import Runner, Settings, load_settings

Only = Literal["all", "new", "changed", "failed", "C"]
"""Which part of a catalogue an order is about."""


NO_PASSWORD_IN_URL = r"^(?![A-Za-z0-9+]+://[^/@]*:[^/@]*@)"  # noqa: S105 - a pattern
"""For the server that is asked for a run: it would keep and show the password before we could refuse it."""


class ProductionOrder(BaseModel):
    """One production: which catalogue, for which promotion, made by which engine, and where it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: str = Field(
        title="Catalogue",
        description="A CSV, TSV, Excel or Parquet file, or a database URL without its password.",
        min_length=1,
        json_schema_extra={"pattern": NO_PASSWORD_IN_URL},
    )
    promotion: str = Field(
        "everyday",
        title="Promotion",
        description="A file of prompts/promotions/, without .yaml.",
        json_schema_extra=offering(promotions),
    )
    only: Only = Field(
        "all",
        title="Only",
        description="all: the whole catalogue. new: products that this promotion has no pictures of. changed: those, "
        "and products that changed since. failed: what this same order could not make before. C: another try for "
        "pictures that were given up because of their grade.",
    )
    scenes: tuple[SceneName, ...] | None = Field(None, title="Scenes", description="None = those of the promotion.")
    channels: tuple[str, ...] | None = Field(
        None,
        title="Channels",
        description="None = those of the promotion.",
        json_schema_extra=offering(channels),
    )
    limit: int | None = Field(None, ge=1, title="Limit", description="Only the first so many products.")
    budget_usd: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        title="Budget in USD",
        description="Stop before the pictures of this run have cost more. None = no limit.",
    )
    deadline: AwareDatetime | None = Field(
        None,
        title="Deadline",
        description="When the pictures must be there, with a time zone: 2027-05-30T18:00+08:00. None = the beginning "
        "of the promotion's freeze; for one that has begun there is none.",
    )
    when_short: Literal["finish_late", "drop_lowest"] = Field(
        "finish_late",
        title="When time is short",
        description="finish_late: make everything. drop_lowest: leave out pictures of the promotion's last scenes "
        "until the rest is in time, and say which.",
    )
    dry_run: bool = Field(
        False,
        title="Dry run",
        description="Only say what would be made, how long it would take and what it would cost.",
    )
    publish: bool = Field(
        True, title="Publish", description="Release what is accepted when every shot is accounted for."
    )
    hold: bool = Field(False, title="Hold", description="Prepare and check the release, and let a person make it live.")
    go_live_at: AwareDatetime | None = Field(
        None,
        title="Go live at",
        description="Hold the release until then, with a time zone: 2027-06-01T00:00+08:00. See `zimage go-live`.",
    )
    runner: Runner | None = Field(
        None,
        title="Where",
        description="here: the machine that runs the flow. pool: workers of the gpu work pool, a shard each. "
        "ray: a Ray cluster. None = the configured one.",
    )
    engine: str | None = Field(
        None, title="Engine", description="None = the configured one.", json_schema_extra=offering(engines)
    )
    model: str | None = Field(
        None,
        title="Model",
        description="Which weights the engine loads: a folder, a file or a hub id; its option model.",
    )
    engine_options: dict[str, str] = Field(
        default_factory=dict,
        title="Engine options",
        description="On top of the configured ones. They are shown and kept with the run: no place for a secret.",
    )
    table: str | None = Field(None, title="Table", description="For a database: the table to read.")
    query: str | None = Field(None, title="Query", description="For a database: one SELECT, instead of a table.")
    sheet: str | None = Field(None, title="Sheet", description="For Excel: the sheet to read; none = the first.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        title="Columns",
        description="Our field: your column, where the names are not known to us.",
    )
    price_format: Literal["auto", "dot", "comma"] = Field(
        "auto", title="Price format", description="dot: 1,299.00; comma: 1.299,00; auto refuses what is ambiguous."
    )
    currency: str = Field(
        "CNY", title="Currency", description="Where neither a column nor a sign in the price says one."
    )
    work_dir: Path | None = Field(None, title="Work folder", description="None = the configured one.")
    out_dir: Path | None = Field(None, title="Output folder", description="None = the configured one.")

    @field_validator("scenes", "channels", mode="before")
    @classmethod
    def _empty_means_none(cls, value: object) -> object:
        return None if value in ((), [], "") else value

    @field_validator("catalogue")
    @classmethod
    def _no_password(cls, value: str) -> str:
        """An order is shown in the Prefect UI and kept in the ledger: no place for a password."""
        if "://" in value and make_url(value).password:
            raise ValueError("a database URL must not hold a password here; put it into ZIMAGE_CATALOGUE_PASSWORD")
        return value

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.model is not None and self.engine_options.get("model", self.model) != self.model:
            raise ValueError("the model is given twice, as model and as an engine option, and they differ")
        return self

    @property
    def is_partial(self) -> bool:
        """Whether products of the catalogue may be left out: what is published of those then stays as it is."""
        return self.limit is not None or self.only in ("new", "changed")

    @property
    def catalogue_name(self) -> str:
        """The catalogue's last part, for names that people read: a file's name, a database's."""
        return self.catalogue.replace("\\", "/").rpartition("/")[2] or self.catalogue

    def held(self, now: datetime) -> bool:
        """Tell whether a release of this order is prepared at this moment and not made live."""
        return self.hold or (self.go_live_at is not None and now < self.go_live_at)

    def settings(self) -> Settings:
        """Return the process's settings with this order's own choices on top."""
        settings = load_settings(engine=self.engine, work_dir=self.work_dir, out_dir=self.out_dir, runner=self.runner)
        chosen = self.engine_options | ({} if self.model is None else {"model": self.model})
        return settings.model_copy(update={"engine_options": settings.engine_options | chosen}) if chosen else settings
