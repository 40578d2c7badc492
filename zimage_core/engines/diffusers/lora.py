"""LoRA files, fused into the weights in the strengths asked for; several of them, one after another."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zimage_core.engines.diffusers.lora_file import read_adapter
from zimage_core.engines.diffusers.options import Adapter
from zimage_core.engines.diffusers.quiet import quiet_imports
from zimage_core.errors import ConfigurationError


def apply_adapters(transformer: Any, adapters: Sequence[Adapter], *, fuse: bool) -> tuple[str, ...]:
    """Load the adapters into the transformer at their weights; return notes.

    `fuse`: add them to the weights for good, so that these stay ordinary tensors; otherwise (packed weights, which
    cannot be added to) they stay beside the weights and are computed with every product. Raises ConfigurationError
    naming the file: given twice, not a LoRA, of a kind that is not supported, keys of no module of this transformer,
    halves missing, other sizes, or values that are not finite.
    """
    if not adapters:
        return ()
    _refuse_twice(adapters)
    names = _names(adapters)
    products = {name: module for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)}
    sizes = {name: (module.in_features, module.out_features) for name, module in products.items()}
    for adapter, name in zip(adapters, names, strict=True):
        _inject(transformer, name, adapter.path, read_adapter(adapter.path, sizes))
    transformer.set_adapters(names, [adapter.weight for adapter in adapters])
    listed = ", ".join(f"{adapter.path.name} at {adapter.weight:g}" for adapter in adapters)
    if not fuse:
        return (
            f"LoRA {listed} stays beside the packed weights, which cannot be added to; every step computes it anew.",
        )
    transformer.fuse_lora(adapter_names=names, safe_fusing=True)
    transformer.unload_lora()
    return (f"LoRA {listed} was fused into the weights.",)


def _inject(transformer: Any, name: str, path: Path, tensors: dict[str, torch.Tensor]) -> None:
    with quiet_imports():
        from peft.tuners.lora import LoraLayer
    with warnings.catch_warnings():
        # several adapters are what is asked for
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute", UserWarning)
        transformer.load_lora_adapter(tensors, prefix=None, adapter_name=name, low_cpu_mem_usage=True)
    loaded = sum(isinstance(module, LoraLayer) and name in module.lora_A for module in transformer.modules())
    if 2 * loaded != len(tensors):
        raise ConfigurationError(f"LoRA {path} has {len(tensors) // 2} modules, of which {loaded} could be loaded.")


def _refuse_twice(adapters: Sequence[Adapter]) -> None:
    seen: set[Path] = set()
    for adapter in adapters:
        path = adapter.path.resolve()
        if path in seen:
            raise ConfigurationError(f"LoRA {adapter.path} is given twice; give it once with the sum of its weights.")
        seen.add(path)


def _names(adapters: Sequence[Adapter]) -> list[str]:
    """Return a name for each adapter, from its file's; peft wants them different and without dots."""
    names: list[str] = []
    for adapter in adapters:
        name = stem = re.sub(r"\W+", "_", adapter.path.stem)
        while name in names:
            name = f"{stem}_{names.count(stem) + len(names)}"
        names.append(name)
    return names
