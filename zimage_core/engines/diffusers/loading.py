"""From files to the components of a pipeline: complete, in one type, in evaluation mode, with nothing left to guess."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from zimage_core import clock
from zimage_core.engines.diffusers.header import read_header
from zimage_core.engines.diffusers.lora import apply_adapters
from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.quantized import held_bytes, quantize, read_gguf
from zimage_core.engines.diffusers.quiet import quiet_imports
from zimage_core.engines.diffusers.single_file import empty_model, expected_tensors, read_tensors
from zimage_core.engines.diffusers.weights import ModelFiles, controlnet_files, part_weights, read_json
from zimage_core.errors import ConfigurationError

with quiet_imports():
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImageControlNetModel,
        ZImageTransformer2DModel,
    )

REPAINT_CHANNELS: Final = 33
"""What a ControlNet that can repaint reads: 16 channels of control, 1 of mask, 16 of picture. Version 1 reads 16."""

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """A model in memory.

    `loaded_bytes`: bytes that its parameters and buffers really hold. `plain`: the transformer's weights are ordinary
    tensors (not quantised, no adapter beside them), as the fast path needs them. `notes`: what a reader of the
    attempt should know of how it was loaded.
    """

    transformer: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    controlnet: Any | None
    loaded_bytes: int
    loading_s: float
    notes: tuple[str, ...]
    plain: bool = True


def load_components(
    options: Options, files: ModelFiles, *, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> Components:
    """Return the components of the model in `files`: all in `dtype`, on `device`, in evaluation mode, no gradients.

    Adapters are fused into the weights before these are quantised. Raises ConfigurationError naming file and tensors
    or keys for everything that cannot be used as it is.
    """
    started_s = clock.elapsed_s()
    place = torch.device(device)
    vae, _ = _load(AutoencoderKL, files.folder / "vae", part_weights(files.folder / "vae"), dtype, place)
    transformer, plain, notes = _load_transformer(options, files, dtype, place)
    _check_latents(files.folder, transformer, vae)
    controlnet = _load_controlnet(options.controlnet, transformer, dtype, place) if options.controlnet else None
    text_encoder = _load_text_encoder(files.folder / "text_encoder", dtype)
    modules = [module for module in (transformer, vae, text_encoder, controlnet) if module is not None]
    for module in modules:
        _finish(module, place)
    return Components(
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_load_tokenizer(files.folder / "tokenizer"),
        scheduler=_load_scheduler(files.folder / "scheduler"),
        controlnet=controlnet,
        loaded_bytes=sum(held_bytes(module) for module in modules),
        loading_s=clock.elapsed_s() - started_s,
        notes=notes,
        plain=plain,
    )


def _load_transformer(
    options: Options, files: ModelFiles, dtype: torch.dtype, device: torch.device
) -> tuple[Any, bool, tuple[str, ...]]:
    """Return the transformer, whether its weights are plain, and notes."""
    folder = files.folder / "transformer"
    if files.kind == "gguf":
        if options.quantization != "none":
            raise ConfigurationError(
                f"{files.transformer[0].name} is quantised already; leave option quantization={options.quantization} "
                "out, or give the bf16 weights."
            )
        transformer, notes = read_gguf(files.transformer[0], folder, dtype)
        return transformer, False, notes + apply_adapters(transformer, options.lora, fuse=False)
    transformer, notes = _load(ZImageTransformer2DModel, folder, files.transformer, dtype, device)
    notes += apply_adapters(transformer, options.lora, fuse=True)
    plain, more = quantize(transformer, options, dtype, device)
    return transformer, plain, notes + more


def _load(
    kind: Any, folder: Path, weights: Sequence[Path], dtype: torch.dtype, device: torch.device
) -> tuple[Any, tuple[str, ...]]:
    """Return the model that config.json in `folder` describes, filled from `weights`, and notes.

    Tensors go from the mapped files straight to the device; on the CPU, those of the right type stay mapped.
    """
    model = empty_model(kind, folder)
    tensors, notes = read_tensors(weights, expected_tensors(model))
    filled = {
        name: tensor.to(device, dtype if tensor.is_floating_point() else None) for name, tensor in tensors.items()
    }
    model.load_state_dict(filled, strict=True, assign=True)
    return model, notes


def _finish(module: torch.nn.Module, device: torch.device) -> None:
    """Put a part where it belongs and into the state it is used in; refuse one that is not all there."""
    hollow = [name for name, tensor in (*module.named_parameters(), *module.named_buffers()) if tensor.is_meta]
    if hollow:
        raise ConfigurationError(
            f"The {type(module).__name__} was loaded without a value for {', '.join(hollow[:5])}; its files are not "
            "complete."
        )
    module.requires_grad_(False)
    module.eval()
    if device.type != "cpu":
        module.to(device)  # the text encoder, packed weights, and whatever a library left behind


def _check_latents(folder: Path, transformer: Any, vae: Any) -> None:
    if transformer.config.in_channels != vae.config.latent_channels:
        raise ConfigurationError(
            f"The VAE in {folder} makes latents of {vae.config.latent_channels} channels and the transformer reads "
            f"{transformer.config.in_channels}; Z-Image goes with the 16-channel VAE."
        )


# ---------------------------------------------------------------- the smaller parts


def _load_text_encoder(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import Qwen3Model

    kind = read_json(folder / "config.json").get("model_type")
    if kind != "qwen3":
        raise ConfigurationError(f"The text encoder in {folder} is a {kind}; Z-Image goes with a qwen3.")
    for path in part_weights(folder, stem="model"):
        read_header(path)
    with _no_bars():
        encoder, report = _opened(
            folder,
            lambda: Qwen3Model.from_pretrained(
                str(folder), dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            ),
        )
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ConfigurationError(f"The text encoder in {folder} lacks {', '.join(lacking[:5])}; copy it again.")
    return encoder


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = _opened(folder, lambda: AutoTokenizer.from_pretrained(str(folder), local_files_only=True))
    if tokenizer.chat_template is None:
        raise ConfigurationError(
            f"The tokenizer in {folder} has no chat template, and prompts are read through it; copy all its files."
        )
    return tokenizer


def _load_scheduler(folder: Path) -> Any:
    kind = read_json(folder / "scheduler_config.json").get("_class_name")
    if kind != "FlowMatchEulerDiscreteScheduler":
        raise ConfigurationError(
            f"The scheduler in {folder} is a {kind}; Z-Image is drawn with FlowMatchEulerDiscreteScheduler."
        )
    return _opened(folder, lambda: FlowMatchEulerDiscreteScheduler.from_pretrained(str(folder), local_files_only=True))


def _load_controlnet(path: Path, transformer: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """Return the ControlNet, alone: inside a pipeline it borrows the transformer's modules."""
    config_file, *weights = controlnet_files(path)
    config = read_json(config_file)
    channels = config.get("control_in_dim")
    if channels != REPAINT_CHANNELS:
        raise ConfigurationError(
            f"ControlNet {path} reads {channels} channels and cannot repaint a masked picture (16 is Union version 1); "
            f"use Z-Image-Turbo-Fun-Controlnet-Union 2.0 or later, which reads {REPAINT_CHANNELS}."
        )
    for name in ("dim", "n_heads", "n_refiner_layers"):
        if config.get(name, transformer.config[name]) != transformer.config[name]:
            raise ConfigurationError(
                f"ControlNet {path} was made for another model: its {name} is {config[name]} and the transformer's "
                f"is {transformer.config[name]}."
            )
    controlnet, _ = _load(ZImageControlNetModel, config_file.parent, weights, dtype, device)
    return controlnet


def _opened(folder: Path, load: Callable[[], Loaded]) -> Loaded:
    """Return what a library loads from `folder`; its complaint becomes a sentence that names the folder."""
    try:
        return load()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ConfigurationError(f"{folder} cannot be loaded: {first}") from error


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers' progress bars out of the log while the body runs."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
