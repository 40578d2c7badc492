"""Would people like it? A small head on CLIP's picture embedding, as in the LAION aesthetic predictors.

The head is a chain of linear layers in a safetensors file beside the CLIP folder (option `head`), its layers in the
order of their numbers (`layers.0.weight`, `layers.0.bias`, `layers.2.weight`, ...). Published heads have nothing
nonlinear between them and were trained on unit-length embeddings, on ratings from 1 to 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoImageProcessor, CLIPModel

from zimage_core.errors import ConfigurationError
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.scorers import Opinion
from zimage_core.quality.scorers.weights import device_of, folder_of, loaded, model_of

NAME = "aesthetic"
_LAYER = re.compile(r"(?:.*\.)?(\d+)\.(weight|bias)")


def create(options: Mapping[str, str]) -> Aesthetic:
    """Return the scorer of a CLIP folder (`model`) and a head (`head`), on `device`."""
    folder = folder_of(options, NAME, "head")
    device = device_of(options, NAME)
    model = model_of(CLIPModel, folder, NAME)
    processor = loaded(lambda: AutoImageProcessor.from_pretrained(folder, local_files_only=True), folder, NAME)
    head = _head(Path(options.get("head", "")), int(model.config.projection_dim))
    return Aesthetic(model.to(device).eval(), processor, [(w.to(device), b.to(device)) for w, b in head], device)


class Aesthetic:
    """A head on CLIP's picture embedding; the words are not looked at."""

    def __init__(
        self, model: Any, processor: Any, head: list[tuple[torch.Tensor, torch.Tensor]], device: torch.device
    ) -> None:
        self._model, self._processor, self._head, self._device = model, processor, head, device

    def score(self, rgb: Rgb, words: str) -> Opinion | None:
        """Return the rating on the scale that the head was trained on, 1..10 in the published ones."""
        taken = self._processor(images=[rgb], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            seen = self._model.vision_model(**taken).pooler_output
            embedded = torch.nn.functional.normalize(self._model.visual_projection(seen).float(), dim=-1)
            for weight, bias in self._head:
                embedded = torch.nn.functional.linear(embedded, weight, bias)
        value = float(embedded[0, 0])
        return Opinion(value, "rating", f"The aesthetic rating is {value:.2f}.")


def _head(path: Path, width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the head's layers in order. Raises ConfigurationError: no such file, no layers, or they do not fit."""
    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"The scorer '{NAME}' needs option head: a safetensors file of linear layers, not '{path}' ({error})."
        ) from error
    layers: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        found = _LAYER.fullmatch(name)
        if found is None:
            raise ConfigurationError(f"The head {path} holds '{name}', which is no numbered linear layer.")
        layers.setdefault(int(found[1]), {})[found[2]] = tensor.float()
    chain = []
    for number, layer in sorted(layers.items()):
        weight = layer.get("weight")
        if weight is None or weight.ndim != 2 or weight.shape[1] != width:
            shape = None if weight is None else tuple(weight.shape)
            raise ConfigurationError(f"Layer {number} of the head {path} takes {width} values, and has shape {shape}.")
        bias = layer.get("bias", torch.zeros(weight.shape[0]))
        chain.append((weight, bias))
        width = int(weight.shape[0])
    if not chain or width != 1:
        raise ConfigurationError(f"The head {path} ends in {width} values; a rating is one.")
    return chain
