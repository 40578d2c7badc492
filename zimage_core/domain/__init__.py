"""Every noun of the project, frozen. Nothing here reads a clock, a file, a network or a random number.

Identity. Ids are hashes of content (`content_id`), so the same promise made twice is the same row:

    product_key   everything the catalogue says about a product, its price included
    shot_id       what decides the pixels before any try is made: SKU, scene, mode, size, prompt, reference photo,
                  engine fingerprint. The price is *not* part of it, so a new price costs no engine call; neither is
                  the promotion, so two promotions that want the same picture share it.
    attempt_id    shot_id + attempt number + what was changed for this attempt; the seed follows from these
    finished_key  the attempt's pixels + the overlay drawn over them
    rendition_id  finished pixels + channel rules + encoder settings
    release_id    the manifest's own bytes

Pixels are not nouns of this module: they live in `imaging` as arrays and in a `Store` as bytes.

What it is:       frozen dataclasses, one module per room that speaks of them; import them from here.
May import:       the standard library.
May touch:        nothing.
Never:            reads a clock, a file, a network or a random number.
"""

from zimage_core.domain.catalogue import Product, Refusal
from zimage_core.domain.experience import Regeneration
from zimage_core.domain.generation import Attempt, Change, Placement, attempt_id_of, attempt_size, seed_of
from zimage_core.domain.identity import Box, content_id, to_plain, to_text
from zimage_core.domain.likeness import Likeness, LikenessKind, Signature, SignedAttempt
from zimage_core.domain.names import (
    Category,
    DecisionKind,
    GradeLetter,
    Language,
    Mode,
    OverlayRole,
    SceneName,
    ShotState,
    VerdictKind,
)
from zimage_core.domain.overlay import Overlay, OverlayText, PlacedText
from zimage_core.domain.planning import Channel, EngineInfo, Promise, Run, Shot
from zimage_core.domain.prompting import (
    Brand,
    Clause,
    Light,
    PriceStyle,
    ProductionWindow,
    Promotion,
    Prompt,
    Scene,
    Stage,
)
from zimage_core.domain.publishing import Labels, Release, Rendition, SizedFile
from zimage_core.domain.quality import Decision, Finding, Grade, Verdict, grade_id_of
from zimage_core.domain.reporting import ShotOutcome

__all__ = [
    "Attempt",
    "Box",
    "Brand",
    "Category",
    "Change",
    "Channel",
    "Clause",
    "Decision",
    "DecisionKind",
    "EngineInfo",
    "Finding",
    "Grade",
    "GradeLetter",
    "Labels",
    "Language",
    "Light",
    "Likeness",
    "LikenessKind",
    "Mode",
    "Overlay",
    "OverlayRole",
    "OverlayText",
    "PlacedText",
    "Placement",
    "PriceStyle",
    "Product",
    "ProductionWindow",
    "Promise",
    "Promotion",
    "Prompt",
    "Refusal",
    "Regeneration",
    "Release",
    "Rendition",
    "Run",
    "Scene",
    "SceneName",
    "Shot",
    "ShotOutcome",
    "ShotState",
    "Signature",
    "SignedAttempt",
    "SizedFile",
    "Stage",
    "Verdict",
    "VerdictKind",
    "attempt_id_of",
    "attempt_size",
    "content_id",
    "grade_id_of",
    "seed_of",
    "to_plain",
    "to_text",
]
