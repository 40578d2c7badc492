"""The options by which an order is given on the command line: written once, taken by every command that orders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast, get_args

import typer

from zimage_core.domain import SceneName
from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tasks.order import ProductionOrder

Asked = TypeVar("Asked", bound="BaseModel")

WorkOption = Annotated[Path | None, typer.Option("--work-dir", help="Where the ledger and the layers are kept.")]
OutOption = Annotated[Path | None, typer.Option("--out-dir", help="Where images and reports go.")]
Chosen = Mapping[str, object]
"""What was chosen on the command line, by the names of an order's fields."""


def chosen(
    catalogue: Annotated[str, typer.Argument(help="CSV, TSV, Excel or Parquet file, or a database URL.")],
    promotion: Annotated[str, typer.Option("--promotion", "-p", help="A file of prompts/promotions/.")] = "everyday",
    scene: Annotated[
        list[str] | None, typer.Option("--scene", "-s", help="Instead of the promotion's; repeatable.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option("--channel", "-c", help="Instead of the promotion's.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="our_field=Your column; repeatable.")] = None,
    engine: Annotated[str | None, typer.Option(help="Which engine; see `zimage doctor`.")] = None,
    model: Annotated[str | None, typer.Option(help="For the engine: a folder, a file or a hub id of weights.")] = None,
    engine_option: Annotated[list[str] | None, typer.Option(help="For the engine: option=value; repeatable.")] = None,
    only: Annotated[str, typer.Option(help="all, new, changed, failed or C; see docs/operations.md.")] = "all",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many products.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Stop before the pictures have cost more.")] = None,
    deadline: Annotated[str | None, typer.Option(help="When they must be there: 2027-05-30T18:00+08:00.")] = None,
    when_short: Annotated[str, typer.Option(help="finish_late, or drop_lowest: leave out the last scenes.")] = (
        "finish_late"
    ),
    runner: Annotated[str | None, typer.Option(help="here, pool (workers of the gpu pool) or ray.")] = None,
    table: Annotated[str | None, typer.Option(help="For a database URL: the table.")] = None,
    query: Annotated[str | None, typer.Option(help="For a database URL: one SELECT.")] = None,
    sheet: Annotated[str | None, typer.Option(help="For Excel: the sheet.")] = None,
    price_format: Annotated[str, typer.Option(help="auto, dot (1,299.00) or comma (1.299,00).")] = "auto",
    currency: Annotated[str, typer.Option(help="Where neither a column nor a sign in the price says one.")] = "CNY",
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> Chosen:
    """Return these choices as the fields of an order. Raises ConfigurationError naming the option that is wrong."""
    return {
        "catalogue": catalogue,
        "promotion": promotion,
        "scenes": _scenes(scene),
        "channels": tuple(channel) if channel else None,
        "columns": _pairs("--column", column, "our_field=Your column, as in sku=Artikelnummer"),
        "engine": engine,
        "model": model,
        "engine_options": _pairs("--engine-option", engine_option, "option=value, as in steps=8"),
        "only": only,
        "limit": limit,
        "budget_usd": budget_usd,
        "deadline": deadline,
        "when_short": when_short,
        "runner": runner,
        "table": table,
        "query": query,
        "sheet": sheet,
        "price_format": price_format,
        "currency": currency,
        "work_dir": work_dir,
        "out_dir": out_dir,
    }


def takes_an_order(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an order before its own; its first parameter receives what was chosen."""
    shared = inspect.signature(chosen, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    def called(**given: object) -> None:
        fields = chosen(**{name: given.pop(name) for name in shared})  # type: ignore[arg-type]
        command(fields, **given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
    return called


def order_from(fields: Chosen, **more: object) -> ProductionOrder:
    """Return the order of these fields. Raises ConfigurationError: one sentence that says which of them is wrong."""
    from tasks.order import ProductionOrder

    return valid(ProductionOrder, {**fields, **more})


def valid(kind: type[Asked], fields: Chosen) -> Asked:
    """Return what is asked for as a model of this kind. Raises ConfigurationError naming the field that is wrong."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'order'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_input=False)
        )
        raise ConfigurationError(f"This cannot be ordered: {wrong}.") from None


def _scenes(names: list[str] | None) -> tuple[SceneName, ...] | None:
    known = get_args(SceneName)
    for name in names or ():
        if name not in known:
            raise ConfigurationError(f"There is no scene '{name}'; the scenes are {', '.join(known)}.")
    return tuple(cast("list[SceneName]", names)) if names else None


def _pairs(option: str, pairs: list[str] | None, form: str) -> dict[str, str]:
    mapping = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"'{option} {pair}' should read {form}.")
        mapping[name.strip()] = value
    return mapping
