"""Do the picture and the words it was made from agree? Cosine of CLIP's two embeddings (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoProcessor, CLIPModel

from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.scorers import Opinion
from zimage_core.quality.scorers.weights import device_of, folder_of, loaded, model_of

NAME = "clip"


def create(options: Mapping[str, str]) -> Clip:
    """Return the scorer of a CLIP folder: option `model`, and `device` (the CPU where none is named)."""
    folder = folder_of(options, NAME)
    device = device_of(options, NAME)
    model = model_of(CLIPModel, folder, NAME)
    processor = loaded(lambda: AutoProcessor.from_pretrained(folder, local_files_only=True), folder, NAME)
    return Clip(model.to(device).eval(), processor, device)


class Clip:
    """CLIP on local weights. Words are cut at the model's own limit of tokens, 77 in the published ones."""

    def __init__(self, model: Any, processor: Any, device: torch.device) -> None:
        self._model, self._processor, self._device = model, processor, device

    def score(self, rgb: Rgb, words: str) -> Opinion | None:
        """Return the cosine between picture and words, -1..1; None where there are no words."""
        if not words.strip():
            return None
        taken = self._processor(text=[words], images=[rgb], return_tensors="pt", truncation=True, padding=True)
        with torch.inference_mode():
            given = self._model(**taken.to(self._device))
        value = float(torch.nn.functional.cosine_similarity(given.image_embeds, given.text_embeds)[0])
        return Opinion(value, "cosine", f"Picture and prompt agree by {value:.3f}.")
