"""Does a text that must stand somewhere in the picture stand there, and is every glyph of it whole?

Asked of texts whose place nobody knows: those a model drew, and those a person names for a foreign picture. A
recogniser accepts a quarter of garbled glyphs, so what it accepts is drawn again and compared glyph by glyph; where it
doubts, that comparison and a second reader decide whether a person looks or the picture is made again.
"""

from __future__ import annotations

from functools import cache

from zimage_core.domain import Box, Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.reading import Reading, language_of, same_text
from zimage_core.quality.reading.anywhere import (
    Part,
    ReadLine,
    best_parts,
    box_of,
    read_lines,
    shape_of_line,
    shapes,
    verified,
)
from zimage_core.quality.reading.glyphs import Likeness
from zimage_core.quality.rubric import Rubric

NAME = "expected_text"
_FINE_SIDE_PX = 960  # small and faint text that 480 px does not show
_DOUBT = 0.5  # between veto and cap: a person decides
_REFUSED = 0.0
_CLEARLY = 0.03  # by so much the glyphs must be more like the one text than like the other


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return one finding per expected text: how far pixels somewhere in the finished picture support it (0..1)."""
    texts = evidence.given.expected_texts
    if not texts:
        return (not_applicable(NAME, "No text is expected at an unknown place."),)
    finished, reader = evidence.given.finished_rgb, evidence.reader
    lines = read_lines(reader, finished, evidence.text_lines)

    @cache
    def finer() -> tuple[ReadLine, ...]:
        return read_lines(reader, finished, reader.find_lines(finished, side_px=_FINE_SIDE_PX))

    findings = []
    for text in texts:
        parts, close = best_parts(lines, text)
        if close < 1.0:
            parts, close = max((parts, close), best_parts(finer(), text), key=lambda found: found[1])
        findings.append(_check(evidence, rubric, text, parts))
    return tuple(findings)


def _check(evidence: Evidence, rubric: Rubric, text: str, parts: tuple[Part, ...]) -> Finding:
    rule, box = rubric.checks.expected_text, box_of(parts)
    if not parts:
        return measured(rubric, NAME, 0.0, "certainty", f"The text '{text}' is nowhere in the picture.")
    reading = verified(evidence.reader, parts, sure=rule.sure_certainty)
    score = rule.curve.score(reading.certainty)
    if score < rubric.cap_below:
        return _disputed(evidence, rubric, text, parts, reading)
    shape = shapes(evidence.reader, evidence.given.finished_rgb, parts)
    if shape.scores and shape.worst < rule.least_likeness:
        return _misshapen(rubric, text, shape, box)
    return measured(rubric, NAME, reading.certainty, "certainty", f"The picture says '{text}'.", box=box, score=score)


def _misshapen(rubric: Rubric, text: str, shape: Likeness, box: Box | None) -> Finding:
    """Return the finding of a text that reads right but does not look right; a clear case is made again."""
    rule = rubric.checks.expected_text
    garbled = shape.worst < rule.garbled_below and shape.typical >= rule.face_fits_from
    sentence = (
        f"A character of '{text}' is garbled: it looks {shape.worst:.0%} like what it reads as."
        if garbled
        else f"A character of '{text}' may be misdrawn: it looks {shape.worst:.0%} like what it reads as."
    )
    return measured(
        rubric,
        NAME,
        shape.worst,
        "likeness",
        sentence,
        box=box,
        score=_REFUSED if garbled else _DOUBT,
        limit=rule.least_likeness,
    )


def _disputed(evidence: Evidence, rubric: Rubric, text: str, parts: tuple[Part, ...], reading: Reading) -> Finding:
    """Return the finding of a text the reader doubts: refused, unless its shapes or the second reader speak for it."""
    rule, box = rubric.checks.expected_text, box_of(parts)
    score = rule.curve.score(reading.certainty)
    if _shapes_speak_for(evidence, parts, rule.least_likeness):
        why = f"but its glyphs look like '{text}'"
    elif _second_reader_agrees(evidence, text, parts):
        why = f"another reader '{text}'"
    else:
        sentence = (
            f"The text '{text}' can be read only with doubt ({reading.certainty:.0%} certain)."
            if same_text(reading.read, text)
            else f"The picture says '{reading.read}', it should say '{text}'."
        )
        return measured(rubric, NAME, reading.certainty, "certainty", sentence, box=box, score=score)
    sentence = f"The text '{text}' is doubtful: one reader reads '{reading.read}', {why}."
    return measured(rubric, NAME, reading.certainty, "certainty", sentence, box=box, score=max(score, _DOUBT))


def _shapes_speak_for(evidence: Evidence, parts: tuple[Part, ...], least: float) -> bool:
    """Tell whether the glyphs look like the expected text, and clearly more so than like what was read."""
    rgb = evidence.given.finished_rgb
    meant = shapes(evidence.reader, rgb, parts)
    if meant.worst < least:
        return False
    for part in parts:
        read = part.line.text
        if not same_text(read, part.expected) and len(read) == len(part.expected):
            other = shape_of_line(evidence.reader, rgb, part.line.line, part.line.rgb, read)
            if other.worst > meant.worst - _CLEARLY:
                return False
        elif not same_text(read, part.expected):
            return False
    return True


def _second_reader_agrees(evidence: Evidence, text: str, parts: tuple[Part, ...]) -> bool:
    read = [evidence.reader.second_opinion(part.line.rgb, language_of(text)) for part in parts]
    return None not in read and same_text("".join(part or "" for part in read), text)
