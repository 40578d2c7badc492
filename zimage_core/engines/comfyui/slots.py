"""Where in a workflow what goes: the prompt, the seed, the size, the photo. By a node's title, else by its wiring.

A node's title says it outright: `zimage:prompt`, or `zimage:seed=noise_seed` to name the input too; several roles are
separated by spaces or commas. A role titled on two nodes goes into both. What no title names is looked for from the
output backwards: the one SaveImage, the one sampler before it, the text behind its `positive`, the empty latent behind
its `latent_image`. Two nodes that could be meant are an error that names both: ids mean nothing, and guessing would put
a prompt where nobody reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from zimage_core.engines.comfyui.graph import Graph, Link, Node
from zimage_core.errors import ConfigurationError

Role = Literal[
    "prompt", "negative", "width", "height", "batch_size", "seed", "steps", "guidance", "reference", "mask", "output",
    "unet", "clip", "vae", "model_patch",
]  # fmt: skip
ROLES: Final[tuple[Role, ...]] = get_args(Role)
FILE_ROLES: Final[tuple[Role, ...]] = ("unet", "clip", "vae", "model_patch")

_GROUPS: Final[Mapping[str, tuple[Role, ...]]] = {
    "sampler": ("seed", "steps", "guidance"),
    "size": ("width", "height", "batch_size"),
}
"""Titles that stand for several roles of one node; of these, the node need not have batch_size, steps or guidance."""
_SPARE: Final = frozenset({"batch_size", "steps", "guidance"})
_INPUTS: Final[Mapping[Role, tuple[str, ...]]] = {
    "prompt": ("text", "prompt", "value", "string"),
    "negative": ("text", "prompt", "value", "string"),
    "width": ("width", "value"),
    "height": ("height", "value"),
    "batch_size": ("batch_size", "value"),
    "seed": ("seed", "noise_seed", "value"),
    "steps": ("steps", "value"),
    "guidance": ("cfg", "value"),
    "reference": ("image",),
    "mask": ("image",),
    "output": ("filename_prefix",),
    "unet": ("unet_name",),
    "clip": ("clip_name",),
    "vae": ("vae_name",),
    "model_patch": ("name",),
}
"""The inputs a role goes into, the first that the node has."""
_LOADERS: Final[Mapping[Role, tuple[str, ...]]] = {
    "unet": ("UNETLoader", "UnetLoaderGGUF"),
    "clip": ("CLIPLoader", "CLIPLoaderGGUF"),
    "vae": ("VAELoader",),
    "model_patch": ("ModelPatchLoader",),
}
_SAMPLERS: Final = ("KSampler", "KSamplerAdvanced")
_TEXTS: Final = ("CLIPTextEncode",)
_LATENTS: Final = ("EmptySD3LatentImage", "EmptyLatentImage")
_SAVERS: Final = ("SaveImage",)
_PRIMITIVE_INPUTS: Final = ("value", "text", "string", "int", "float")
_TITLE: Final = re.compile(r"zimage:([a-z_]+)(?:=([A-Za-z0-9_.]+))?")


@dataclass(frozen=True, slots=True)
class Slot:
    """One input that is filled: of which node, for which role, and how it was found."""

    role: Role
    node_id: str
    input: str
    found_by: Literal["title", "wiring"]


@dataclass(frozen=True, slots=True)
class Slots:
    """All that is filled in a graph. `mask_in_alpha`: photo and mask are one file, the mask in its alpha channel."""

    graph: Graph
    found: tuple[Slot, ...]
    mask_in_alpha: bool = False

    def of(self, role: Role) -> tuple[Slot, ...]:
        """Return the inputs that this role goes into, () where it goes nowhere."""
        return tuple(slot for slot in self.found if slot.role == role)

    @property
    def output_id(self) -> str:
        """The node whose picture is the answer."""
        return self.of("output")[0].node_id

    def with_values(self, values: Mapping[Role, Any]) -> Slots:
        """Return the same slots in a graph where these roles are filled; a role without a slot is left out."""
        chosen = {(slot.node_id, slot.input): values[slot.role] for slot in self.found if slot.role in values}
        return replace(self, graph=self.graph.with_values(chosen))


class _Ambiguous(Exception):
    def __init__(self, nodes: Iterable[Node]) -> None:
        super().__init__()
        self.nodes = tuple(nodes)


def find_slots(graph: Graph, *, needed: Collection[Role], welcome: Collection[Role] = ()) -> Slots:
    """Return where each role goes. A role that is only `welcome` is left out where no node or several could have it.

    Raises ConfigurationError naming the candidates: a title with an unknown role or on a node without such an input, a
    needed role that is nowhere, or that several nodes could have.
    """
    found = _titled(graph)
    if not any(slot.role == "output" for slot in found):
        found += _by_wiring(graph, "output", lambda: _sole(node for node in graph.nodes.values() if _saves(node)), True)
    outputs = [slot for slot in found if slot.role == "output"]
    if len(outputs) > 1:
        raise _several(graph, "output", (graph.nodes[slot.node_id] for slot in outputs))
    search = _Search(graph, graph.upstream(outputs[0].node_id))
    titled = {slot.role for slot in found}
    for role in ROLES:
        if role not in titled and (role in needed or role in welcome):
            found += _by_wiring(graph, role, lambda role=role: search.node_for(role), role in needed)  # type: ignore[misc]
    wanted = [slot for slot in found if slot.role in needed or slot.role in welcome]
    return Slots(graph, tuple(wanted), mask_in_alpha=_one_file(graph, wanted))


def _one_file(graph: Graph, slots: Collection[Slot]) -> bool:
    """Tell whether photo and mask come from one file; ConfigurationError unless the mask is its alpha channel."""
    photos, masks = ({slot.node_id for slot in slots if slot.role == role} for role in ("reference", "mask"))
    for node_id in photos & masks:
        if not graph.users.get(Link(node_id, 1)):
            raise ConfigurationError(
                f"Node {graph.nodes[node_id].named} of the ComfyUI template {graph.name} gives the photo and, from its "
                "colours, the mask; load the mask from a file of its own, or take it from the node's MASK output."
            )
    return bool(photos & masks)


# ---------------------------------------------------------------- by title


def _titled(graph: Graph) -> list[Slot]:
    found: list[Slot] = []
    for node in graph.nodes.values():
        for name, given in _TITLE.findall(node.title):
            if name not in ROLES and name not in _GROUPS:
                raise ConfigurationError(
                    f"Node {node.named} of the ComfyUI template {graph.name} is titled zimage:{name}, which is nothing "
                    f"we fill; the titles are {', '.join(f'zimage:{known}' for known in (*_GROUPS, *ROLES))}."
                )
            for role in _GROUPS.get(name, (name,)):
                spare = name in _GROUPS and role in _SPARE
                if spare and not any(known in node.inputs for known in _INPUTS[role]):
                    continue
                found.append(_slot(graph, role, node, "title", given or None))
    return found


def _slot(graph: Graph, role: Role, node: Node, found_by: Literal["title", "wiring"], given: str | None = None) -> Slot:
    """Return the slot of a role in a node: the input itself, or the one it is wired to from a primitive."""
    names = (given,) if given else _INPUTS[role]
    name = next((name for name in names if name in node.inputs), None)
    if name is None:
        raise ConfigurationError(
            f"Node {node.named} of the ComfyUI template {graph.name} was to take the {role}, but it has none of the "
            f"inputs {', '.join(names)}; it has {', '.join(node.inputs) or 'none'}. Title the right node "
            f"zimage:{role}, or name the input: zimage:{role}=INPUT."
        )
    link = node.link(name)
    if link is None:
        return Slot(role, node.node_id, name, found_by)
    origin = graph.nodes[link.node_id]
    values = [known for known in (*_PRIMITIVE_INPUTS, name) if known in origin.inputs and not origin.link(known)]
    if len(set(values)) != 1:
        raise ConfigurationError(
            f"Input {name} of node {node.named} of the ComfyUI template {graph.name} comes from node {origin.named}, "
            f"where it is not clear what to fill; title the node that holds the value zimage:{role}=INPUT."
        )
    return Slot(role, origin.node_id, values[0], found_by)


# ---------------------------------------------------------------- by wiring


def _by_wiring(graph: Graph, role: Role, find: Callable[[], Node | None], needed: bool) -> list[Slot]:
    try:
        node = find()
    except _Ambiguous as several:
        if not needed:
            return []
        raise _several(graph, role, several.nodes) from None
    if node is not None and (needed or any(name in node.inputs for name in _INPUTS[role])):
        return [_slot(graph, role, node, "wiring")]
    if needed:
        raise ConfigurationError(
            f"The ComfyUI template {graph.name} has no node that takes the {role}: title one of its nodes "
            f"zimage:{role}. Its nodes are {', '.join(node.named for node in graph.nodes.values())}."
        )
    return []


def _several(graph: Graph, role: Role, nodes: Iterable[Node]) -> ConfigurationError:
    return ConfigurationError(
        f"In the ComfyUI template {graph.name} several nodes could take the {role}: "
        f"{', '.join(node.named for node in nodes)}; title the right one zimage:{role}."
    )


def _sole(nodes: Iterable[Node]) -> Node | None:
    """Return the only one of these nodes, None where there is none."""
    found = list({node.node_id: node for node in nodes}.values())
    if len(found) > 1:
        raise _Ambiguous(found)
    return found[0] if found else None


def _saves(node: Node) -> bool:
    return node.class_type in _SAVERS


class _Search:
    """The search from the output backwards; only nodes that the output depends on are looked at."""

    def __init__(self, graph: Graph, reached: frozenset[str]) -> None:
        self._graph = graph
        self._nodes = [node for node in graph.nodes.values() if node.node_id in reached]

    def node_for(self, role: Role) -> Node | None:
        """Return the node that takes this role, None where there is none. Raises _Ambiguous."""
        if role in ("seed", "steps", "guidance"):
            return self._sampler()
        if role in ("width", "height", "batch_size"):
            return self._behind("latent_image", _LATENTS)
        if role == "prompt":
            return self._behind("positive", _TEXTS)
        if role == "negative":
            return self._negative()
        if role == "reference":
            return _sole(node for node in self._nodes if self._gives_photo(node))
        if role == "mask":
            return _sole(node for node in self._nodes if self._gives_mask(node))
        if role in FILE_ROLES:
            return self._of_class(_LOADERS[role])
        return None

    def _of_class(self, classes: Collection[str]) -> Node | None:
        return _sole(node for node in self._nodes if node.class_type in classes)

    def _sampler(self) -> Node | None:
        return self._of_class(_SAMPLERS)

    def _behind(self, name: str, classes: Collection[str]) -> Node | None:
        """Return the one node of these classes that the sampler's input `name` leads back to."""
        sampler = self._sampler()
        link = sampler.link(name) if sampler else None
        return _sole(self._met(link, classes)) if link else None

    def _met(self, link: Link, classes: Collection[str]) -> list[Node]:
        """Return the first nodes of these classes on every way back from a link: what lies behind them is theirs."""
        met: list[Node] = []
        waiting, seen = [link.node_id], set[str]()
        while waiting:
            node = self._graph.nodes[waiting.pop()]
            if node.node_id in seen:
                continue
            seen.add(node.node_id)
            if node.class_type in classes:
                met.append(node)
            else:
                waiting += [found.node_id for name in node.inputs if (found := node.link(name))]
        return met

    def _negative(self) -> Node | None:
        """Return the text behind the sampler's `negative`, unless it is emptied on the way or is the prompt itself."""
        sampler = self._sampler()
        link = sampler.link("negative") if sampler else None
        if link is None:
            return None
        prompt = self._behind("positive", _TEXTS)
        texts = [node for node in self._met(link, (*_TEXTS, "ConditioningZeroOut")) if node.class_type in _TEXTS]
        return _sole(node for node in texts if node != prompt)

    def _gives_photo(self, node: Node) -> bool:
        users = self._graph.users.get(Link(node.node_id, 0), ())
        return node.class_type == "LoadImage" and any(
            self._graph.nodes[user].class_type != "ImageToMask" for user, _ in users
        )

    def _gives_mask(self, node: Node) -> bool:
        users = self._graph.users
        if node.class_type == "LoadImageMask":
            return True
        if node.class_type != "LoadImage":
            return False
        by_alpha = bool(users.get(Link(node.node_id, 1)))
        by_colour = any(
            self._graph.nodes[user].class_type == "ImageToMask" for user, _ in users.get(Link(node.node_id, 0), ())
        )
        return by_alpha or by_colour
