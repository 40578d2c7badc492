"""A template explained to a person: what would be put where, what stays as it is, what each server lacks for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

from zimage_core.engines.comfyui.failures import ENGINE
from zimage_core.engines.comfyui.graph import load_graph
from zimage_core.engines.comfyui.options import Options
from zimage_core.engines.comfyui.preflight import lacking
from zimage_core.engines.comfyui.server import ComfyServer
from zimage_core.engines.comfyui.slots import Role, find_slots
from zimage_core.engines.comfyui.template import SETTLED, Kind, Template, make_template
from zimage_core.engines.wire.client import Limits, Wire
from zimage_core.engines.wire.options import api_key, bearer
from zimage_core.errors import EngineError

_FILLED_WITH: Final[dict[Role, str]] = {
    "prompt": "the prompt",
    "negative": "what the prompt does not want",
    "width": "the picture's width, a multiple of 16",
    "height": "the picture's height, a multiple of 16",
    "seed": "the attempt's seed",
    "reference": "the uploaded photo on plain ground",
    "mask": "the uploaded mask: white is painted",
    "output": "a name of its own for every try",
}
_LIMITS: Final = Limits(connect_s=5.0, read_s=30.0, total_s=60.0)


@dataclass(frozen=True, slots=True)
class Filled:
    """One input that is filled: its role, its node, and what it is filled with."""

    role: Role
    node: str
    input: str
    value: str
    found_by: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a template amounts to. `settings` are values of the template itself that matter; `remarks` warn."""

    kind: Kind
    filled: tuple[Filled, ...]
    settings: tuple[str, ...]
    remarks: tuple[str, ...]
    template: Template


def explain(name: str, options: Options, kind: Kind | None = None) -> Explanation:
    """Return what would be done with a template; None: an inpainting where it loads photo and mask, else text.

    Raises ConfigurationError saying which node is missing or ambiguous.
    """
    graph = load_graph(name)
    if kind is None:
        loads = find_slots(graph, needed=(), welcome=("reference", "mask"))
        kind = "inpaint" if loads.of("reference") and loads.of("mask") else "text"
    template = make_template(
        name, kind, files=options.files(inpaint=kind == "inpaint"), steps=options.steps, guidance=options.guidance
    )
    nodes = template.graph.nodes
    filled = tuple(
        Filled(
            slot.role,
            nodes[slot.node_id].named,
            slot.input,
            _FILLED_WITH.get(slot.role, str(nodes[slot.node_id].inputs[slot.input])),
            slot.found_by,
        )
        for slot in template.slots.found
    )
    return Explanation(kind, filled, tuple(_settings(template)), tuple(_remarks(template)), template)


def missing_at(url: str, template: Template) -> tuple[str, list[str]]:
    """Return (the server's version, a sentence for everything it lacks). Raises EngineError: it does not answer."""
    headers = bearer(api_key())
    wire = Wire(ENGINE, _LIMITS, headers)
    try:
        server = ComfyServer(url, wire, client_id="zimage-check", sleep=threading.Event().wait)
        return server.version(), lacking(template, server.node_class)
    finally:
        wire.close()


def _settings(template: Template) -> list[str]:
    """Name the model files and sampler values that the template brings itself."""
    own = {(slot.node_id, slot.input) for slot in template.slots.found}
    shown = (
        "unet_name",
        "clip_name",
        "vae_name",
        "lora_name",
        "ckpt_name",
        "sampler_name",
        "scheduler",
        "denoise",
        "shift",
    )
    return [
        f"{name} = {value} in node {node.named}"
        for node in template.graph.nodes.values()
        for name, value in node.inputs.items()
        if (name in shown or (node.class_type == "ModelPatchLoader" and name == "name"))
        and (node.node_id, name) not in own
    ]


def _remarks(template: Template) -> list[str]:
    found = []
    value = {slot.role: _value(template, slot.role) for slot in template.slots.found if slot.role in SETTLED}
    cfg, steps = value.get("guidance"), value.get("steps")
    if isinstance(cfg, int | float) and cfg != 1:
        found.append(f"cfg is {cfg:g}: guidance of {cfg - 1:g}. Z-Image-Turbo is made for cfg 1; more distorts.")
    if isinstance(steps, int) and steps != 8:
        found.append(f"steps is {steps}: Z-Image-Turbo is distilled to 8.")
    if template.kind == "text" and not template.slots.of("negative"):
        found.append(
            "What a prompt does not want is not used: no text feeds the sampler's negative (at cfg 1 none can)."
        )
    if template.slots.mask_in_alpha:
        found.append("Photo and mask go up as one file, the mask in its alpha channel.")
    return found


def _value(template: Template, role: Role) -> Any:
    slot = template.slots.of(role)[0]
    return template.graph.nodes[slot.node_id].inputs[slot.input]


def check(name: str, options: Options, urls: tuple[str, ...], kind: Kind | None = None) -> tuple[list[str], bool]:
    """Return (the lines to show a person, whether everything is there). Raises ConfigurationError as `explain`."""
    explained = explain(name, options, kind)
    lines = [f"Template {name}: draws {'around a product' if explained.kind == 'inpaint' else 'from words'}."]
    lines += [
        f"  {one.role}: {one.value} -> {one.input} of node {one.node} (by {one.found_by})" for one in explained.filled
    ]
    lines += [f"  as it is: {line}" for line in explained.settings]
    lines += [f"  note: {line}" for line in explained.remarks]
    is_complete = True
    for url in urls:
        try:
            version, missing = missing_at(url, explained.template)
        except EngineError as error:
            is_complete = False
            lines.append(f"{url}: {error.sentence}")
            continue
        is_complete = is_complete and not missing
        lines.append(f"{url} (ComfyUI {version}): {'has everything.' if not missing else 'cannot run it:'}")
        lines += [f"  {sentence}" for sentence in missing]
    return lines, is_complete
