"""Which files make up a model, wherever it is kept, and one hash over every byte of them. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from zimage_core.engines.diffusers.hashing import weights_hash as weights_hash
from zimage_core.engines.diffusers.hub import fetch, read_hub_id
from zimage_core.engines.diffusers.options import Options
from zimage_core.errors import ConfigurationError

TRANSFORMER: Final = "diffusion_pytorch_model"
"""The stem of a diffusers model's weights; a transformers model's is `model`."""
TEXT_ENCODER: Final = "model"
CAPTION_WIDTH: Final = 2560
"""What the published transformer reads, and the default of its configuration."""
PIPELINES: Final = frozenset(
    {"ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline", "ZImageControlNetPipeline"}
    | {"ZImageControlNetInpaintPipeline"}
)
PARTS: Final = ("vae", "text_encoder", "tokenizer", "scheduler")
FILE_KINDS: Final[Mapping[str, Literal["file", "gguf"]]] = {".safetensors": "file", ".gguf": "gguf"}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is complete on this disk.

    `transformer`: the files with its weights. `folder` holds vae, text_encoder, tokenizer, scheduler and the
    transformer's config.json. `all_files`: every file whose bytes decide the picture, adapters and ControlNet too.
    """

    kind: Literal["folder", "file", "gguf"]
    transformer: tuple[Path, ...]
    folder: Path
    name: str
    all_files: tuple[Path, ...]


def find_model(options: Options, *, hub_cache: Path | None = None) -> ModelFiles:
    """Return the files of the model that the options name, all of them there.

    A hub id is downloaded into `hub_cache` (None = the hub's usual place) unless it is there already or `offline`
    says not to. A single file takes everything but the transformer from `base`.

    Raises ConfigurationError naming what is missing or what else it is, and EngineUnavailable when the hub cannot be
    reached.
    """
    kind = FILE_KINDS.get(Path(options.model).suffix.lower())
    extra = _extra_files(options)
    if kind is None:
        folder, name = _find_folder(options.model, "model", options, hub_cache, with_transformer=True)
        parts = _read_parts(folder, with_transformer=True)
        return ModelFiles("folder", parts["transformer"], folder, name, _all(folder, parts, extra))
    file = Path(options.model).expanduser()
    if not file.is_file():
        raise ConfigurationError(f"Model {file} does not exist or is not a file.")
    if options.base is None:
        raise ConfigurationError(
            f"{file.name} holds the transformer alone; name the model that gives text encoder, tokenizer, VAE and "
            "scheduler with option base: a folder in diffusers layout or a hub id such as Tongyi-MAI/Z-Image-Turbo."
        )
    folder, _ = _find_folder(options.base, "base", options, hub_cache, with_transformer=False)
    parts = _read_parts(folder, with_transformer=False)
    return ModelFiles(kind, (file,), folder, file.stem, _all(folder, parts, (file, *extra)))


def _find_folder(
    text: str, option: str, options: Options, hub_cache: Path | None, *, with_transformer: bool
) -> tuple[Path, str]:
    """Return the folder that `text` names, downloaded if it is a hub id, and what to call it."""
    folder = Path(text).expanduser()
    if folder.is_dir():
        return folder, folder.resolve().name
    hub_id = read_hub_id(text)
    if hub_id is None:
        raise ConfigurationError(
            f"Option {option} names '{text}', which is neither a folder, nor a safetensors or GGUF file, nor a hub id "
            "(owner/name)."
        )
    return fetch(hub_id, _hub_patterns(with_transformer), hub_cache, offline=options.offline), hub_id.name


def _hub_patterns(with_transformer: bool) -> tuple[str, ...]:
    weights = [f"{part}/*.safetensors" for part in ("vae", "text_encoder", *(["transformer"] * with_transformer))]
    texts = [f"{part}/*.{kind}" for part in PARTS for kind in ("json", "txt", "jinja")]
    return ("model_index.json", "transformer/*.json", *weights, *texts)


# ---------------------------------------------------------------- the parts of a folder


def _read_parts(folder: Path, *, with_transformer: bool) -> dict[str, tuple[Path, ...]]:
    """Return the weight files of each part, after checking that nothing is missing and the parts fit each other."""
    pipeline = read_json(folder / "model_index.json").get("_class_name")
    if pipeline not in PIPELINES:
        raise ConfigurationError(
            f"{folder} is a {pipeline} by its model_index.json; engine 'diffusers' runs Z-Image (ZImagePipeline)."
        )
    missing: list[str] = []
    parts = {
        "vae": _weights(folder / "vae", TRANSFORMER, missing),
        "text_encoder": _weights(folder / "text_encoder", TEXT_ENCODER, missing),
        "transformer": _weights(folder / "transformer", TRANSFORMER, missing) if with_transformer else (),
    }
    tokenizer = folder / "tokenizer"
    if not (tokenizer / "tokenizer.json").is_file():
        needed = [tokenizer / name for name in ("vocab.json", "merges.txt")]
        missing += [_shown(path) for path in needed if not path.is_file()]
    configs = [folder / part / "config.json" for part in ("transformer", "vae", "text_encoder")]
    configs += [folder / "scheduler" / "scheduler_config.json", tokenizer / "tokenizer_config.json"]
    missing += [_shown(path) for path in configs if not path.is_file()]
    if missing:
        raise ConfigurationError(f"The model in {folder} is not complete; it lacks {', '.join(sorted(missing))}.")
    _check_widths(folder)
    return parts


def _weights(part: Path, stem: str, missing: list[str]) -> tuple[Path, ...]:
    """Return the weight files of a part as its library would choose them: one file, else the shards of the index."""
    single, index = part / f"{stem}.safetensors", part / f"{stem}.safetensors.index.json"
    if single.is_file():
        return (single,)
    if not index.is_file():
        missing.append(_shown(single))
        return ()
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ConfigurationError(f"{index} does not say which file holds which tensor (weight_map).")
    paths = tuple(part / name for name in sorted(set(shards.values())))
    missing += [_shown(path) for path in paths if not path.is_file()]
    return paths


def part_weights(part: Path, stem: str = TRANSFORMER) -> tuple[Path, ...]:
    """Return the weight files of one part of a folder; ConfigurationError naming those that are missing."""
    missing: list[str] = []
    files = _weights(part, stem, missing)
    if missing:
        raise ConfigurationError(f"{part.parent} is not complete; it lacks {', '.join(missing)}.")
    return files


def _check_widths(folder: Path) -> None:
    """Refuse a text encoder of another width than the transformer reads; it would fail with the first prompt."""
    reads = read_json(folder / "transformer" / "config.json").get("cap_feat_dim", CAPTION_WIDTH)
    gives = read_json(folder / "text_encoder" / "config.json").get("hidden_size")
    if reads != gives:
        raise ConfigurationError(
            f"The text encoder in {folder} gives vectors of {gives} values and the transformer reads {reads} "
            f"(cap_feat_dim); Z-Image goes with Qwen3-4B, whose vectors have {CAPTION_WIDTH}."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; ConfigurationError naming the file when there is none."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path.parent} is not a model in diffusers layout: it has no {path.name}.") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{path} does not hold a JSON object.")
    return read


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _all(folder: Path, parts: Mapping[str, tuple[Path, ...]], extra: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the weights, what configures them, and the extra files; not what merely lies in the same folders."""
    texts = [folder / "model_index.json", folder / "transformer" / "config.json"]
    for part in PARTS:
        texts += [path for path in (folder / part).iterdir() if path.suffix in (".json", ".txt", ".jinja")]
    weights = [path for paths in parts.values() for path in paths]
    return tuple(sorted({*texts, *weights, *extra}))


def _extra_files(options: Options) -> tuple[Path, ...]:
    """Return the files of adapters and ControlNet, which must be there too."""
    for adapter in options.lora:
        if not adapter.path.is_file():
            raise ConfigurationError(f"LoRA {adapter.path} does not exist or is not a file.")
    files = [adapter.path for adapter in options.lora]
    files += [config for adapter in options.lora if (config := adapter_config(adapter.path)) is not None]
    if options.controlnet is not None:
        files += controlnet_files(options.controlnet)
    return tuple(files)


def adapter_config(path: Path) -> Path | None:
    """Return the adapter_config.json that goes with a LoRA as peft saves it, where there is one.

    peft keeps the factor (alpha) there, not in adapter_model.safetensors.
    """
    config = path.with_name("adapter_config.json")
    return config if path.name == "adapter_model.safetensors" and config.is_file() else None


def controlnet_files(path: Path) -> tuple[Path, ...]:
    """Return config.json and then the weights of the ControlNet in a folder, or in a file with config.json beside it.

    Raises ConfigurationError naming what is missing.
    """
    if path.is_dir():
        missing: list[str] = []
        files = (path / "config.json", *_weights(path, TRANSFORMER, missing))
        if missing or not files[0].is_file():
            lacks = [*missing, *([_shown(files[0])] if not files[0].is_file() else [])]
            raise ConfigurationError(f"The ControlNet in {path} is not complete; it lacks {', '.join(lacks)}.")
        return files
    if not path.is_file():
        raise ConfigurationError(f"ControlNet {path} does not exist.")
    config = path.with_name("config.json")
    if not config.is_file():
        raise ConfigurationError(
            f"ControlNet {path.name} needs its config.json beside it: full and lite files attach to different layers "
            "and cannot be told apart by their tensors alone. Copy the config.json of its diffusers repository."
        )
    return (config, path)
