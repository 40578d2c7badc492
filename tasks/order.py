"""What an operator orders: a production's parameters, as the Prefect UI draws them and the command line fills them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import make_url

from zimage_core.domain import SceneName
from zimage_core.settings import Settings, load_settings


class ProductionOrder(BaseModel):
    """One production: which catalogue, for which promotion, made by which engine, and where it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: str = Field(
        title="Catalogue",
        description="A CSV, TSV, Excel or Parquet file, or a database URL without its password.",
        min_length=1,
    )
    promotion: str = Field("everyday", title="Promotion", description="A file of prompts/promotions/, without .yaml.")
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
    scenes: tuple[SceneName, ...] | None = Field(None, title="Scenes", description="None = those of the promotion.")
    channels: tuple[str, ...] | None = Field(None, title="Channels", description="None = those of the promotion.")
    engine: str | None = Field(None, title="Engine", description="None = the configured one.")
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
    limit: int | None = Field(None, ge=1, title="Limit", description="Only the first so many products.")
    publish: bool = Field(
        True, title="Publish", description="Release what is accepted when every shot is accounted for."
    )
    hold: bool = Field(False, title="Hold", description="Prepare and check the release, and let a person make it live.")
    go_live_at: AwareDatetime | None = Field(
        None,
        title="Go live at",
        description="Hold the release until then, with a time zone: 2027-06-01T00:00+08:00. See `zimage go-live`.",
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
    def catalogue_name(self) -> str:
        """The catalogue's last part, for names that people read: a file's name, a database's."""
        return self.catalogue.replace("\\", "/").rpartition("/")[2] or self.catalogue

    def held(self, now: datetime) -> bool:
        """Tell whether a release of this order is prepared at this moment and not made live."""
        return self.hold or (self.go_live_at is not None and now < self.go_live_at)

    def settings(self) -> Settings:
        """Return the process's settings with this order's own choices on top."""
        settings = load_settings(engine=self.engine, work_dir=self.work_dir, out_dir=self.out_dir)
        chosen = self.engine_options | ({} if self.model is None else {"model": self.model})
        return settings.model_copy(update={"engine_options": settings.engine_options | chosen}) if chosen else settings
