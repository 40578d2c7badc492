"""The dry run: everything up to the promise of shots, printed instead of kept. No ledger row, no engine call."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact
from rich.console import Console
from rich.markdown import Markdown

from tasks.extract import read_products
from tasks.order import ProductionOrder
from tasks.plan import plan_page, planned_shots
from tasks.runtime import artifact_key
from zimage_core.domain import Refusal
from zimage_core.planning import ensure_something

SHOWN_REFUSALS = 20


def forecast_only(order: ProductionOrder) -> str:
    """Show what the order would make in the Prefect UI and return it as a sentence; no ledger row, no engine call.

    Raises PlanError when nothing at all could be made.
    """
    plan = planned_shots(order, read_products(order))
    refused = sum(isinstance(answer, Refusal) for answer in plan)
    forecast = plan.forecast
    ensure_something(forecast)
    create_markdown_artifact(
        markdown=plan_page(order, forecast),
        key=artifact_key("plan", order.promotion),
        description=f"What this order for {order.promotion} would make",
    )
    return (
        f"A dry run, nothing was spent: {forecast.shots} shots of {forecast.products} products, about "
        f"{forecast.seconds / 60:.0f} min of one engine and ${forecast.cost_usd:,.2f}; {refused} shots refused."
    )


def dry_run(order: ProductionOrder, console: Console) -> None:
    """Print counts, forecast, refusals and rule conflicts. Raises PlanError when nothing at all could be made."""
    extracted = read_products(order)
    plan = planned_shots(order, extracted)
    refused = [*extracted.refusals, *(answer for answer in plan if isinstance(answer, Refusal))]
    console.print(Markdown(plan_page(order, plan.forecast)))
    for note in extracted.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)
    if refused:
        console.print(f"\nRefused: {len(refused)}")
        for refusal in refused[:SHOWN_REFUSALS]:
            where = f"row {refusal.record_no}" if refusal.record_no else refusal.stage
            console.print(f"  {where} · {refusal.sku or '-'} · {refusal.reason}", markup=False, highlight=False)
        if len(refused) > SHOWN_REFUSALS:
            console.print(f"  and {len(refused) - SHOWN_REFUSALS} more")
    ensure_something(plan.forecast)
