"""Nouns made up for tests of the ledger and of reports: small, legible, and different where the number differs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from zimage_core.domain import (
    Attempt,
    Change,
    Clause,
    Decision,
    DecisionKind,
    Finding,
    Grade,
    GradeLetter,
    Light,
    Placement,
    Product,
    Promise,
    Prompt,
    Rendition,
    Run,
    Scene,
    SceneName,
    Shot,
    ShotOutcome,
    ShotState,
    Stage,
    Verdict,
    VerdictKind,
    attempt_id_of,
    content_id,
    seed_of,
)

RUN = Run("double11-0000000000000001", "double11", "catalogue-1", "settings-1")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
AS_PLANNED = Change()
CONTRAST = Change(backdrop="contrast", why="the product drowned in its backdrop")


def product(n: int, *, price: str = "59.00", name: str | None = None, sku: str | None = None) -> Product:
    return Product(
        sku=sku or f"MUG-{n:04d}",
        name=name or f"素白马克杯 {n}",
        record_no=n,
        name_en=f"White mug {n}",
        category="home",
        price=Decimal(price),
        selling_points=("亮釉", "大手柄"),
        image="products/mug.jpg",
        image_sha256="ab" * 32,
    )


def shot(n: int, scene: SceneName = "studio") -> Shot:
    stage = Stage("sweep", "paper", ("#f4efe6",), Light(-35.0, 50.0))
    sku = f"MUG-{n:04d}"
    return Shot(
        shot_id=content_id("made up shot", sku, scene),
        sku=sku,
        scene=Scene(scene, "home", "stage", stage, "eye level, 85 mm", "v1", f"scenes/{scene}.yaml"),
        mode="stage",
        width_px=800,
        height_px=800,
        prompt=Prompt("暖色台面", "文字", "zh", (Clause("暖色台面", f"scenes/{scene}.yaml", "v1"),)),
        reference="products/mug.jpg",
        reference_sha256="ab" * 32,
        engine="studio",
        engine_fingerprint="studio-1",
    )


def promise(n: int, *, run_id: str = RUN.run_id, shard_id: str = "shard-1", price: str = "59.00") -> Promise:
    return Promise(run_id, shot(n), product(n, price=price), ("taobao_main", "wechat_moments"), shard_id, n)


def attempt(
    n: int, number: int = 1, change: Change = AS_PLANNED, *, error: str | None = None, retryable: bool = False
) -> Attempt:
    shot_id = shot(n).shot_id
    attempt_id = attempt_id_of(shot_id, number, change)
    made = error is None
    return Attempt(
        attempt_id=attempt_id,
        shot_id=shot_id,
        number=number,
        seed=seed_of(shot_id, number),
        change=change,
        engine="studio",
        engine_fingerprint="studio-1",
        object_key=f"attempts/{attempt_id}.png" if made else None,
        sha256="cd" * 32 if made else None,
        width_px=800 if made else None,
        height_px=800 if made else None,
        placement=Placement(0.5, 100.25, 80.0) if made else None,
        seconds=0.5,
        cost_usd=0.25,
        notes=("shadow from the left",) if made else (),
        error_code=None if made else ("EngineBusy" if retryable else "EngineRefused"),
        error=error,
        error_retryable=retryable,
    )


def grade(
    of: Attempt, letter: GradeLetter = "A", *, finished_key: str = "finished-1", rubric: str = "rubric-1"
) -> Grade:
    score = {"A": 0.95, "B": 0.8, "C": 0.4}[letter]
    findings = (
        Finding("sharpness", "measured", "Sharp.", 0.82, "ratio", 0.4, 0.97),
        Finding(
            "contrast",
            "measured",
            "Hard to tell apart.",
            9.5,
            "ΔE",
            15.0,
            0.2,
            passed=letter != "C",
            veto=letter == "C",
        ),
        Finding("palette", "not_applicable", "The brand has no palette."),
    )
    reasons = () if letter == "A" else ("Product and backdrop are hard to tell apart (9.5 ΔE, at least 15)",)
    return Grade(of.attempt_id, finished_key, rubric, score, letter, findings, reasons)


def judged(of: Attempt, kind: VerdictKind = "accept", grade_of: Grade | None = None, change: Change | None = None):
    """One line for `Ledger.record_verdicts`."""
    grade_id = grade_of.grade_id if grade_of else None
    return (of.shot_id, of.attempt_id, grade_id, Verdict(kind, f"because {kind}", change))


def decision(of: Attempt, kind: DecisionKind, *, who: str = "李倩", why: str = "", at: datetime = NOON) -> Decision:
    return Decision(of.attempt_id, kind, who, why, at)


def rendition(of: Attempt, channel: str = "taobao_main") -> Rendition:
    name = content_id("made up rendition", of.attempt_id, channel)
    return Rendition(
        rendition_id=name,
        shot_id=of.shot_id,
        attempt_id=of.attempt_id,
        sku="MUG-0001",
        scene="studio",
        channel=channel,
        object_key=f"MUG-0001/studio/{channel}_800x800.{name[:8]}.jpg",
        sha256="ef" * 32,
        size_bytes=180_000,
        width_px=800,
        height_px=800,
        media_type="image/jpeg",
        alt_text="A white mug",
    )


def outcome(
    n: int, state: ShotState = "accepted", *, letter: GradeLetter | None = "A", made_again: bool = False, **other
) -> ShotOutcome:
    """An outcome that could have come from the ledger; `made_again` puts a graded C before it."""
    chain = [attempt(n)] if letter else []
    grades = [grade(chain[0], letter)] if letter else []
    if letter and made_again:
        chain.append(attempt(n, 2, CONTRAST))
        grades = [grade(chain[0], "C"), grade(chain[1], letter)]
    chosen = chain[-1] if chain and state in ("accepted", "doubtful") else None
    given = {
        "promise": promise(n),
        "state": state,
        "reason": f"because {state}",
        "attempts": tuple(chain),
        "grades": tuple(grades),
        "chosen": chosen,
        "grade": grades[-1] if grades else None,
        "renditions": (rendition(chosen),) if chosen and state == "accepted" else (),
    }
    return ShotOutcome(**(given | other))
