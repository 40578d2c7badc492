"""Is there text nobody asked for? Image models write pseudo-letters; photo and overlay do not.

The detector takes any plain shape on a plain ground for text (a disc, a block: 0.95 sure), so what it finds counts only
where the recogniser reads letters. What the product's own label says, known from the reference cut-out, is allowed, and
so is what was asked for. The detector costs a quarter of a second: the rubric asks this of model-drawn pictures only;
what stands beside a product that was placed, `watermark` looks at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zimage_core.domain import Box, Finding
from zimage_core.imaging.composite import VISIBLE_ALPHA
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.evidence import Bools, Evidence, window
from zimage_core.quality.findings import measured
from zimage_core.quality.reading import Reader, closeness
from zimage_core.quality.reading.anywhere import ReadLine, is_writing, read_lines
from zimage_core.quality.reading.detection import TextLine
from zimage_core.quality.rubric import Rubric

NAME = "unexpected_text"
_EXPLAINED_SHARE = 0.5
_CLEARANCE_RATIO = 0.02
_ASKED_FOR = 0.5
"""Closeness from which a line is taken for a text that was asked for; whether it is right, `expected_text` tells."""
_SAME_LABEL = 0.6
_LABEL_GROUND = 255


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of the picture under text that is neither ours nor printed on the product."""
    finished = evidence.given.finished_rgb
    strange = unexplained(evidence, finished, evidence.text_lines)
    boxes = [line.line.box for line in strange]
    value = min(1.0, sum(box.width_px * box.height_px for box in boxes) / (finished.shape[0] * finished.shape[1]))
    if not strange:
        return (measured(rubric, NAME, value, "share", "There is no text but what was asked for."),)
    largest = max(strange, key=lambda line: line.line.box.width_px * line.line.box.height_px)
    sentence = f"There is text in {len(strange)} place(s) where none was asked for; the largest reads '{largest.text}'."
    return (measured(rubric, NAME, value, "share", sentence, box=largest.line.box),)


def unexplained(evidence: Evidence, shown: Rgb, lines: Sequence[TextLine]) -> list[ReadLine]:
    """Return the lines of writing that neither overlay, expected texts nor the product's label explain.

    `shown` is what the lines are read from: the finished picture, or a version of it of the same size.
    """
    height_px, width_px = evidence.given.finished_rgb.shape[:2]
    allowed = where_allowed(evidence)

    def stands_free(box: Box) -> bool:
        part = allowed[window(box, width_px, height_px)]
        return bool(part.size) and float(part.mean()) < _EXPLAINED_SHARE

    free = read_lines(evidence.reader, shown, [line for line in lines if stands_free(line.box)])
    strange = [line for line in free if is_writing(line)]
    strange = [line for line in strange if not _was_asked_for(line, evidence.given.expected_texts)]
    cutout = evidence.given.cutout
    if strange and cutout is not None and evidence.given.placement is None:
        label = printed_on(evidence.reader, cutout)
        strange = [line for line in strange if not any(closeness(line.text, own) >= _SAME_LABEL for own in label)]
    return strange


def printed_on(reader: Reader, cutout: CutOut) -> tuple[str, ...]:
    """Return what is printed on the product of a cut-out, line by line."""
    alpha = cutout.rgba[..., 3:].astype(np.uint16)
    over_white = (cutout.rgba[..., :3] * alpha + _LABEL_GROUND * (255 - alpha)) // 255
    shown: Rgb = np.ascontiguousarray(over_white.astype(np.uint8))
    return tuple(line.text for line in read_lines(reader, shown, reader.find_lines(shown)) if is_writing(line))


def _was_asked_for(line: ReadLine, texts: tuple[str, ...]) -> bool:
    """Tell whether a line is one of the expected texts or a part of one."""
    for text in texts:
        words = [text, *text.split()]
        if any(closeness(line.text, word) >= _ASKED_FOR for word in words) or line.text in "".join(words[1:]):
            return True
    return False


def where_allowed(evidence: Evidence, *, within_product: bool = True) -> Bools:
    """Return where text may stand, (H, W) bool: on the plates, and `within_product` (its own print)."""
    shape = evidence.given.finished_rgb.shape[:2]
    height_px, width_px = shape
    grow_px = round(_CLEARANCE_RATIO * min(shape))
    alpha = evidence.product_alpha if within_product else None
    shown = alpha is not None and alpha.shape == shape
    allowed = np.asarray(alpha >= VISIBLE_ALPHA) if shown and alpha is not None else np.zeros(shape, dtype=bool)
    for text in evidence.given.placed_texts:
        allowed[window(text.plate, width_px, height_px, grow_px=grow_px)] = True
    return allowed
