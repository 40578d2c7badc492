"""Yes or no to a question about the picture, by a vision-language model on local weights.

The value is P(yes) / (P(yes) + P(no)) at the first token of the answer: a probability, where a sentence that the model
writes would have to be understood again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from zimage_core.errors import ConfigurationError
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.scorers import Opinion
from zimage_core.quality.scorers.weights import device_of, folder_of, loaded, model_of

NAME = "vlm"
QUESTION = (
    "Is this a flawless product photo for an online shop, without deformed objects, garbled text or wrong hands? "
    "Answer yes or no."
)
_YES, _NO = ("yes", "Yes", " yes", " Yes", "YES"), ("no", "No", " no", " No", "NO")


def create(options: Mapping[str, str]) -> Vlm:
    """Return the scorer of a vision-language folder: `model`, `device`, and `question`, answered by yes or no."""
    folder = folder_of(options, NAME, "question")
    device = device_of(options, NAME)
    model = model_of(AutoModelForImageTextToText, folder, NAME)
    processor = loaded(lambda: AutoProcessor.from_pretrained(folder, local_files_only=True), folder, NAME)
    if getattr(processor, "chat_template", None) is None:
        raise ConfigurationError(f"The scorer '{NAME}' cannot ask the model in {folder}: it has no chat template.")
    return Vlm(model.to(device).eval(), processor, options.get("question", QUESTION), device)


class Vlm:
    """A vision-language model that is asked one question of every picture; `{words}` in it stands for the prompt."""

    def __init__(self, model: Any, processor: Any, question: str, device: torch.device) -> None:
        self._model, self._processor, self._question, self._device = model, processor, question, device
        self._yes, self._no = _first_tokens(processor.tokenizer, _YES), _first_tokens(processor.tokenizer, _NO)
        if not self._yes or not self._no:
            raise ConfigurationError(f"The scorer '{NAME}' cannot use this model: it has no tokens for yes and no.")

    def score(self, rgb: Rgb, words: str) -> Opinion | None:
        """Return the probability of yes, 0..1."""
        question = self._question.replace("{words}", words)
        asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        prompt = self._processor.apply_chat_template(asked, add_generation_prompt=True)
        taken = self._processor(text=[prompt], images=[Image.fromarray(rgb)], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            likely = torch.softmax(self._model(**taken).logits[0, -1].float(), dim=-1)
        yes, no = float(likely[self._yes].sum()), float(likely[self._no].sum())
        value = yes / max(yes + no, 1e-9)
        return Opinion(value, "P(yes)", f"Asked '{question}' the model says yes by {value:.0%}.")


def _first_tokens(tokenizer: Any, words: tuple[str, ...]) -> list[int]:
    """Return the ids of the words that are single tokens: any of them can open the answer."""
    found = {tuple(tokenizer.encode(word, add_special_tokens=False)) for word in words}
    unknown = getattr(tokenizer, "unk_token_id", None)
    return sorted(ids[0] for ids in found if len(ids) == 1 and ids[0] != unknown)
