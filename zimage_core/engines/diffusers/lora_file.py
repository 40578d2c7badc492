"""One LoRA file, however its keys are spelled, as factors of the transformer's own products.

diffusers 0.42.1 loads some spellings, fails on others and loads nothing at all from a few, without a word. So every key
is matched here against the products that the transformer has, alphas are multiplied in, fused qkv is split, and what
does not fit is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from zimage_core.engines.diffusers.header import Header, read_header
from zimage_core.engines.diffusers.single_file import listed, spellings
from zimage_core.engines.diffusers.weights import adapter_config, read_json
from zimage_core.errors import ConfigurationError

Sizes = Mapping[str, tuple[int, int]]
"""By name of a product (a linear layer): how many values it reads and gives."""

PREFIXES: Final = (
    "base_model.model.transformer.",
    "base_model.model.diffusion_model.",
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet_",
    "lora_transformer_",
    "",
)
KEY: Final = re.compile(r"(?P<module>.+)\.(?:lora[._](?P<half>A|B|down|up)(?:\.\w+)?\.weight|(?P<alpha>alpha))")
HALVES: Final = {"A": "down", "down": "down", "B": "up", "up": "up", None: "alpha"}
OTHER_KINDS: Final = (
    (re.compile(r"dora_scale|lora_magnitude_vector"), "a DoRA"),
    (re.compile(r"\.lokr_"), "a LoKr"),
    (re.compile(r"\.hada_"), "a LoHa"),
    (re.compile(r"\.lora_B(\.\w+)?\.bias$|\.diff(_b)?$"), "a LoRA that also changes biases or whole weights"),
    (re.compile(r"^(lora_te\d*_|text_encoder)"), "a LoRA that also changes the text encoder"),
)
METADATA: Final = "lora_adapter_metadata"
"""Under this name diffusers saves peft's settings in the file's header."""


def read_adapter(path: Path, sizes: Sizes) -> dict[str, torch.Tensor]:
    """Return the factors in float32 by peft's names: `<product>.lora_A.weight` (rank, reads), `.lora_B.weight` (gives,
    rank), whose product is what is added to the weight.

    Accepted: lora_A/lora_B, lora_down/lora_up and lora.down/lora.up with or without alpha, under the prefixes above or
    none, the library's module names or the original's, dots or underscores between them. Raises ConfigurationError
    naming the file and its keys: not a LoRA or of another kind, no module of this transformer, a half missing, shapes
    that do not fit, or values that are not finite.
    """
    from safetensors.torch import load_file

    header = read_header(path)
    modules = _modules(path, header.tensors)
    places = _places(path, modules, sizes)
    tensors = load_file(path)
    declared = _declared(header)
    factors: dict[str, torch.Tensor] = {}
    for module, products in places.items():
        keys = modules[module]
        down, up = tensors[keys["down"]].float(), tensors[keys["up"]].float()
        _check_shapes(path, keys, down, up, [sizes[product] for product in products])
        rank = down.shape[0]
        alpha = float(tensors[keys["alpha"]]) if "alpha" in keys else None
        scale = _declared_scale(path, declared, module, rank) if alpha is None else alpha / rank
        if not (math.isfinite(scale) and bool(down.isfinite().all()) and bool(up.isfinite().all())):
            raise ConfigurationError(f"LoRA {path} holds values that are not finite in {module}; its training failed.")
        for product, rows in zip(products, up.split([sizes[product][1] for product in products]), strict=True):
            factors[f"{product}.lora_A.weight"] = down.clone()
            factors[f"{product}.lora_B.weight"] = rows * scale
    return factors


def _modules(path: Path, found: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the file's keys by module and by what they are: down, up, alpha."""
    found = list(found)
    for pattern, kind in OTHER_KINDS:
        keys = [key for key in found if pattern.search(key)]
        if keys:
            raise ConfigurationError(
                f"LoRA {path} is {kind} ({listed(keys)}); only LoRA of the transformer can be used: export it as one."
            )
    modules: dict[str, dict[str, str]] = {}
    strange: list[str] = []
    for key in found:
        match = KEY.fullmatch(key)
        if match is None:
            strange.append(key)
            continue
        modules.setdefault(match["module"], {})[HALVES[match["half"]]] = key
    if strange or not modules:
        raise ConfigurationError(f"{path} is not a LoRA: {listed(strange) or 'it holds nothing'} is no part of one.")
    halved = [
        f"{module} ({', '.join(keys)} alone)" for module, keys in modules.items() if not {"down", "up"} <= set(keys)
    ]
    if halved:
        raise ConfigurationError(f"LoRA {path} lacks the other half of {listed(halved)}.")
    return modules


def _places(path: Path, modules: Iterable[str], sizes: Sizes) -> dict[str, tuple[str, ...]]:
    """Return the products each module of the file is about: three for a fused qkv."""
    known = spellings(sizes)
    known |= {name.replace(".", "_"): products for name, products in known.items()}
    places: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []
    for module in modules:
        bare = [module.removeprefix(prefix) for prefix in PREFIXES if module.startswith(prefix)]
        # some trainers write to_q as to.q
        bare = [re.sub(r"\.to\.(?=[qkv]$)", ".to_", name) for name in bare]
        products = next((known[name] for name in bare if name in known), None)
        if products is None:
            unknown.append(module)
        else:
            places[module] = products
    if unknown:
        raise ConfigurationError(f"LoRA {path} is for another model: this transformer has no {listed(unknown)}.")
    return _without_repeats(path, places)


def _without_repeats(path: Path, places: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Leave out a fused qkv whose thirds are in the file as well (some trainers save both); refuse other repeats."""
    alone = {products[0] for products in places.values() if len(products) == 1}
    kept = {module: products for module, products in places.items() if len(products) == 1 or not alone >= set(products)}
    seen: dict[str, str] = {}
    for module, products in kept.items():
        for product in products:
            if product in seen:
                raise ConfigurationError(f"LoRA {path} changes {product} twice: as {seen[product]} and as {module}.")
            seen[product] = module
    return kept


def _check_shapes(
    path: Path, keys: Mapping[str, str], down: torch.Tensor, up: torch.Tensor, sizes: list[tuple[int, int]]
) -> None:
    reads, gives = sizes[0][0], sum(size[1] for size in sizes)
    fits = down.ndim == up.ndim == 2 and down.shape[1] == reads and up.shape == (gives, down.shape[0])
    if not fits or down.shape[0] == 0:
        raise ConfigurationError(
            f"LoRA {path} has {keys['down']} of shape {tuple(down.shape)} and {keys['up']} of shape {tuple(up.shape)}; "
            f"this transformer needs (rank, {reads}) and ({gives}, rank). It was made for a model of another size."
        )


# ---------------------------------------------------------------- factors that are not among the tensors


def _declared(header: Header) -> dict[str, Any]:
    """Return peft's settings for the adapter: from the header (diffusers) or adapter_config.json beside it (peft)."""
    beside = adapter_config(header.path)
    if beside is not None:
        settings = read_json(beside)
    else:
        try:
            settings = json.loads(header.metadata.get(METADATA, "{}"))
        except ValueError as error:
            raise ConfigurationError(f"LoRA {header.path} has {METADATA} in its header that is not JSON.") from error
    settings = {str(name).removeprefix("transformer."): value for name, value in dict(settings).items()}
    if settings.get("use_dora"):
        raise ConfigurationError(f"LoRA {header.path} is a DoRA by its settings; export it as plain LoRA.")
    return settings


def _declared_scale(path: Path, settings: Mapping[str, Any], module: str, rank: int) -> float:
    """Return alpha / rank by peft's settings (alpha / sqrt(rank) for rsLoRA), 1.0 where none say otherwise."""
    alpha = settings.get("lora_alpha")
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern.removeprefix('^')})", module):
            alpha = value
            break
    if alpha is None:
        return 1.0
    try:
        return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"LoRA {path} has lora_alpha {alpha!r} in its settings, not a number.") from error
