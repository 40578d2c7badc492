"""Commands on prompts/: lint, preview, list."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zimage_core.errors import CatalogueError, PromptError
from zimage_core.settings import load_settings

app = typer.Typer(
    help="Look at and check the scenes, brands, promotions and blocklist under prompts/.", no_args_is_help=True
)


@app.command()
def lint() -> None:
    """Check every file; an error makes the command fail."""
    from zimage_core.prompting import PromptLibrary

    library = PromptLibrary.load(load_settings().prompts_dir)
    problems = library.lint()
    console = Console(markup=False, highlight=False)
    for problem in problems:
        console.print(f"{problem.severity}: {problem.file}: {problem.key}: {problem.sentence}")
    errors = sum(problem.severity == "error" for problem in problems)
    console.print(
        f"{len(library.scene_names)} scenes, {len(library.brand_slugs)} brands, {len(library.promotion_slugs)} "
        f"promotions: {errors} errors, {len(problems) - errors} warnings."
    )
    if errors:
        raise typer.Exit(1)


@app.command()
def preview(
    sku: Annotated[str, typer.Option(help="Whose prompts to show.")],
    catalogue: Annotated[str | None, typer.Option(help="Where the SKU stands; none = the examples.")] = None,
    promotion: Annotated[str, typer.Option("--promotion", "-p")] = "everyday",
) -> None:
    """Show every prompt a product would get, each clause with the file and version it came from."""
    from zimage_core.catalogue import read_catalogue
    from zimage_core.domain import Refusal
    from zimage_core.prompting import PromptLibrary

    settings = load_settings()
    library = PromptLibrary.load(settings.prompts_dir)
    wanted = library.promotion(promotion)
    source = catalogue or str(settings.examples_dir / "catalogue.csv")
    with read_catalogue(source) as read:
        product = next((p for p in read.products() if p.sku == sku), None)
        refused = next((r for r in read.refusals() if r.sku == sku), None)
    if product is None:
        why = f"its row was refused: {refused.reason}" if refused else "no row has it"
        raise CatalogueError(f"There is no product {sku} in {source}: {why}.", sku=sku)
    console = Console(markup=False, highlight=False)
    for name in library.scene_names:
        if not library.suits(name, product.category):
            console.print(f"\n{name}: not made for {product.category}")
            continue
        scene = library.scene(name, product.category)
        prompt = library.compose(product, scene, library.brand(wanted.brand), wanted, language=wanted.language)
        if isinstance(prompt, Refusal):
            raise PromptError(prompt.reason, sku=sku)
        console.print(f"\n{name} ({scene.mode})\n  {prompt.text}\n  not: {prompt.negative}")
        table = Table("clause", "file", "version", box=None)
        for clause in prompt.clauses:
            table.add_row(clause.text, clause.file, clause.version)
        console.print(table)


@app.command(name="list")
def list_() -> None:
    """List the promotions with their dates, scenes and channels."""
    from zimage_core.prompting import PromptLibrary

    library = PromptLibrary.load(load_settings().prompts_dir)
    table = Table("promotion", "name", "from", "to", "scenes", "channels", "badge")
    for slug in library.promotion_slugs:
        p = library.promotion(slug)
        table.add_row(
            slug, f"{p.name_zh} / {p.name_en}", str(p.starts), str(p.ends), ", ".join(p.scenes), ", ".join(p.channels),
            p.badge_zh or "-",
        )  # fmt: skip
    Console().print(table)
