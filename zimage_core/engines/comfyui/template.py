"""A workflow made ready for one kind of picture: its slots found, its model files and sampler settings filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from zimage_core.domain import content_id
from zimage_core.engines.comfyui.graph import Graph, Json, load_graph
from zimage_core.engines.comfyui.slots import FILE_ROLES, Role, Slots, find_slots

Kind = Literal["text", "inpaint"]

PER_PICTURE: Final[Mapping[Kind, tuple[Role, ...]]] = {
    "text": ("prompt", "seed", "width", "height", "output"),
    "inpaint": ("prompt", "seed", "reference", "mask", "output"),
}
"""What must have a place in a template of this kind."""
_WELCOME: Final[Mapping[Kind, tuple[Role, ...]]] = {
    "text": ("negative", "batch_size", "steps", "guidance"),
    "inpaint": ("negative", "width", "height", "batch_size", "steps", "guidance"),
}
"""What is filled where the template has it; an inpainting's size is usually that of the photo it is given."""
SETTLED: Final = frozenset(("steps", "guidance", "batch_size", *FILE_ROLES))
"""Roles that hold for every picture."""


@dataclass(frozen=True)
class Template:
    """A workflow and where everything goes; settings that hold for every picture are in its graph already."""

    kind: Kind
    slots: Slots

    @property
    def graph(self) -> Graph:
        """The workflow with its settings."""
        return self.slots.graph

    @property
    def output_id(self) -> str:
        """The node whose picture is the answer."""
        return self.slots.output_id

    @property
    def content(self) -> str:
        """Names what decides the pixels: every node and value, and where a picture's own values go; no titles."""
        own = [slot for slot in self.slots.found if slot.role not in SETTLED]
        blank = self.graph.with_values({(slot.node_id, slot.input): None for slot in own})
        nodes = [(node.node_id, node.class_type, dict(node.inputs)) for node in blank.nodes.values()]
        places = sorted((slot.role, slot.node_id, slot.input) for slot in own)
        return content_id(self.kind, nodes, places, self.slots.mask_in_alpha)

    def filled(self, values: Mapping[Role, Any]) -> Json:
        """Return the graph for one picture; a role without a slot is left out."""
        return self.slots.with_values(values).graph.to_json()


def make_template(
    name: str,
    kind: Kind,
    *,
    files: Mapping[Role, str],
    steps: int | None = None,
    guidance: float | None = None,
) -> Template:
    """Return the template of that name or file with these settings filled in; None keeps what it says itself.

    `guidance` 0.0 = off becomes cfg = 1 + guidance. One prompt makes one picture: the k-th of a batch would not be the
    picture of seed + k. Raises ConfigurationError: a file that is no template, or a setting that has no place in it.
    """
    settings: dict[Role, Any] = dict(files)
    if steps is not None:
        settings["steps"] = steps
    if guidance is not None:
        settings["guidance"] = 1.0 + guidance
    slots = find_slots(load_graph(name), needed={*PER_PICTURE[kind], *settings}, welcome=_WELCOME[kind])
    return Template(kind, slots.with_values({**settings, "batch_size": 1}))
