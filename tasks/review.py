"""Review: what people decided goes into the ledger with their names, exactly, and only about what they saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.domain import Decision, DecisionKind
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Ledger
from zimage_core.reporting.decisions import DecisionLine, RefusedLine, ShotNow, judge_line, read_decisions, seen_of

_ANY_RUN = 100_000


@dataclass(frozen=True)
class Judged:
    """A file of decisions before it is applied: what is new, already recorded, without decision, and refused why.

    `decisions` are about `shots`, one (SKU, scene) each; `unsure` counts lines that do not say what the person saw.
    """

    decisions: tuple[Decision, ...] = ()
    recorded: int = 0
    undecided: int = 0
    refused: tuple[RefusedLine, ...] = ()
    unsure: int = 0
    runs: tuple[str, ...] = ()

    @property
    def kinds(self) -> Counter[str]:
        """How many new decisions of each kind."""
        return Counter(decision.kind for decision in self.decisions)


@dataclass
class _Found:
    """What the ledger says of the pictures that a file names."""

    shot_of: dict[str, str] = field(default_factory=dict)
    now: dict[tuple[str, str], ShotNow] = field(default_factory=dict)
    decided: dict[str, list[Decision]] = field(default_factory=dict)
    newest_run: dict[str, str] = field(default_factory=dict)


def record_decisions(
    path: Path, who: str | None, work_dir: Path | None, out_dir: Path | None, *, skip_stale: bool = False
) -> Judged:
    """Record the decisions of a file that a contact sheet exported, and return what was done with its lines.

    Nothing is recorded when a line is refused: ConfigurationError names each one, why, and what to do. With
    `skip_stale` stale lines are left out and returned as `refused`; lines that are wrong in themselves still refuse
    the file.
    """
    ledger = rooms(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir)).ledger
    judged = judge_decisions(ledger, text_of(path), path.name, who)
    refuse(judged, path.name, skip_stale=skip_stale)
    ledger.record_decisions(judged.decisions)
    return judged


def refuse(judged: Judged, name: str, *, skip_stale: bool = False) -> None:
    """Raise ConfigurationError, a line for each refused one, unless all of them are stale and may be left out."""
    if not judged.refused or (skip_stale and all(one.stale for one in judged.refused)):
        return
    said = "\n".join(f"  {one}" for one in judged.refused)
    hint = "\nWith --skip-stale the other lines are applied." if all(one.stale for one in judged.refused) else ""
    raise ConfigurationError(f"{name} was not applied and nothing is recorded, because of these lines:\n{said}{hint}")


def judge_decisions(ledger: Ledger, text: str, name: str, who: str | None) -> Judged:
    """Compare the lines of a decisions file with where their shots stand now. Nothing is recorded."""
    read = read_decisions(text, name, who)
    found = _found(ledger, read.lines)
    at = clock.now()
    decisions: list[Decision] = []
    refused = list(read.refused)
    recorded = 0
    for line in read.lines:
        shot_id = found.shot_of.get(line.attempt_id, "")
        now = found.now.get((line.run_id or found.newest_run.get(shot_id, ""), shot_id))
        answer = judge_line(line, now, found.decided.get(line.attempt_id, ()), known=bool(shot_id))
        if isinstance(answer, RefusedLine):
            refused.append(answer)
        elif answer and now is not None:
            decisions.append(decision_on(now, line.kind, line.who, line.why, at))
        else:
            recorded += 1
    return Judged(
        decisions=tuple(decisions),
        recorded=recorded,
        undecided=read.undecided,
        refused=tuple(sorted(refused, key=lambda one: one.line)),
        unsure=sum(not line.seen for line in read.lines),
        runs=tuple(sorted({line.run_id for line in read.lines if line.run_id})),
    )


def decision_on(now: ShotNow, kind: DecisionKind, who: str, why: str, at: datetime) -> Decision:
    """Return a decision about a shot's end; another picture is asked for after the newest attempt."""
    return Decision(now.last_attempt_id if kind == "regenerate" else now.attempt_id, kind, who, why, at)


def shots_now(ledger: Ledger, run_id: str, shot_ids: Sequence[str] | None = None) -> dict[str, ShotNow]:
    """Return where shots of a run stand now by shot_id, all or some; those without any attempt are left out."""
    found = [
        (promise, standing, standing.attempt)
        for promise, standing in ledger.standings(run_id, shot_ids=shot_ids)
        if standing.attempt is not None
    ]
    ids = [attempt.attempt_id for _, _, attempt in found]
    grades = ledger.verdict_grades(ids, run_id=run_id)
    decided = ledger.decisions(ids)
    verdicts = ledger.verdicts(run_id, [promise.shot.shot_id for promise, _, _ in found])
    answer = {}
    for promise, standing, attempt in found:
        grade = grades.get(attempt.attempt_id)
        decision = decided[attempt.attempt_id][-1] if attempt.attempt_id in decided else None
        last = standing.chain[-1].attempt_id
        verdict = verdicts[last].verdict.kind if last in verdicts else None
        seen = seen_of(attempt.attempt_id, standing.state, standing.reason, grade.grade_id if grade else None, decision)
        answer[promise.shot.shot_id] = ShotNow(
            sku=promise.product.sku,
            scene=promise.shot.scene.name,
            attempt_id=attempt.attempt_id,
            last_attempt_id=last,
            number=attempt.number,
            state=standing.state,
            reason=standing.reason,
            grade=grade.letter if grade else "",
            score=grade.score if grade else None,
            seen=seen,
            decision=decision,
            can_approve=verdict in ("accept", "review"),
            can_regenerate=verdict is not None and standing.needs == "nothing",
        )
    return answer


def text_of(path: Path) -> str:
    """Return the text of a decisions file. Raises ConfigurationError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a CSV of decisions: {error}.") from error


# ---------------------------------------------------------------- behind the verbs


def _found(ledger: Ledger, lines: Sequence[DecisionLine]) -> _Found:
    """Ask the ledger once for everything that the lines name."""
    known = ledger.attempts_by_id([line.attempt_id for line in lines])
    found = _Found({attempt_id: attempt.shot_id for attempt_id, attempt in known.items()})
    by_run: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.run_id and line.attempt_id in known:
            by_run[line.run_id].append(found.shot_of[line.attempt_id])
    nowhere = {found.shot_of[line.attempt_id] for line in lines if not line.run_id and line.attempt_id in known}
    found.newest_run = dict(_newest_runs(ledger, nowhere))
    for shot_id, run_id in found.newest_run.items():
        by_run[run_id].append(shot_id)
    for run_id, shot_ids in by_run.items():
        for shot_id, now in shots_now(ledger, run_id, shot_ids).items():
            found.now[run_id, shot_id] = now
    tries = ledger.attempts(dict.fromkeys(found.shot_of.values()))
    decided = ledger.decisions([attempt.attempt_id for of_shot in tries.values() for attempt in of_shot])
    for attempt_id, shot_id in found.shot_of.items():
        found.decided[attempt_id] = [
            decision
            for attempt in tries[shot_id]
            for decision in decided.get(attempt.attempt_id, ())
            if attempt.attempt_id == attempt_id or decision.kind == "regenerate"
        ]
    return found


def _newest_runs(ledger: Ledger, shot_ids: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield (shot_id, run_id): the run opened last that promises it. The run that went on last is asked first."""
    left = set(shot_ids)
    if not left:
        return
    for run_id in _run_ids(ledger):
        promised = {promise.shot.shot_id for promise, _ in ledger.standings(run_id, shot_ids=sorted(left))}
        yield from ((shot_id, run_id) for shot_id in sorted(promised))
        left -= promised
        if not left:
            return


def _run_ids(ledger: Ledger) -> Iterator[str]:
    last = ledger.last_opening()
    if last is not None:
        yield last.run_id
    yield from (row.run.run_id for row in ledger.runs(limit=_ANY_RUN))
