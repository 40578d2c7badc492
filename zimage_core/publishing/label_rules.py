"""What a file says of its making, held against what channel and law want and, where it is known, against the truth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from PIL import Image

from zimage_core.domain import Channel
from zimage_core.domain.planning import AiLabel
from zimage_core.errors import PublishError
from zimage_core.publishing.disclosure import AI_MAKINGS, Making, disclosure_for
from zimage_core.publishing.seal import Seal, read_seal

_NEWSCODES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_AI_TYPES: Final = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"})
_TYPES: Final = _AI_TYPES | {
    "digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print", "humanEdits", "minorHumanEdits",
    "compositeCapture", "algorithmicallyEnhanced", "dataDrivenMedia", "digitalArt", "digitalCreation",
    "virtualRecording", "algorithmicMedia", "screenCapture", "composite", "softwareImage",
}  # fmt: skip
"""IPTC Digital Source Type NewsCodes, version 2024-10-23, those that were retired among them."""
_AIGC_FIELDS: Final = (
    "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
)  # fmt: skip
_AIGC_FILLED: Final = ("Label", "ContentProducer", "ProduceID")
_AIGC_LABELS: Final = frozenset({"1", "2", "3"})  # is, may be, is suspected to be AI-made (GB 45438-2025)
_GENERATORS: Final = {
    "parameters": "Stable Diffusion web UI",
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
}
"""Text chunks of PNG files that programs which draw with trained models write unasked."""


@dataclass(frozen=True, slots=True)
class BrokenLabel:
    """A label that is missing, wrong, or contradicts another; or a making that the channel does not take at all.

    `source` is where the rule comes from, its strength first; None = the channel's own rule `ai`.
    """

    code: str
    sentence: str
    value: str
    limit: str
    source: str | None = None


def broken_label_rules(
    data: bytes, channel: Channel, making: Making | None, on: date | None = None
) -> tuple[BrokenLabel, ...]:
    """Return what is wrong with the labels of a readable image file for a channel.

    With `making` None the file is held to what it says of itself: labels that contradict each other, AI-made without
    the labels it needs, or a generator's own traces without any label. `on` is the day whose rules of disclosure.yaml
    hold too; None = the channel's own wishes alone.
    """
    try:
        seal: Seal | None = read_seal(data)
        reason = ""
    except PublishError as error:
        seal, reason = None, error.sentence
    told = making or (_making_told(seal) if seal is not None else None)
    broken: list[BrokenLabel] = []
    wanted = channel.ai.labels
    if told is not None and on is not None:
        answer = disclosure_for(channel, told, on=on)
        if answer.decision == "deny":
            sentence = f"A picture made this way ({told}) is not for {channel.slug}: {answer.reason}."
            broken.append(BrokenLabel("not_allowed", sentence, told, "another making", answer.sources[0]))
        elif told in AI_MAKINGS:
            wanted = answer.labels
    if seal is None:
        return (*broken, *_without_seal(data, channel, making, reason, wanted))
    return (*broken, *_with_seal(seal, channel, making, wanted))


def _making_told(seal: Seal) -> Making | None:
    """Return how a file says it was made, as far as that is a making by AI."""
    kind = seal.digital_source_type.removeprefix(_NEWSCODES)
    if kind not in _AI_TYPES:
        return None
    return "generated" if kind == "trainedAlgorithmicMedia" else "ai_composite"


def _without_seal(
    data: bytes, channel: Channel, making: Making | None, reason: str, labels: tuple[AiLabel, ...]
) -> Iterator[BrokenLabel]:
    wanted = ", ".join(label for label in labels if label != "visible")
    if not wanted:
        return
    if making in AI_MAKINGS:
        sentence = f"It was made with AI ({making}) and must say so to {channel.slug} ({wanted}). {reason}"
        yield BrokenLabel("label_missing", sentence, "no label", wanted)
    elif making is None and (generator := _generator_of(data)) is not None:
        sentence = f"It holds what {generator} writes into its pictures, but no label that AI made it ({wanted})."
        yield BrokenLabel("label_missing", sentence, f"traces of {generator}", wanted)


def _with_seal(
    seal: Seal, channel: Channel, making: Making | None, labels: tuple[AiLabel, ...]
) -> Iterator[BrokenLabel]:
    kind = seal.digital_source_type.removeprefix(_NEWSCODES)
    if not seal.digital_source_type.startswith(_NEWSCODES) or kind not in _TYPES:
        found = seal.digital_source_type
        sentence = f"Its digital source type {found!r} is none of IPTC's."
        yield BrokenLabel("label_unknown", sentence, found, _NEWSCODES + "...")
        return
    says_ai = kind in _AI_TYPES
    if making is not None and (making in AI_MAKINGS) != says_ai:
        truth = "made with AI" if making in AI_MAKINGS else "made without a trained model"
        sentence = f"Its digital source type says {kind}, but it was {truth} ({making})."
        yield BrokenLabel("label_untrue", sentence, kind, truth)
    if says_ai and channel.ai.source_type == "trained" and kind != "trainedAlgorithmicMedia":
        sentence = f"Its digital source type is {kind}; {channel.slug} knows trainedAlgorithmicMedia alone."
        yield BrokenLabel("label_unknown", sentence, kind, "trainedAlgorithmicMedia")
    if says_ai and not seal.aigc and "aigc" in labels:
        sentence = f"It says that AI made it, but carries no TC260 AIGC field, which {channel.slug} wants."
        yield BrokenLabel("label_missing", sentence, "no AIGC field", "TC260 AIGC")
    if seal.aigc and not says_ai:
        sentence = f"It carries a TC260 AIGC field, but its digital source type {kind} names no AI."
        yield BrokenLabel("label_untrue", sentence, kind, "an AI type")
    if seal.aigc:
        yield from _aigc_faults(dict(seal.aigc))


def _aigc_faults(fields: dict[str, str]) -> Iterator[BrokenLabel]:
    missing = [name for name in _AIGC_FIELDS if name not in fields]
    empty = [name for name in _AIGC_FILLED if name in fields and not fields[name].strip()]
    if missing or empty:
        what = ", ".join([*(f"{name} is missing" for name in missing), *(f"{name} is empty" for name in empty)])
        sentence = f"Its TC260 AIGC field is not whole: {what}."
        yield BrokenLabel("label_not_whole", sentence, what, "seven fields")
    label = fields.get("Label", "").strip()
    if label and label not in _AIGC_LABELS:
        sentence = f"Its TC260 AIGC field has Label {label!r}; 1, 2 and 3 are known."
        yield BrokenLabel("label_not_whole", sentence, label, "1, 2 or 3")


def _generator_of(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            keys = set(image.info)
    except (OSError, SyntaxError, ValueError):
        return None
    return next((program for key, program in _GENERATORS.items() if key in keys), None)
