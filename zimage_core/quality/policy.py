"""What happens next to a shot, decided from its graded attempts alone: accept, review, regenerate or give up.

A is accepted. B waits for a person. C is made again, but only with something changed that could cure what was found,
never the same twice and never beyond the budget. What comes from the reference photo no new attempt can cure: then the
operator is told what to do instead of paying for the same picture again. A picture that repeats another one is a
person's to decide once no change made it a different one: it is no bad picture.

`cures.CURES` says which changes can cure which check, likeliest first; `_can_cure` where. Of those that can, the one
with the most expected success per cost is tried: the table's own guess at first, the ledger's history of this engine as
it grows (quality.experience), and half of either for each time that the change failed on this very shot. What is not
worth a try (`WORTH_A_TRY`) is not paid for. docs/policy.md shows the table with its reasons and figures.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from zimage_core.domain import Attempt, Change, Finding, Grade, Mode, Shot, Verdict
from zimage_core.errors import ContentRefused
from zimage_core.quality.cures import COSTS, CURES, GUESSES, WORTH_A_TRY
from zimage_core.quality.experience import Experience, Remedy, remedies_between

_PLACING_CHECKS = frozenset({"cropping", "fill", "centring"})
_PHOTO_CHECKS = frozenset({"sharpness", "exposure_clipped", "exposure_dark"})
_PERSON_CHECKS = frozenset({"repeated_picture", "sold_twice"})
_FAILED_HERE: Final = 0.5
_SAFER_MODES: Final[tuple[Mode, ...]] = ("text", "inpaint", "stage", "packshot")
_GOOD_ENOUGH = 0.9
NO_EXPERIENCE: Final = Experience()
OVERLAY_LAYOUTS = 4
"""How many overlay layouts there are before they repeat (overlay_layout.LAYOUT_COUNT, which would load OpenCV)."""
_BACKDROPS: Final[Mapping[Remedy, tuple[Literal["contrast", "plain", "palette"], ...]]] = MappingProxyType(
    {"backdrop": ("contrast", "plain"), "palette": ("palette",)}
)

_ADVICE = {
    "resolution": "the engine makes another size than was asked for {sku}; check its size rules",
    "aspect": "the engine makes another shape than was asked for {sku}; check its size rules",
    "blank": "the engine answers with blank pictures for {sku}; check its safety filter and precision",
    "noise": "the engine answers with noise for {sku}; check its steps and precision",
    "unexpected_text": "the engine keeps writing text into the picture of {sku}; make it as a stage with the photo",
    "sharpness": "the reference photo is blurred; ask for a sharper photo of {sku}",
    "exposure_clipped": "the reference photo is overexposed; ask for a darker photo of {sku}",
    "exposure_dark": "the reference photo is too dark; ask for a brighter photo of {sku}",
    "exposure_shift": "the engine draws {sku} much lighter or darker than its photo; make it as a stage with the photo",
    "grain": "the picture is grainy; ask for a photo of {sku} with less noise, or check the engine's steps",
    "banding": "smooth tones fall into bands; check the precision of the engine and the photo of {sku}",
    "blockiness": "the picture is compressed too strongly; check the engine's format and the photo of {sku}",
    "cropping": "the product does not fit the frame; check the scene's fill ratio and the photo of {sku}",
    "fill": "the product does not fill the frame as the scene wants; check the scene and the photo of {sku}",
    "background_purity": "the background is not white; check the cut-out of {sku}",
    "centring": "the product does not stand in the middle; check the scene and the cut-out of {sku}",
    "seams": "the engine leaves seams in the picture of {sku}; check its tiling and the size it draws at",
    "shadow_direction": "the shadow of {sku} contradicts the scene's light; check the scene's light and the engine",
    "fidelity_structure": "the product's pixels were not kept; check the cut-out and the engine for {sku}",
    "fidelity_colour": "the product's colours were not kept; check the cut-out and the engine for {sku}",
    "separation": "no backdrop tried sets {sku} off; choose another scene for it",
    "text_pixels": "badge and price of {sku} are not as they were painted; check what changes finished pictures",
    "watermark": "the engine keeps signing the picture of {sku}; make it as a stage with the photo",
    "expected_text": "the engine does not write the text right for {sku}; let the overlay write it",
    "text_truth": "no overlay layout tried reads as it should; check badge and price of {sku}",
    "legibility_contrast": "no overlay layout tried can be read; check the brand's badge and price colours",
    "legibility_height": "no overlay layout tried can be read; shorten the badge or caption of {sku}",
    "text_over_product": "no overlay layout tried leaves {sku} free; shorten the texts or give the scene room for them",
    "colour_cast": "the engine keeps tinting the picture of {sku}; check the scene's palette and words",
    "repeated_picture": "the engine keeps drawing the same picture for {sku}; drop one of the two scenes",
    "sold_twice": "two products show the same photo; check the photo of {sku}",
    "brand_colours": "badge and price are not in the brand's colours; check the brand's palette",
}


def next_verdict(
    shot: Shot,
    history: Sequence[tuple[Attempt, Grade | None]],
    *,
    max_attempts: int,
    experience: Experience = NO_EXPERIENCE,
    modes: Sequence[Mode] = (),
) -> Verdict:
    """Return what to do next, from the shot's attempts in the order they were made, each with its grade if it has one.

    `experience` is what the ledger knew when the run began; `modes` what the engine can make, empty = not known.

    Pure. Attempts without a grade do not count: an engine that was busy is the caller's to retry; one that refused ends
    the shot, unless it was the words its content filter objected to: that is an attempt, and the next one says it in
    other words. With nothing tried the first attempt is asked for. `regenerate` always carries a change that no such
    attempt had, and is never given once `max_attempts` of them are used, so every shot ends.
    """
    if history:
        last, last_grade = history[-1]
        if last_grade is None and last.error_code is not None and not last.error_retryable:
            return _after_refusal(shot, history, max_attempts)
    graded = [(attempt, grade) for attempt, grade in history if grade is not None]
    if not graded:
        if max_attempts < 1:
            return Verdict("give_up", "The attempt budget is 0: nothing may be made.")
        return Verdict("regenerate", "Nothing has been tried yet.", Change())
    attempt, grade = graded[-1]
    if grade.letter == "A":
        return Verdict("accept", f"Attempt {attempt.number} is an A ({grade.score:.2f}).")
    if grade.letter == "B":
        return Verdict("review", f"Attempt {attempt.number} is a B ({grade.score:.2f}): {_first(grade)}")
    used = max(len(graded), max(tried.number for tried, _ in graded))
    change, why = (None, "") if used >= max_attempts else _next_change(shot, graded, experience, modes)
    if change is not None:
        return Verdict("regenerate", f"Attempt {attempt.number} is a C ({grade.score:.2f}): {why}", change)
    return _end(shot, graded, used=used if used >= max_attempts else None)


def _after_refusal(shot: Shot, history: Sequence[tuple[Attempt, Grade | None]], max_attempts: int) -> Verdict:
    """Return what follows an attempt the engine refused for good: other words for a content filter, else the end."""
    last = history[-1][0]
    if not _is_content_refusal(last):
        return Verdict("give_up", f"{last.error}")
    tried = [attempt for attempt, grade in history if grade is not None or _is_content_refusal(attempt)]
    used = max(len(tried), last.number)
    if used < max_attempts:
        wording = 1 + max(attempt.change.wording for attempt in tried)
        change = dataclasses.replace(last.change, wording=wording, why=f"{last.error}")
        return Verdict("regenerate", f"Attempt {last.number} was refused for its content: {last.error}", change)
    graded = [(attempt, grade) for attempt, grade in history if grade is not None]
    if graded:
        return _end(shot, graded, used=used)
    return Verdict(
        "give_up",
        f"All {used} attempts are used; attempt {last.number} was refused for its content: {last.error} Check "
        f"the name and the scene of {shot.sku} against the engine's content rules, or choose another engine for it.",
    )


def _is_content_refusal(attempt: Attempt) -> bool:
    """Tell by the stored code: the error itself did not outlive the process that saw it."""
    return attempt.error_code == ContentRefused.__name__


def _next_change(
    shot: Shot, graded: Sequence[tuple[Attempt, Grade]], experience: Experience, modes: Sequence[Mode]
) -> tuple[Change | None, str]:
    """Return a change not tried yet that cures as much as possible, and the finding that asks for it."""
    attempt, grade = graded[-1]
    earlier = [tried.change for tried, _ in graded]
    mode = attempt.change.mode or shot.mode
    start = dataclasses.replace(attempt.change, why="")
    cures = {f.check: _cures(f, mode, shot, graded, experience, modes) for f in _lacking(grade)}
    found = _lacking(grade)
    hopeless = any(f.veto and _best(cures[f.check], start, earlier, mode, modes) is None for f in found)
    if hopeless and len(graded) > 1:
        return None, ""  # what could matter has been changed once, and the veto that nothing cures still stands
    change, asked = start, ""
    applied: set[Remedy] = set()
    for finding in found:
        if applied & set(cures[finding.check][:1]):
            continue  # the change that another finding asked for is this one's first choice too
        best = _best([remedy for remedy in cures[finding.check] if remedy not in applied], change, earlier, mode, modes)
        if best is not None:
            (remedy, change), asked = best, asked or finding.sentence
            applied.add(remedy)
    if not applied or change in {dataclasses.replace(tried, why="") for tried in earlier}:
        return None, ""
    return dataclasses.replace(change, why=asked), asked


def _cures(
    finding: Finding,
    mode: Mode,
    shot: Shot,
    graded: Sequence[tuple[Attempt, Grade]],
    experience: Experience,
    modes: Sequence[Mode],
) -> list[Remedy]:
    """Return what is worth trying against a finding here, the most expected success per cost first."""
    engine = graded[-1][0].engine
    worth: list[tuple[float, int, Remedy]] = []
    for rank, remedy in enumerate(CURES.get(finding.check, ("wording",))):
        if not _can_cure(remedy, finding.check, mode, shot, modes):
            continue
        guess = GUESSES[min(rank, len(GUESSES) - 1)]
        chance = experience.chance(engine, finding.check, remedy, guess)
        chance *= _FAILED_HERE ** _failures(remedy, finding.check, graded)
        if chance >= WORTH_A_TRY:
            cost = experience.cost(engine, finding.check, remedy, COSTS.get(remedy, 1.0))
            worth.append((-chance / cost, rank, remedy))
    return [remedy for _, _, remedy in sorted(worth)]


def _failures(remedy: Remedy, check: str, graded: Sequence[tuple[Attempt, Grade]]) -> int:
    """Return how often this change was made on this shot against this check and did not cure it."""
    failed = 0
    for (before, grade), (after, next_grade) in itertools.pairwise(graded):
        if remedy in remedies_between(before.change, after.change):
            failed += all(any(f.check == check for f in _lacking(one)) for one in (grade, next_grade))
    return failed


def _can_cure(remedy: Remedy, check: str, mode: Mode, shot: Shot, modes: Sequence[Mode]) -> bool:
    """Tell whether a change can cure a check of a picture made in this mode: who made what it finds fault with?"""
    from_photo = shot.reference is not None
    if remedy == "layout":
        return True
    if remedy == "size":
        return mode == "packshot" or from_photo  # the photo's pixels come out of every attempt: fewer show less blur
    if remedy == "mode":
        return _safer_mode(mode, shot, modes) is not None
    if mode == "packshot" or (from_photo and check in _PHOTO_CHECKS):
        return False  # the photo decides, whatever is around it
    return not (remedy == "wording" and check in _PLACING_CHECKS and mode == "stage")  # scene and photo say where


def _safer_mode(mode: Mode, shot: Shot, modes: Sequence[Mode]) -> Mode | None:
    """Return the next safer way to make a picture, None where there is none: stages and packshots start from a photo.

    `modes`: those the engine has; empty = not known: then only inpaint may become a stage, which asks no more of it.
    """
    if shot.reference is None or mode not in _SAFER_MODES:
        return None
    safer = _SAFER_MODES[_SAFER_MODES.index(mode) + 1 :]
    if not modes:
        return "stage" if mode == "inpaint" else None
    return next((one for one in safer if one in modes), None)


def _best(
    cures: Sequence[Remedy], change: Change, earlier: Sequence[Change], mode: Mode, modes: Sequence[Mode]
) -> tuple[Remedy, Change] | None:
    """Return the first of these remedies that is not used up, with the change it makes."""
    for remedy in cures:
        changed = _apply(remedy, change, earlier, mode, modes)
        if changed is not None:
            return remedy, changed
    return None


def _apply(
    remedy: Remedy, change: Change, earlier: Sequence[Change], mode: Mode, modes: Sequence[Mode]
) -> Change | None:
    """Return the change with one remedy added that no earlier attempt had, None when that remedy is used up."""
    if remedy == "layout":
        layout = 1 + max(tried.layout for tried in earlier)
        return dataclasses.replace(change, layout=layout) if layout < OVERLAY_LAYOUTS else None
    if remedy == "wording":
        return dataclasses.replace(change, wording=1 + max(tried.wording for tried in earlier))
    if remedy == "mode":
        safer = _SAFER_MODES[_SAFER_MODES.index(mode) + 1 :]
        return dataclasses.replace(change, mode=next(one for one in safer if not modes or one in modes))
    if remedy == "size":
        return dataclasses.replace(change, size="smaller") if change.size == "as_planned" else None
    had = {tried.backdrop for tried in earlier}
    left = [backdrop for backdrop in _BACKDROPS[remedy] if backdrop not in had]
    return dataclasses.replace(change, backdrop=left[0]) if left else None


def _end(shot: Shot, graded: Sequence[tuple[Attempt, Grade]], *, used: int | None) -> Verdict:
    """Return the last verdict: a better earlier attempt goes to a person, else the shot is given up with advice.

    `used`: how many attempts were the whole budget; None when no change was left to try before it was used up.
    """
    best_attempt, best = max(graded, key=lambda pair: (pair[1].letter != "C", _is_for_a_person(pair[1]), pair[1].score))
    if best.letter != "C" or _is_for_a_person(best):
        reason = f"Attempt {best_attempt.number} ({best.letter}, {best.score:.2f}) stayed the best: {_first(best)}"
        return Verdict("review", reason, attempt_id=best_attempt.attempt_id)
    spent = "No change could cure it" if used is None else f"All {used} attempts are used"
    lacking = _lacking(best)
    advice = next((_ADVICE[finding.check] for finding in lacking if finding.check in _ADVICE), "")
    said = f" {advice.format(sku=shot.sku)}." if advice else ""
    return Verdict("give_up", f"{spent}; attempt {best_attempt.number} was the best: {_first(best)}{_capital(said)}")


def _is_for_a_person(grade: Grade) -> bool:
    """Tell whether nothing is wrong with the picture but that it repeats another one."""
    vetoes = {finding.check for finding in grade.findings if finding.veto}
    return bool(vetoes) and vetoes <= _PERSON_CHECKS


def _lacking(grade: Grade) -> list[Finding]:
    """Return the findings that keep the grade down, worst first, vetoes before all."""
    low = [f for f in grade.findings if f.state == "measured" and f.score is not None and f.score < _GOOD_ENOUGH]
    failing = [finding for finding in low if finding.veto or not finding.passed]
    return sorted(failing or low, key=lambda finding: (not finding.veto, finding.score))


def _first(grade: Grade) -> str:
    return grade.reasons[0] if grade.reasons else "no single finding stands out."


def _capital(sentence: str) -> str:
    return sentence[:1] + sentence[1:2].upper() + sentence[2:]
