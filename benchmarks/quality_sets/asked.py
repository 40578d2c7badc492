"""What grading answers for each case of the sets: small plain records that a pool of processes can hand back.

Only public functions are asked: `grade` and `ask` of quality.grade, `cut_out`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from benchmarks.quality_sets import fidelity_set, matte_set, planted_set, sharpness_set, text_set
from benchmarks.quality_sets.photo_set import photo
from benchmarks.quality_sets.production import library
from zimage_core.domain import Finding, Mode, PlacedText, Placement
from zimage_core.imaging.cutout import CutOut, CutOutFailure, cut_out
from zimage_core.imaging.pixels import Photo, Plane, Rgb
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.grade import GradeInput, ask, grade
from zimage_core.quality.reading import default_reader
from zimage_core.quality.rubric import Rubric, load_rubric


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found for one case. `of` is the photo or product it was made from (cases of one are not independent).

    `part` names the condition within a section, `kind` the variant or defect; `good` is the truth, `accepted` the
    judgement, `value` what it rests on (higher = better; inf = nothing to judge); `why` names the checks that failed.
    """

    of: str
    part: str
    kind: str
    good: bool
    accepted: bool
    value: float
    why: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def rubric() -> Rubric:
    """Return the shipped rubric."""
    return load_rubric()


def sharpness(seed: str, number: int) -> list[Answer]:
    """Ask the sharpness check about every version of a photo: as a file, with the product known, under a badge."""
    answers = []
    for case in sharpness_set.versions(photo(seed, number)):
        badge_rgb, texts = case.with_badge()
        at = Placement(1.0, 0.0, 0.0)
        cutout = CutOut(_masked(case.rgb, case.alpha), float(case.alpha.mean() / 255))
        asked = {
            "file": _foreign(case.rgb),
            "product known": _foreign(case.rgb, cutout=cutout, placement=at),
            "badge, place known": _foreign(badge_rgb, texts=texts),
            "badge, place unknown": _foreign(badge_rgb),
        }
        for part, given in asked.items():
            (finding,) = _findings(given, ("sharpness",))
            value = math.inf if finding.value is None else finding.value
            answers.append(Answer(case.photo, part, case.variant, case.sharp, finding.passed, value))
    return answers


def text_code(seed: str, number: int) -> list[Answer]:
    """Ask the text checks about one picture with texts drawn by code: with the overlay's layer at hand, and without."""
    case = text_set.text_case(seed, "code", number)
    answers = []
    for part, layer in (("layer known", case.layer), ("layer unknown", None)):
        given = _foreign(case.rgb, plain_rgb=case.plain_rgb, texts=case.placed, overlay=layer)
        answers.append(_text_answer(case, part, given, number))
    return answers


def text_model(seed: str, number: int) -> list[Answer]:
    """Ask the text checks about one picture with texts drawn as a model would."""
    case = text_set.text_case(seed, "model", number)
    given = _foreign(case.rgb, mode="text", expected=case.expected)
    return [_text_answer(case, "", given, number)]


def _text_answer(case: text_set.TextCase, part: str, given: GradeInput, number: int) -> Answer:
    names = tuple(check.name for check in CHECKS if rubric().rule(check.name).group == "text")
    found = _findings(given, tuple(name for name in names if name != "text_over_product"))
    failing = tuple(dict.fromkeys(finding.check for finding in found if not finding.passed))
    score = min((finding.score for finding in found if finding.score is not None), default=math.inf)
    of = f"{case.drawn_by}-{number}-{case.language}"
    return Answer(of, part, case.fault, case.right, not failing, score, failing)


def planted(seed: str, number: int) -> list[Answer]:
    """Grade every good and defective picture of one product."""
    answers = []
    for case in planted_set.cases_of(seed, number):
        judged = grade(case.given, rubric())
        failing = tuple(dict.fromkeys(finding.check for finding in judged.findings if not finding.passed))
        if judged.letter != "A" and not failing:
            low = min((f for f in judged.findings if f.score is not None), key=lambda f: f.score or 0.0)
            failing = (f"only just: {low.check}",)
        answers.append(
            Answer(case.photo, case.scene, case.defect, case.good, judged.letter == "A", judged.score, failing)
        )
    return answers


def fidelity(seed: str, number: int) -> list[Answer]:
    """Ask the fidelity checks about every change of one product."""
    names = tuple(check.name for check in CHECKS if rubric().rule(check.name).group == "fidelity")
    answers = []
    for case in fidelity_set.cases_of(seed, number):
        found = _findings(case.given, names)
        value = min((finding.score for finding in found if finding.score is not None), default=math.inf)
        failing = tuple(finding.check for finding in found if not finding.passed)
        part = "place known" if case.placement_known else "place unknown"
        answers.append(Answer(case.photo, part, case.change, case.faithful, not failing, value, failing))
    return answers


def cutout(seed: str, number: int) -> list[Answer]:
    """Cut out one photo in every condition: `value` is the IoU with the true matte (nan where it was refused)."""
    answers = []
    for case in matte_set.cases_of(photo(seed, number), number):
        made = cut_out(Photo(case.rgb, None, ""))
        part = "opaque" if case.opaque else "glass" if case.condition == "as_is" else case.condition
        kind = "white on white" if part == "opaque" and "white_on_white" in case.traits else case.kind
        if isinstance(made, CutOutFailure):
            answers.append(Answer(case.photo, part, kind, case.opaque, False, math.nan, (made.code,)))
            continue
        alpha = _in_frame(made, case.alpha)
        mine, true = alpha >= 128, case.alpha >= 128
        iou = float((mine & true).sum() / max(1, (mine | true).sum()))
        answers.append(Answer(case.photo, part, kind, case.opaque, True, iou, made.warnings))
    return answers


def _findings(given: GradeInput, names: tuple[str, ...]) -> list[Finding]:
    judging = rubric().judging(given.category, given.scene.name, given.mode)
    evidence = Evidence(given, default_reader())
    return [finding for check in CHECKS if check.name in names for finding in ask(check, evidence, judging)]


def _foreign(
    rgb: Rgb,
    *,
    plain_rgb: Rgb | None = None,
    texts: tuple[PlacedText, ...] = (),
    expected: tuple[str, ...] = (),
    overlay: np.ndarray | None = None,
    cutout: CutOut | None = None,
    placement: Placement | None = None,
    mode: Mode = "stage",
) -> GradeInput:
    """Return a picture of which no more is known than given."""
    height, width = rgb.shape[:2]
    return GradeInput(
        attempt_id="case",
        finished_key="case",
        sku="CASE",
        scene=library().scene("studio", "default"),
        mode=mode,
        attempt_rgb=rgb if plain_rgb is None else plain_rgb,
        finished_rgb=rgb,
        placed_texts=texts,
        cutout=cutout,
        placement=placement,
        palette=(),
        width_px=width,
        height_px=height,
        expected_texts=expected,
        overlay=overlay,
    )


def _masked(rgb: Rgb, alpha: Plane) -> np.ndarray:
    rgba = np.dstack([rgb, alpha])
    rgba[alpha == 0] = 0
    return rgba


def _in_frame(made: CutOut, truth: Plane) -> Plane:
    """Return the cut-out's alpha in the photo's frame, laid where it agrees best with the truth."""
    alpha = made.rgba[..., 3]
    pad = 16
    framed = np.pad(truth, pad).astype(np.float32)
    error = cv2.matchTemplate(framed, alpha.astype(np.float32), cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(np.argmin(error)), error.shape)
    plane = np.zeros(framed.shape, np.uint8)
    plane[row : row + alpha.shape[0], column : column + alpha.shape[1]] = alpha
    return plane[pad:-pad, pad:-pad]
