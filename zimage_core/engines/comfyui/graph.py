"""Workflow graphs in API format: read, checked, and walked along their links.

API format is what `POST /prompt` takes: {"<node id>": {"class_type", "inputs", "_meta": {"title"}}}. An input is a
value, or a link [node id, output slot]. What the editor saves (nodes, links, positions) is another format.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from zimage_core.errors import ConfigurationError

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
_HOW_TO_EXPORT: Final = (
    "in ComfyUI open it and choose Workflow > Export (API); older versions show Save (API Format) once Dev mode is "
    "enabled in the settings"
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """Where an input comes from: the node and which of its outputs."""

    node_id: str
    output: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a workflow; `inputs` as in the file."""

    node_id: str
    class_type: str
    title: str
    inputs: Mapping[str, Any]

    def link(self, name: str) -> Link | None:
        """Return where this input comes from, None where it is a value or absent."""
        return as_link(self.inputs.get(name))

    @property
    def named(self) -> str:
        """How a person finds it in the editor: id, class and title."""
        return (
            f'{self.node_id} ({self.class_type}, "{self.title}")'
            if self.title
            else f"{self.node_id} ({self.class_type})"
        )


@dataclass(frozen=True)
class Graph:
    """A workflow: `name` is what people call it, `nodes` by id in the order of the file."""

    name: str
    nodes: Mapping[str, Node]

    def upstream(self, node_id: str) -> frozenset[str]:
        """Return the ids of all nodes that this one depends on, itself among them."""
        seen: set[str] = set()
        waiting = [node_id]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting += [link.node_id for link in self._links_of(current)]
        return frozenset(seen)

    @cached_property
    def users(self) -> Mapping[Link, tuple[tuple[str, str], ...]]:
        """Who takes an output: (node id, input name) by link."""
        users: dict[Link, list[tuple[str, str]]] = {}
        for node in self.nodes.values():
            for name in node.inputs:
                if link := node.link(name):
                    users.setdefault(link, []).append((node.node_id, name))
        return {link: tuple(takers) for link, takers in users.items()}

    def with_values(self, values: Mapping[tuple[str, str], Any]) -> Graph:
        """Return the graph with these inputs, by (node id, input name), set to values."""
        nodes = dict(self.nodes)
        for (node_id, name), value in values.items():
            node = nodes[node_id]
            nodes[node_id] = Node(node_id, node.class_type, node.title, {**node.inputs, name: value})
        return Graph(self.name, nodes)

    def to_json(self) -> Json:
        """Return it as `POST /prompt` takes it; nothing is shared with this object."""
        return {
            node.node_id: {
                "class_type": node.class_type,
                "inputs": copy.deepcopy(dict(node.inputs)),
                "_meta": {"title": node.title},
            }
            for node in self.nodes.values()
        }

    def _links_of(self, node_id: str) -> Iterator[Link]:
        node = self.nodes[node_id]
        return (link for name in node.inputs if (link := node.link(name)))


def as_link(value: object) -> Link | None:
    """Return what ComfyUI takes for a link: a list of a node's id and an output's number."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return Link(value[0], value[1])
    return None


def shipped_templates() -> tuple[str, ...]:
    """Return the names of the templates that come with this package."""
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.json")))


def load_graph(template: str) -> Graph:
    """Return the template of that name, or in that file. Raises ConfigurationError: no such file, or not API format."""
    path = TEMPLATES / f"{template}.json" if template in shipped_templates() else Path(template).expanduser()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The ComfyUI template {template} cannot be read ({error}); give a file in API format, or one of "
            f"{', '.join(shipped_templates())}."
        ) from error
    return read_graph(text, template)


def read_graph(text: str, name: str) -> Graph:
    """Return the graph that this JSON text holds.

    Raises ConfigurationError: not JSON, the editor's own format, a node without class or inputs, a link to nowhere.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"The ComfyUI template {name} is not JSON: {error}.") from error
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        raise ConfigurationError(
            f"The ComfyUI template {name} is the editor's own file, which a server does not run; export it in API "
            f"format: {_HOW_TO_EXPORT}."
        )
    if not isinstance(data, dict) or not data:
        raise ConfigurationError(
            f"The ComfyUI template {name} holds no nodes; export it in API format: {_HOW_TO_EXPORT}."
        )
    graph = Graph(name, {node_id: _node(node_id, entry, name) for node_id, entry in data.items()})
    for node in graph.nodes.values():
        for given in node.inputs:
            link = node.link(given)
            if link is not None and link.node_id not in graph.nodes:
                raise ConfigurationError(
                    f"In the ComfyUI template {name} input {given} of node {node.named} comes from node "
                    f"{link.node_id}, which is not there; export it again."
                )
    return graph


def _node(node_id: str, entry: object, name: str) -> Node:
    if not isinstance(entry, dict) or not isinstance(entry.get("class_type"), str):
        raise ConfigurationError(
            f"Node {node_id} of the ComfyUI template {name} has no class_type; export it in API format: "
            f"{_HOW_TO_EXPORT}."
        )
    inputs = entry.get("inputs", {})
    if not isinstance(inputs, dict):
        raise ConfigurationError(f"The inputs of node {node_id} of the ComfyUI template {name} are not an object.")
    meta = entry.get("_meta")
    title = meta.get("title", "") if isinstance(meta, dict) else ""
    return Node(node_id, entry["class_type"], str(title), inputs)
