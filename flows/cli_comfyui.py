"""Commands on ComfyUI workflows: explain one, show one that is shipped."""

from __future__ import annotations

from typing import Annotated, cast

import typer
from rich.console import Console

from zimage_core.errors import ConfigurationError

app = typer.Typer(help="Look at and check workflow templates for the engine comfyui.", no_args_is_help=True)


@app.command()
def check(
    template: Annotated[str, typer.Argument(help="A file in API format, or the name of a shipped template.")],
    url: Annotated[list[str] | None, typer.Option(help="A ComfyUI to ask what it lacks; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option(help="text or inpaint; none = by what the template loads.")] = None,
    engine_option: Annotated[list[str] | None, typer.Option(help="As for a run: option=value; repeatable.")] = None,
) -> None:
    """Explain what would be put where in a workflow, and what a server lacks for it; exit 1 when it lacks something."""
    from zimage_core.engines.comfyui.check import check as explained
    from zimage_core.engines.comfyui.options import read_comfyui_options
    from zimage_core.engines.comfyui.template import Kind

    if kind not in (None, "text", "inpaint"):
        raise ConfigurationError(f"Option --kind is text or inpaint, not '{kind}'.")
    given = dict(_pair(text) for text in engine_option or ())
    if url:
        given["url"] = ",".join(url)
    options = read_comfyui_options(given)
    lines, is_complete = explained(template, options, options.url if "url" in given else (), cast("Kind | None", kind))
    console = Console(markup=False, highlight=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    if not is_complete:
        raise typer.Exit(1)


@app.command()
def show(
    template: Annotated[str | None, typer.Argument(help="A shipped template; none = list their names.")] = None,
) -> None:
    """Print a shipped workflow in API format, to start one's own from."""
    import json

    from zimage_core.engines.comfyui.graph import load_graph, shipped_templates

    if template is None:
        for name in shipped_templates():
            typer.echo(name)
        return
    typer.echo(json.dumps(load_graph(template).to_json(), indent=1, ensure_ascii=False))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ConfigurationError(f"'--engine-option {text}' should read option=value, as in steps=8.")
    return name.strip(), value
