"""Reading text back from pixels: is the text that should stand here the text that does?

The expected text is known, so nothing is decoded and compared: the recogniser's posterior is asked how well it supports
exactly these characters (CTC forced alignment). On 300 rendered texts this rejects 0.7 % of the right ones and accepts
5.3 % of the wrong ones (those nearly all pseudo-glyphs, which code does not draw) at 12 CPU-ms per text, where
pytesseract over the full image reads 18-22 % at 700.

The models (PP-OCRv6 small) lie inside the installed rapidocr package; no network is needed. One session each per
process, loaded when first used, one thread: a worker per core is faster than threads (1.9x slower with two of each).
"""

from __future__ import annotations

import difflib
import importlib.util
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Language
from zimage_core.errors import QualityError
from zimage_core.imaging.pixels import Rgb

_LINE_HEIGHT_PX = 48
_WIDTH_STEP_PX = 8
_MIN_WIDTH_PX = 32
_MAX_WIDTH_PX = 2048
_SECOND_LOOKS = (1.18, 0.85)
_TINY = 1e-9
_DETECT_SIDE_PX = 480
_TEXT_PROBABILITY = 0.3
_TEXT_MEAN_PROBABILITY = 0.5
_UNCLIP = 1.6

Probabilities = NDArray[np.float32]
Classes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands in a box. `read` is the free reading; `certainty` 0..1 is how far the pixels support the expected.

    `certainty` is the smaller of the weakest expected glyph's posterior and the likelihood ratio of the expected text
    to the best reading: a missing or changed glyph drives the first to zero, an extra one the second.
    """

    read: str
    certainty: float


class Reader(Protocol):
    """Reads text from pixels; handed to `grade`, so that tests and other models can take its place."""

    def verify(self, lines: Sequence[Rgb], expected: str, *, sure: float) -> Reading:
        """Return how far the lines, read one after another, support the expected text; looks again below `sure`."""
        ...

    def second_opinion(self, line_rgb: Rgb, language: Language) -> str | None:
        """Return what another engine reads, None when there is none installed."""
        ...

    def find_text(self, rgb: Rgb) -> tuple[Box, ...]:
        """Return where text-like marks stand in a picture."""
        ...


def plain(text: str) -> str:
    """Return the form in which texts are compared: NFKC (so ￥ is ¥), case and spaces aside."""
    folded = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return unicodedata.normalize("NFKC", folded)  # folding and joining can leave pairs that have a form of their own


def same_text(left: str, right: str) -> bool:
    """Tell whether two texts are the same to a shopper: full and half width, case and spaces aside."""
    return plain(left) == plain(right)


def closeness(left: str, right: str) -> float:
    """Return 0..1: how much of two texts agrees (matching characters over all characters)."""
    return difflib.SequenceMatcher(None, plain(left), plain(right), autojunk=False).ratio()


class PaddleReader:
    """PP-OCRv6 through onnxruntime; sessions are made on first use and may be shared between threads."""

    def __init__(self, models_dir: Path | None = None) -> None:
        self._models_dir = models_dir
        self._lock = threading.Lock()
        self._sessions: dict[str, Any] = {}
        self._alphabet: _Alphabet | None = None

    def verify(self, lines: Sequence[Rgb], expected: str, *, sure: float) -> Reading:
        """Return how far the lines, read one after another, support the expected text; if unsure, at three widths.

        Raises QualityError when a character is not in the model's alphabet: then nothing can be said.
        """
        session, alphabet = self._recogniser()
        wanted = alphabet.classes(expected)
        looks = [_look(session, alphabet, lines, wanted, 1.0)]
        if looks[0].certainty < sure:
            looks += [_look(session, alphabet, lines, wanted, stretch) for stretch in _SECOND_LOOKS]
        return sorted(looks, key=lambda look: look.certainty)[len(looks) // 2]

    def second_opinion(self, line_rgb: Rgb, language: Language) -> str | None:
        """Return what tesseract reads as one line (its own process: 250 ms), None when it is not installed."""
        import pytesseract

        line = cv2.cvtColor(line_rgb, cv2.COLOR_RGB2GRAY)
        scale = 64 / max(1, line.shape[0])
        line = cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        _, ink = cv2.threshold(line, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        if float(ink.mean()) < 127.5:
            ink = cv2.bitwise_not(ink)
        ink = cv2.copyMakeBorder(ink, 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=255)
        try:
            languages = "chi_sim+eng" if language == "zh" else "eng"
            return str(pytesseract.image_to_string(ink, lang=languages, config="--psm 7")).strip()
        except pytesseract.TesseractNotFoundError:
            return None
        except (pytesseract.TesseractError, RuntimeError):
            return None

    def find_text(self, rgb: Rgb) -> tuple[Box, ...]:
        """Return boxes of text-like marks, found at 480 px (recall 0.89, no false alarm on 60 pictures)."""
        session = self._session("det")
        height_px, width_px = rgb.shape[:2]
        scale = min(1.0, _DETECT_SIDE_PX / max(height_px, width_px))
        size = tuple(max(32, round(side * scale / 32) * 32) for side in (width_px, height_px))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        output = session.run(None, {session.get_inputs()[0].name: _as_input(np.asarray(small, dtype=np.uint8))})
        return _text_boxes(np.asarray(output[0])[0, 0], width_px, height_px)

    def _recogniser(self) -> tuple[Any, _Alphabet]:
        session = self._session("rec")
        with self._lock:
            if self._alphabet is None:
                listed = session.get_modelmeta().custom_metadata_map.get("character", "")
                self._alphabet = _Alphabet(listed.split("\n"))
            return session, self._alphabet

    def _session(self, kind: str) -> Any:
        with self._lock:
            if kind not in self._sessions:
                self._sessions[kind] = _open_session(self._models_dir or _installed_models(), kind)
            return self._sessions[kind]


_default_lock = threading.Lock()
_default: list[PaddleReader] = []


def default_reader() -> PaddleReader:
    """Return this process's reader; the models are loaded when it first reads."""
    with _default_lock:
        if not _default:
            _default.append(PaddleReader())
        return _default[0]


def _installed_models() -> Path:
    """Return the model folder of the installed rapidocr package, found without importing it."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        raise QualityError("Text cannot be read back: the package rapidocr, which holds the models, is not installed.")
    return Path(next(iter(spec.submodule_search_locations))) / "models"


def _open_session(models_dir: Path, kind: str) -> Any:
    found = sorted(models_dir.glob(f"PP-OCR*_{kind}_small.onnx"))
    if not found:
        raise QualityError(f"Text cannot be read back: {models_dir} holds no PP-OCR {kind} model.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(found[-1]), options, providers=["CPUExecutionProvider"])


def _as_input(rgb: Rgb) -> NDArray[np.float32]:
    """Return (1, 3, H, W) float32 in -1..1, blue first: how PP-OCR was trained."""
    scaled = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)


# ---------------------------------------------------------------- verification


class _Alphabet:
    """The model's classes (0 is CTC's blank, the last a space) and which of them are the same to a shopper."""

    def __init__(self, listed: Sequence[str]) -> None:
        self.characters = ["", *listed, " "]
        self.blanks = [i for i, character in enumerate(self.characters) if not character.strip()]
        self._same: dict[str, list[int]] = {}
        for i, character in enumerate(self.characters):
            if character.strip():
                self._same.setdefault(plain(character), []).append(i)

    def classes(self, text: str) -> list[Classes]:
        """Return, per character of the text, the classes that stand for it. Raises QualityError for an unknown one."""
        wanted = plain(text)
        unknown = sorted({character for character in wanted if character not in self._same})
        if unknown or not wanted:
            raise QualityError(f"The text '{text}' cannot be read back: the reader does not know '{''.join(unknown)}'.")
        return [tuple(self._same[character]) for character in wanted]

    def decode(self, best: NDArray[np.intp]) -> str:
        """Return the text of the best class per column: repeats merged, blanks dropped (greedy CTC)."""
        kept = [int(c) for c, before in zip(best, [-1, *best[:-1]], strict=True) if c != before and c != 0]
        return "".join(self.characters[c] for c in kept).strip()


def _look(session: Any, alphabet: _Alphabet, lines: Sequence[Rgb], wanted: list[Classes], stretch: float) -> Reading:
    posterior = np.concatenate([_posterior(session, line, stretch) for line in lines])
    return Reading(
        read=alphabet.decode(posterior.argmax(axis=1)), certainty=_support(posterior, wanted, alphabet.blanks)
    )


def _posterior(session: Any, line_rgb: Rgb, stretch: float) -> Probabilities:
    """Return the model's (columns, classes) probabilities for one line, scaled to 48 px and not padded."""
    height, width = line_rgb.shape[:2]
    target = round(_LINE_HEIGHT_PX * stretch * width / height / _WIDTH_STEP_PX) * _WIDTH_STEP_PX
    size = (min(_MAX_WIDTH_PX, max(_MIN_WIDTH_PX, target)), _LINE_HEIGHT_PX)
    shrinks = height > _LINE_HEIGHT_PX
    line = cv2.resize(line_rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    output = session.run(None, {session.get_inputs()[0].name: _as_input(np.asarray(line, dtype=np.uint8))})
    posterior: Probabilities = np.asarray(output[0], dtype=np.float32)[0]
    return posterior


def _support(posterior: Probabilities, wanted: list[Classes], blanks: list[int]) -> float:
    """Return how far a (columns, classes) posterior supports the wanted classes: 0 not at all, 1 fully.

    Viterbi alignment of blank, w1, blank, w2, ..., blank to the columns (Graves et al. 2006, section 4.1), with the
    probabilities of classes that mean the same character added up.
    """
    columns = posterior.shape[0]
    blank = posterior[:, blanks].sum(axis=1)
    glyphs = np.stack([posterior[:, list(classes)].sum(axis=1) for classes in wanted], axis=1)
    states = np.empty((columns, 2 * len(wanted) + 1), dtype=np.float32)
    states[:, 0::2] = blank[:, None]
    states[:, 1::2] = glyphs
    likely = np.log(np.maximum(states, _TINY))
    # a glyph may follow the one before without a blank between, unless it is the same glyph
    skips = np.full(states.shape[1], -np.inf)
    for i in range(1, len(wanted)):
        if wanted[i] != wanted[i - 1]:
            skips[2 * i + 1] = 0.0
    total = np.full(states.shape[1], -np.inf)
    total[:2] = likely[0, :2]
    came = np.zeros(states.shape, dtype=np.int64)
    for t in range(1, columns):
        step = np.concatenate([[-np.inf], total[:-1]])
        skip = np.concatenate([[-np.inf, -np.inf], total[:-2]]) + skips
        options = np.stack([total, step, skip])
        came[t] = options.argmax(axis=0)
        total = options.max(axis=0) + likely[t]
    state = int(len(total) - 1 if total[-1] >= total[-2] else len(total) - 2)
    reached = float(total[state])
    if not np.isfinite(reached):
        return 0.0  # fewer columns than glyphs: the text cannot be there
    peaks = np.zeros(len(wanted))
    for t in range(columns - 1, -1, -1):
        if state % 2:
            peaks[state // 2] = max(peaks[state // 2], states[t, state])
        state -= int(came[t, state])
    best = np.maximum(posterior.max(axis=1), states.max(axis=1))
    ratio = np.exp(min(0.0, reached - float(np.log(np.maximum(best, _TINY)).sum())))
    return float(min(peaks.min(), ratio))


# ---------------------------------------------------------------- detection


def _text_boxes(probability: NDArray[np.float32], width_px: int, height_px: int) -> tuple[Box, ...]:
    """Return the boxes of a (h, w) text probability map, grown back by what the detector's training shrank.

    Differentiable binarisation (Liao et al. 2020): threshold 0.3, mean of a region at least 0.5, offset area * 1.6 /
    perimeter; the values are those PP-OCR is published with.
    """
    mask = cv2.dilate((probability > _TEXT_PROBABILITY).astype(np.uint8), np.ones((2, 2), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    rows, columns = probability.shape
    boxes = []
    for i in range(1, count):
        x, y, w, h = (int(stats[i, k]) for k in range(4))
        if min(w, h) < 3 or float(probability[labels == i].mean()) < _TEXT_MEAN_PROBABILITY:
            continue
        grow = w * h * _UNCLIP / (2 * (w + h))
        left, top = max(0.0, x - grow) / columns * width_px, max(0.0, y - grow) / rows * height_px
        right = min(float(columns), x + w + grow) / columns * width_px
        bottom = min(float(rows), y + h + grow) / rows * height_px
        boxes.append(Box(round(left), round(top), round(right) - round(left), round(bottom) - round(top)))
    return tuple(sorted(boxes, key=lambda box: (box.y_px, box.x_px)))
