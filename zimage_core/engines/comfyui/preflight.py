"""What a server lacks for a workflow, found out before anything is drawn: node classes, model files, values, inputs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

from zimage_core.engines.comfyui.graph import Node
from zimage_core.engines.comfyui.template import SETTLED, Template

_SHOWN: Final = 8
"""So many of a server's choices are named."""

ClassInfo = Mapping[str, Any]
"""What /object_info/{Class} says: {"input": {"required": {name: [type or choices, settings]}, "optional": {...}}}."""


def lacking(template: Template, node_class: Callable[[str], ClassInfo]) -> list[str]:
    """Return a sentence for everything that would make a server refuse this workflow; [] where it can run.

    `node_class` returns what the server says of a class, {} where it does not have it; each class is asked for once.
    Values that every picture brings along (words, seed, size, photos) are not judged.
    """
    own = {(slot.node_id, slot.input) for slot in template.slots.found if slot.role not in SETTLED}
    infos: dict[str, ClassInfo] = {}
    found: list[str] = []
    for node in template.graph.nodes.values():
        if node.class_type not in infos:
            infos[node.class_type] = node_class(node.class_type)
            if not infos[node.class_type]:
                found.append(
                    f"It has no node {node.class_type} (node {node.named}); update ComfyUI or install the custom node."
                )
        if info := infos[node.class_type]:
            found += _inputs_of(node, info, own)
    return found


def choices_of(spec: object) -> list[Any] | None:
    """Return the choices of an input: [[a, b], ...] in the older shape, ["COMBO", {"options": [a, b]}] in the newer."""
    if not isinstance(spec, list) or not spec:
        return None
    if isinstance(spec[0], list):
        return spec[0]
    settings = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    options = settings.get("options")
    return options if spec[0] == "COMBO" and isinstance(options, list) else None


def _inputs_of(node: Node, info: ClassInfo, own: set[tuple[str, str]]) -> list[str]:
    given = info.get("input")
    groups = given if isinstance(given, Mapping) else {}
    required, optional = (groups.get(name) or {} for name in ("required", "optional"))
    found = [
        f"Node {node.named} has no {name}, which the server requires; export the template again from this server."
        for name in required
        if name not in node.inputs
    ]
    for name, spec in {**optional, **required}.items():
        if name in node.inputs and (node.node_id, name) not in own and node.link(name) is None:
            wrong = _value(node, name, node.inputs[name], spec)
            found += [wrong] if wrong else []
    return found


def _value(node: Node, name: str, value: Any, spec: Any) -> str | None:
    choices = choices_of(spec)
    if choices is not None:
        return None if value in choices else _not_there(node, name, value, choices)
    settings = spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most = settings.get("min"), settings.get("max")
        if (least is not None and value < least) or (most is not None and value > most):
            return f"Input {name} of node {node.named} is {value}; the server takes {least} to {most}."
    return None


def _not_there(node: Node, name: str, value: Any, choices: list[Any]) -> str:
    texts = [str(choice) for choice in choices]
    similar = difflib.get_close_matches(str(value), texts, n=3, cutoff=0.5)
    if similar:
        has = f"it has {', '.join(similar)}, among {len(texts)}"
    elif texts:
        more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
        has = f"it has {', '.join(texts[:_SHOWN])}{more}"
    else:
        has = "it has none at all"
    return f"Input {name} of node {node.named} is '{value}', which the server does not have; {has}."
