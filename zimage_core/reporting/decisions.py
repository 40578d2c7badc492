"""What people decided on a contact sheet: the file it exports, and whether a line still is about what the person saw.

A line says what was decided, by whom and why, and carries what the person was looking at: the run, the attempt, its
grade, and `seen`, one id of all that the sheet showed of where the shot stands. A line whose `seen` is no longer that
of its shot is stale: whoever decided did not know what is known now, so the line is refused with what changed.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast, get_args

from zimage_core.domain import Attempt, Decision, DecisionKind, ShotOutcome, ShotState, content_id
from zimage_core.errors import ConfigurationError

DECISION_COLUMNS = (
    "attempt_id", "decision", "who", "why", "run_id", "shot_id", "sku", "scene", "attempt", "grade", "state", "seen",
    "marked_at",
)  # fmt: skip
"""The columns of decisions.csv. The first two are needed; without `run_id` and `seen` less can be checked."""

_WORDS = {"approve": "approved", "reject": "rejected", "regenerate": "asked for another"}


def seen_of(attempt_id: str, state: ShotState, reason: str, grade_id: str | None, decision: Decision | None) -> str:
    """Return one id of what a contact sheet shows of where a shot stands: 16 hex digits, equal for equal standings."""
    return content_id("seen", attempt_id, state, reason, grade_id, decision)


def meant_attempt(outcome: ShotOutcome) -> Attempt | None:
    """Return the attempt that a shot's end is about: the chosen one, or that of the grade it rests on, or the last."""
    named = outcome.chosen or outcome.grade
    last = outcome.attempts[-1] if outcome.attempts else None
    if named is None:
        return last
    return next((attempt for attempt in outcome.attempts if attempt.attempt_id == named.attempt_id), last)


def seen_in(outcome: ShotOutcome) -> str:
    """Return `seen_of` what a sheet shows of an outcome; "" where no attempt was made."""
    meant = meant_attempt(outcome)
    if meant is None:
        return ""
    grade_id = outcome.grade.grade_id if outcome.grade else None
    return seen_of(meant.attempt_id, outcome.state, outcome.reason, grade_id, outcome.decision)


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """A line of the file that decides something. `line` counts from 1 as editors do; text that is not there is ""."""

    line: int
    attempt_id: str
    kind: DecisionKind
    who: str
    why: str
    run_id: str = ""
    sku: str = ""
    scene: str = ""
    grade: str = ""
    state: str = ""
    seen: str = ""
    marked_at: datetime | None = None

    @property
    def about(self) -> str:
        """What the line is about, for people: SKU and scene where it says so, else the attempt."""
        return f"{self.sku} · {self.scene}" if self.sku else f"attempt {self.attempt_id}"


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not applied: why, and what to do. `stale` = it was right once; else the line itself is wrong."""

    line: int
    about: str
    why: str
    remedy: str
    stale: bool = True

    def __str__(self) -> str:
        return f"line {self.line}, {self.about}: {self.why}; {self.remedy}."


@dataclass(frozen=True, slots=True)
class DecisionFile:
    """A file as it was read: lines that decide, how many do not, and lines that cannot be understood."""

    lines: tuple[DecisionLine, ...]
    undecided: int
    refused: tuple[RefusedLine, ...]


@dataclass(frozen=True, slots=True)
class ShotNow:
    """Where a shot stands now. `attempt_id` is the attempt its end is about; `seen` is `seen_of` of it.

    `can_approve` and `can_regenerate` say which decisions would change anything; `last_attempt_id` is the newest
    attempt, which is another where an earlier one was the best: what is asked for anew follows it.
    """

    sku: str
    scene: str
    attempt_id: str
    last_attempt_id: str
    number: int
    state: ShotState
    reason: str
    grade: str
    score: float | None
    seen: str
    decision: Decision | None
    can_approve: bool
    can_regenerate: bool


def read_decisions(text: str, name: str, who: str | None) -> DecisionFile:
    """Read the text of a decisions file; `who` decided where a line does not say.

    Lines that decide nothing are counted. Lines that decide what is no decision, say nobody, reject without a reason,
    or decide the same attempt twice are refused. Raises ConfigurationError when a needed column is missing.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""))
    missing = [column for column in DECISION_COLUMNS[:2] if column not in (reader.fieldnames or ())]
    if missing:
        raise ConfigurationError(
            f"{name} has no column {', '.join(missing)}; it needs {', '.join(DECISION_COLUMNS[:4])}."
        )
    lines: list[DecisionLine] = []
    refused: list[RefusedLine] = []
    undecided = 0
    try:
        for row in reader:
            cells = {key: _cell(value) for key, value in row.items() if isinstance(key, str)}
            if not cells.get("decision"):
                undecided += 1
                continue
            read = _line(cells, reader.line_num, (who or "").strip())
            (lines if isinstance(read, DecisionLine) else refused).append(read)  # type: ignore[arg-type]
    except csv.Error as error:
        raise ConfigurationError(f"{name} is no CSV, line {reader.line_num}: {error}.") from error
    once, twice = _once(lines)
    return DecisionFile(once, undecided, tuple(sorted([*refused, *twice], key=lambda one: one.line)))


def judge_line(
    line: DecisionLine, now: ShotNow | None, recorded: Sequence[Decision], *, known: bool
) -> RefusedLine | bool:
    """Return True where a line is to be recorded, False where it already is, or why it is refused.

    `now`: the shot in the line's run, None when that run does not promise it; `recorded`: what was decided before that
    may be this very line; `known`: whether the ledger holds the attempt.
    """
    if not known:
        why = f"this ledger holds no attempt {line.attempt_id}"
        return _refused(line, why, "decide on a sheet of this work folder (a spreadsheet may have changed the id)")
    if now is None:
        why = f"this ledger has no run {line.run_id} that promises it" if line.run_id else "no run promises it any more"
        return _refused(line, why, "export again from the sheet of this ledger's run")
    same = [one for one in recorded if (one.kind, one.who, one.why) == (line.kind, line.who, line.why)]
    if line.seen:
        if line.seen != now.seen:
            done = line.marked_at is not None and any(one.decided_at >= line.marked_at for one in same)
            return False if done else _refused(line, _what_changed(line, now), _LOOK_AGAIN)
    elif same and (now.attempt_id != line.attempt_id or (now.decision in same and _in_effect(line.kind, now))):
        return False
    elif now.attempt_id != line.attempt_id:
        return _refused(line, _what_changed(line, now), _LOOK_AGAIN)
    if line.kind == "regenerate" and not now.can_regenerate:
        return _refused(line, f"it is being made again already ({now.state}: {now.reason})", "run again, then look")
    if line.kind != "regenerate" and not now.can_approve:
        why = f"it cannot be {_WORDS[line.kind]}, because it was not left to a person ({now.state}: {now.reason})"
        return _refused(line, why, "it can only be asked for anew: regenerate", stale=False)
    return True


# ---------------------------------------------------------------- behind the file

_LOOK_AGAIN = "write the sheet again with `zimage report`, look at it there and decide anew"


def _cell(value: str | list[str] | None) -> str:
    """Return a cell without the mark that keeps a spreadsheet from running it."""
    text = value.strip() if isinstance(value, str) else ""
    return text[1:] if text.startswith("'") and text[1:].lstrip().startswith(("=", "+", "-", "@")) else text


def _line(cells: dict[str, str], number: int, otherwise: str) -> DecisionLine | RefusedLine:
    sku, attempt_id, kind = cells.get("sku", ""), cells.get("attempt_id", ""), cells["decision"].lower()
    about = f"{sku} · {cells.get('scene', '')}" if sku else f"attempt {attempt_id or 'unknown'}"
    wrong = ""
    who, why = cells.get("who") or otherwise, cells.get("why", "")
    if kind not in get_args(DecisionKind):
        wrong, remedy = f"'{kind}' is no decision", f"it is one of {', '.join(get_args(DecisionKind))}, or nothing"
    elif not attempt_id:
        wrong, remedy = "it names no attempt", "fill the column attempt_id"
    elif not who:
        wrong, remedy = "it does not say who decided", "fill the column who, or give --who NAME"
    elif kind == "reject" and not why:
        wrong, remedy = "it rejects without a reason", "fill the column why"
    marked_at = None
    if not wrong and (text := cells.get("marked_at")):
        try:
            marked_at = datetime.fromisoformat(text)
        except ValueError:
            wrong, remedy = f"marked_at is no moment: '{text}'", "export again, or leave it as the sheet wrote it"
        else:
            if marked_at.tzinfo is None:
                wrong, remedy = "marked_at has no time zone", "export again, or leave it as the sheet wrote it"
    if wrong:
        return RefusedLine(number, about, wrong, remedy, stale=False)
    shown = {name: cells.get(name, "") for name in ("run_id", "sku", "scene", "grade", "state", "seen")}
    return DecisionLine(number, attempt_id, cast("DecisionKind", kind), who, why, marked_at=marked_at, **shown)


def _once(lines: Sequence[DecisionLine]) -> tuple[tuple[DecisionLine, ...], list[RefusedLine]]:
    """Return the lines whose attempt is decided once, and a refusal for each of the others."""
    counts = Counter(line.attempt_id for line in lines)
    where: defaultdict[str, list[int]] = defaultdict(list)
    for line in lines:
        where[line.attempt_id].append(line.line)
    refused = [
        RefusedLine(
            line.line,
            line.about,
            f"lines {', '.join(map(str, where[line.attempt_id]))} decide the same picture",
            "keep one of them",
            stale=False,
        )
        for line in lines
        if counts[line.attempt_id] > 1
    ]
    return tuple(line for line in lines if counts[line.attempt_id] == 1), refused


def _in_effect(kind: DecisionKind, now: ShotNow) -> bool:
    return {"approve": now.state == "accepted", "reject": now.state == "given_up"}.get(kind, True)


def _refused(line: DecisionLine, why: str, remedy: str, *, stale: bool = True) -> RefusedLine:
    return RefusedLine(line.line, line.about, why, remedy, stale=stale)


def _what_changed(line: DecisionLine, now: ShotNow) -> str:
    """Say what is different from what the person saw, the most telling difference first."""
    if now.attempt_id != line.attempt_id:
        return f"another picture stands there now, attempt {now.number} ({now.state})"
    said = now.decision
    if said is not None and (line.marked_at is None or line.state != now.state or said.decided_at >= line.marked_at):
        why = f" ({said.why})" if said.why else ""
        return f"{said.who} {_WORDS[said.kind]} it on {said.decided_at:%Y-%m-%d %H:%M} UTC{why}"
    if line.grade != now.grade:
        return f"it was judged again: {line.grade or 'no grade'} when it was marked, {now.grade or 'no grade'} now"
    if line.state != now.state:
        return f"it was {line.state.replace('_', ' ')} when it was marked and is {now.state} now: {now.reason}"
    return f"what is known of it changed since it was marked: {now.reason or now.state}"
