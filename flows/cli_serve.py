"""The command `zimage serve`: one resident engine behind HTTP."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli_order import _pairs as pairs
from flows.quiet import ENGINES, OURS, EngineNews
from zimage_core.settings import ServeSettings, Settings, load_serve_settings, load_settings

if TYPE_CHECKING:
    from zimage_core.prompting import Blocklist

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def serve(
    engine: Annotated[str | None, typer.Option(help="Which engine; see `zimage doctor`.")] = None,
    model: Annotated[str | None, typer.Option(help="For the engine: a folder, a file or a hub id of weights.")] = None,
    engine_option: Annotated[list[str] | None, typer.Option(help="For the engine: option=value; repeatable.")] = None,
    device: Annotated[str | None, typer.Option(help="For the engine: cuda:0, 0, cpu; one server per GPU.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; other than loopback needs ZIMAGE_SERVE_API_KEYS.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 8000,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where tasks and pictures are kept.")] = None,
    warm_up: Annotated[
        bool | None, typer.Option("--warm-up/--no-warm-up", help="Load the engine by drawing a small picture first.")
    ] = None,
) -> None:
    """Keep one engine loaded and draw for whoever asks over HTTP, until SIGTERM or Ctrl-C."""
    from zimage_core.engines.registry import create_engine
    from zimage_core.serving.run import EngineServer
    from zimage_core.serving.sampling import sampling_of

    settings, rules = load_settings(engine=engine), load_serve_settings(dir=directory, warm_up=warm_up)
    options = {**settings.engine_options, **pairs("--engine-option", engine_option, "option=value, as in steps=8")}
    if model is not None:
        options["model"] = model
    if device is not None:
        options["device"] = f"cuda:{device}" if device.isdigit() else device
    _log_to_terminal()
    made = create_engine(settings.engine, options)
    server = EngineServer(
        made,
        rules,
        rules.dir or settings.work_dir / "serve" / str(port),
        sampling=sampling_of(settings.engine, options),
        blocklist=_blocklist(settings, rules),
        host=host,
        port=port,
    )
    keys = f"{len(rules.api_keys)} API keys" if rules.api_keys else "no API key needed from this machine"
    Console(stderr=True).print(
        f"Engine {made.info.name} ({', '.join(made.info.modes)}) at http://{host}:{server.port}; {keys}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    server.serve()


def _blocklist(settings: Settings, rules: ServeSettings) -> Blocklist | None:
    from zimage_core.prompting import PromptLibrary

    return PromptLibrary.load(settings.prompts_dir).files.blocklist if rules.blocklist else None


def _log_to_terminal() -> None:
    """Write every line of ours, and uvicorn's warnings, to the terminal with its time: a server is read later."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    engines = logging.getLogger(ENGINES)
    for other in [other for other in engines.handlers if isinstance(other, EngineNews)]:
        engines.removeHandler(other)  # it shows the same lines for runs, without their time
    for name, level in ((OURS, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False


COMMANDS = (serve,)
