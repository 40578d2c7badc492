"""A transformer from one file: whatever its tensors are called there, all of them are found, or the file is refused.

diffusers 0.42.1 knows three of the spellings in use and answers the others with parameters that hold nothing, or with
names mangled twice. So the names are settled here, from the header, against the model that the configuration describes;
then the tensors go in under the library's own names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from zimage_core.engines.diffusers.header import TensorInfo, read_header
from zimage_core.engines.diffusers.weights import read_json
from zimage_core.errors import ConfigurationError

PREFIXES: Final = ("model.diffusion_model.", "diffusion_model.", "transformer.", "model.", "")
STRAYS: Final = ("vae.", "text_encoders.", "text_encoder.", "first_stage_model.", "cond_stage_model.", "conditioner.")
"""What checkpoints of everything hold beside the transformer."""
UNUSED: Final = frozenset({"norm_final.weight"})
"""In the original files, and read by nobody."""
ORIGINAL_NAMES: Final = (
    ("all_final_layer.2-1", "final_layer"),
    ("all_x_embedder.2-1", "x_embedder"),
    (".attention.to_out.0", ".attention.out"),
    (".attention.norm_q", ".attention.q_norm"),
    (".attention.norm_k", ".attention.k_norm"),
)
"""The library's words and the original's for the same modules."""
SCALES: Final = re.compile(r"(^|[._])(scaled_fp8|comfy_quant|scale_weight|scale_input|(weight|input)_scale(_\w+)?)$")
"""Factors that belong to fp8 or int8 tensors; diffusers would leave them out and draw with weights of another size."""
ADAPTER: Final = re.compile(r"\.lora[._](A|B|down|up)\b|\.(lokr|hada)_\w+|^lora_(unet|te)|\.dora_scale$|^lycoris_")
LOADABLE: Final = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
SHOWN: Final = 5
"""How many names an error lists before it only counts."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor comes from: its name in the file, and which third of it (0, 1, 2; None = all)."""

    name: str
    third: int | None = None


def original_name(name: str) -> str:
    """Return what the original model calls this module or tensor of the library's, to_q, to_k and to_v apart."""
    for ours, theirs in ORIGINAL_NAMES:
        name = name.replace(ours, theirs)
    return name


def spellings(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return, by every spelling a file may use, the library's names: three of them for a fused qkv, else one.

    The library's own spelling is among them. Works for tensors (`... .weight`) and for modules alike.
    """
    known: dict[str, tuple[str, ...]] = {}
    for name in names:
        known[name] = (name,)
        known.setdefault(original_name(name), (name,))
        fused = re.sub(r"\.attention\.to_q(?=\.|$)", ".attention.qkv", name)
        if fused != name:
            known[fused] = tuple(re.sub(r"\.to_q(?=\.|$)", f".to_{part}", name) for part in "qkv")
    return known


def match_names(path: Path, found: Iterable[str], expected: Iterable[str]) -> dict[str, Origin]:
    """Return where each expected tensor is in the file whose tensors are `found`, one origin for each.

    Prefixes are taken off, original names translated, and what belongs to other models of the same checkpoint is left
    out. Raises ConfigurationError: scaled weights, an adapter, another model, tensors missing, unexpected or twice.
    """
    found, expected = list(found), list(expected)
    _refuse_other_kinds(path, found, expected)
    known = spellings(expected)
    prefix = max(PREFIXES, key=lambda prefix: sum(name.removeprefix(prefix) in known for name in _under(prefix, found)))
    origins: dict[str, Origin] = {}
    unexpected: list[str] = []
    for name in found:
        bare = name.removeprefix(prefix)
        if name.startswith(prefix) and bare in known:
            for third, ours in enumerate(known[bare]):
                if ours in origins:
                    raise ConfigurationError(f"{path} holds {ours} twice: as {origins[ours].name} and as {name}.")
                origins[ours] = Origin(name, third if len(known[bare]) == 3 else None)
        elif bare not in UNUSED and not name.startswith(STRAYS):
            unexpected.append(name)
    if not origins:
        raise ConfigurationError(
            f"{path} holds another model: none of its tensors ({listed(found)}) is one that is wanted here, such as "
            f"{listed(expected[-1:])}."
        )
    missing = sorted(set(expected) - set(origins))
    if missing:
        raise ConfigurationError(f"{path} lacks {listed(missing)}; the model cannot be loaded without.")
    if unexpected:
        raise ConfigurationError(
            f"{path} holds tensors that the model of this configuration has no place for: {listed(unexpected)}."
        )
    return origins


def _under(prefix: str, found: Iterable[str]) -> Iterable[str]:
    return (name for name in found if name.startswith(prefix))


def _refuse_other_kinds(path: Path, found: list[str], expected: list[str]) -> None:
    scales = [name for name in found if SCALES.search(name) and not name.startswith(STRAYS)]
    if scales:
        raise ConfigurationError(
            f"{path} holds scaled weights ({listed(scales)}), whose factors diffusers would ignore; use the bf16 file, "
            "and option quantization=fp8 or int8 to make it smaller on load."
        )
    adapter = [name for name in found if ADAPTER.search(name)]
    if adapter:
        raise ConfigurationError(
            f"{path} is a LoRA ({listed(adapter)}), not a model; give it with option lora and the model it was made "
            "for with option model."
        )
    control = [name for name in found if name.startswith(("control_layers.", "control_all_x_embedder."))]
    if control and control[0] not in expected:
        raise ConfigurationError(
            f"{path} is a ControlNet ({listed(control)}), not a model; give it with option controlnet."
        )


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


# ---------------------------------------------------------------- safetensors


def read_tensors(
    paths: Sequence[Path], expected: Mapping[str, torch.Size]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Return a model's tensors out of its file or shards, under the library's names, and notes for the reader.

    `expected` are the names and shapes of the model (see `expected_tensors`). The tensors are views of mapped files:
    nothing is read before it is used. Raises ConfigurationError as `match_names` does, for shapes that differ, types
    that are not numbers of their own, and a file that is not whole.
    """
    from safetensors.torch import load_file

    where = paths[0] if len(paths) == 1 else paths[0].parent
    infos = {name: info for path in paths for name, info in read_header(path).tensors.items()}
    origins = match_names(where, infos, expected)
    for name, origin in origins.items():
        _check_tensor(where, name, origin, infos[origin.name], expected[name])
    tensors = {name: tensor for path in paths for name, tensor in load_file(path).items()}
    notes = []
    if any(infos[origin.name].dtype.startswith("F8_") for origin in origins.values()):
        notes.append(f"{where.name} holds 8-bit floats; they were widened on load.")
    return {name: third_of(tensors[origin.name], origin.third) for name, origin in origins.items()}, tuple(notes)


def third_of(tensor: torch.Tensor, third: int | None) -> torch.Tensor:
    """Return one third of the rows of a fused qkv tensor, or all of it."""
    return tensor if third is None else torch.chunk(tensor, 3, dim=0)[third]


def _check_tensor(where: Path, name: str, origin: Origin, info: TensorInfo, shape: torch.Size) -> None:
    if info.dtype not in LOADABLE:
        raise ConfigurationError(
            f"{where} holds {origin.name} as {info.dtype}, quantised by a tool we cannot undo; use the bf16 file."
        )
    whole = tuple(shape) if origin.third is None else (3 * shape[0], *shape[1:])
    if info.shape != whole:
        raise ConfigurationError(
            f"{where} holds {origin.name} with shape {info.shape}, where {name} of this configuration wants {whole}; "
            "it is a model of another size."
        )


# ---------------------------------------------------------------- the model a configuration describes


def expected_tensors(model: Any) -> dict[str, torch.Size]:
    """Return names and shapes of a model's tensors (a model on the meta device will do)."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def empty_model(kind: Any, folder: Path) -> Any:
    """Return the diffusers model of class `kind` that config.json in `folder` describes, on the meta device.

    Raises ConfigurationError when it describes no such model.
    """
    from accelerate import init_empty_weights

    file = folder / "config.json"
    named = read_json(file).get("_class_name", kind.__name__)
    if named != kind.__name__:
        raise ConfigurationError(f"{file} describes a {named}, and a {kind.__name__} is wanted.")
    try:
        config = kind.load_config(str(folder), local_files_only=True)
        with init_empty_weights():
            return kind.from_config(config)
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise ConfigurationError(f"{file} does not describe a {kind.__name__}: {error}.") from error
