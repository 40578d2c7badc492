"""What a careful editor would object to in prompts/: everything at once, each with file, key and a sentence.

Structure is refused at load; here content is read: languages, variables, light and material in words against the
stage that is built, colours, contrast, dates, length, blocked words, references between files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from zimage_core.domain import Category, Language, Mode
from zimage_core.errors import PromptError
from zimage_core.prompting.blocklist import Blocklist
from zimage_core.prompting.compose import CLAUSES_BY_MODE, picked
from zimage_core.prompting.files import BLOCKLIST_FILE, PromptFiles, SceneSource, Source
from zimage_core.prompting.shapes import (
    CATEGORIES,
    CLAUSE_KINDS,
    LANGUAGES,
    BrandFile,
    PromotionFile,
    StageShape,
    WordsShape,
)
from zimage_core.prompting.templates import MAX_PROMPT_TOKENS, TEXT_LIMITS, estimated_tokens, render, undefined_in

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to repair (error) or to look at (warning) in one file, `key` in dotted form."""

    file: str
    key: str
    sentence: str
    severity: Severity = "error"


_COLOR = re.compile(r"#[0-9a-f]{6}")

FRONT_DEG = 15.0
"""Within this many degrees of the camera nobody would say that light comes from a side; our own choice."""

OVERHEAD_MIN_DEG = 50.0
"""Light called overhead stands at least this high; our own choice."""

_LEFT = re.compile(r"左|\bleft\b", re.IGNORECASE)
_RIGHT = re.compile(r"右|\bright\b", re.IGNORECASE)
_OVERHEAD = re.compile(r"顶光|正上方|\boverhead\b|\bfrom above\b", re.IGNORECASE)

_FLOOR_WORDS: Mapping[str, re.Pattern[str]] = {
    "paper": re.compile(r"纸|无缝|\bpaper\b|\bseamless\b", re.IGNORECASE),
    "wood": re.compile(r"木|\bwood|\boak\b|\bwalnut\b|\bash\b", re.IGNORECASE),
    "stone": re.compile(r"石|岩板|水泥|\bstone\b|\bslate\b|\bmarble\b|\btravertine\b|\bconcrete\b", re.IGNORECASE),
    "fabric": re.compile(r"布|麻|棉|\bfabric\b|\blinen\b|\bcloth\b|\bcotton\b", re.IGNORECASE),
    "gloss": re.compile(r"亮面|镜面|亚克力|\bgloss|\bacrylic\b|\breflective\b", re.IGNORECASE),
    "tile": re.compile(r"瓷砖|釉面砖|\btile", re.IGNORECASE),
}

_PROMPTED_MODES: tuple[Mode, ...] = ("text", "stage")

BADGE_CONTRAST_MIN = 3.0
BADGE_CONTRAST_GOOD = 4.5
"""WCAG 2.2, success criterion 1.4.3 (AA): 3:1 for large text, which a badge is, 4.5:1 for all other text."""


def lint_files(files: PromptFiles) -> tuple[Problem, ...]:
    """Return every problem once, errors first, then by file and key."""
    found: set[Problem] = set()
    for scene in files.scenes.values():
        found.update(_lint_scene(scene, files))
    for source, brand in files.brands.values():
        found.update(_lint_brand(source, brand, files))
    for source, promotion in files.promotions.values():
        found.update(_lint_promotion(source, promotion, files))
    return tuple(sorted(found, key=lambda p: (p.severity != "error", p.file, p.key, p.sentence)))


# ---------------------------------------------------------------- scenes


def _lint_scene(scene: SceneSource, files: PromptFiles) -> Iterator[Problem]:
    file = scene.source.file
    for category in sorted(scene.head.categories):
        if category not in scene.head.suits:
            yield Problem(
                file, f"categories.{category}", "The scene does not suit this category: never used.", "warning"
            )
    for category in CATEGORIES:
        if category != "default" and category not in scene.head.categories:
            continue
        shape = scene.by_category[category]
        key = "default" if category == "default" else f"categories.{category}"
        yield from _lint_stage(file, f"{key}.stage", shape.stage, scene.head.mode)
        for language in LANGUAGES:
            words = shape.words(language)
            if words is None:
                yield Problem(file, f"{key}.{language}", f"The scene has no words in {language!r}.")
                continue
            yield from _lint_words(file, f"{key}.{language}", words, files)
            yield from _lint_agreement(file, f"{key}.{language}", words, shape.stage)
            yield from _lint_length(scene.source, category, language, words, files)


def _lint_stage(file: str, key: str, stage: StageShape, mode: Mode) -> Iterator[Problem]:
    yield from _lint_colors(file, f"{key}.palette", stage.palette)
    if mode == "packshot" and (stage.backdrop, stage.floor) != ("white", "none"):
        yield Problem(file, f"{key}.backdrop", "A packshot stands on white (backdrop white, floor none).")
    if (stage.backdrop == "closeup") != (stage.fill_ratio > 1):
        yield Problem(
            file,
            f"{key}.fill_ratio",
            f"fill_ratio is {stage.fill_ratio}; above 1 belongs to backdrop closeup, and only there.",
        )


def _lint_words(file: str, key: str, words: WordsShape, files: PromptFiles) -> Iterator[Problem]:
    texts = [(f"{key}.{kind}", text) for kind in CLAUSE_KINDS for text in words.of(kind)]
    for at, text in texts:
        try:
            for name in undefined_in(text):
                known = ", ".join(TEXT_LIMITS)
                yield Problem(file, at, f"The variable {name!r} does not exist; there are: {known}.")
        except PromptError as error:
            yield Problem(file, at, f"{error.sentence[0].upper()}{error.sentence[1:]}.")
    for at, text in texts:
        yield from _lint_blocked(file, at, text, files.blocklist)


def _lint_agreement(file: str, key: str, words: WordsShape, stage: StageShape) -> Iterator[Problem]:
    """Check that a prompt and a composite of the same scene would look alike."""
    light = stage.light
    built = _side_built(light.azimuth_deg)
    for text in words.light:
        said = _side_said(text)
        if said != built and built != "behind":
            yield Problem(
                file,
                f"{key}.light",
                f"“{text}” says the light comes from the {said}, but azimuth_deg {light.azimuth_deg:g} is the {built}.",
            )
        if _OVERHEAD.search(text) and light.elevation_deg < OVERHEAD_MIN_DEG:
            yield Problem(
                file, f"{key}.light", f"“{text}” says overhead, but elevation_deg is only {light.elevation_deg:g}."
            )
    floor = _FLOOR_WORDS.get(stage.floor)
    for text in words.setting:
        if floor is not None and not floor.search(text):
            yield Problem(file, f"{key}.setting", f"The floor is {stage.floor}, but “{text}” does not say so.")


def _side_built(azimuth_deg: float) -> str:
    if abs(azimuth_deg) <= FRONT_DEG:
        return "front"
    if abs(azimuth_deg) >= 180 - FRONT_DEG:
        return "behind"
    return "left" if azimuth_deg < 0 else "right"


def _side_said(text: str) -> str:
    """Return the side named first (a fill light is named after the key light); none named is the front."""
    named = {"left": _LEFT.search(text), "right": _RIGHT.search(text)}
    at = {side: hit.start() for side, hit in named.items() if hit}
    return min(at, key=lambda side: at[side]) if at else "front"


def _lint_length(
    source: Source, category: Category, language: Language, words: WordsShape, files: PromptFiles
) -> Iterator[Problem]:
    """Compose each wording with the longest text that a catalogue can bring, and the wordiest brand."""
    filler = "满" if language == "zh" else "x"
    longest = {name: filler * limit for name, limit in TEXT_LIMITS.items()}
    styles = ["、".join(b.style_words_zh if language == "zh" else b.style_words_en) for _, b in files.brands.values()]
    style_tokens = max(map(estimated_tokens, styles), default=0)
    for mode in _PROMPTED_MODES:
        for wording in range(max(len(words.of(kind)) for kind in CLAUSE_KINDS)):
            try:
                text = "。".join(
                    render(picked(words.of(kind), wording), longest, file=source.file, key=f"{language}.{kind}")
                    for kind in CLAUSES_BY_MODE[mode]
                )
            except PromptError as error:
                yield Problem(source.file, f"{category}.{language}", error.sentence)
                continue
            tokens = estimated_tokens(text) + style_tokens
            if tokens > MAX_PROMPT_TOKENS:
                yield Problem(
                    source.file,
                    f"{category}.{language}",
                    f"Wording {wording} can grow to about {tokens} tokens; the model reads {MAX_PROMPT_TOKENS}.",
                )


# ---------------------------------------------------------------- brands and promotions


def _lint_brand(source: Source, brand: BrandFile, files: PromptFiles) -> Iterator[Problem]:
    yield from _lint_colors(source.file, "palette", brand.palette)
    single = {
        "badge_color": brand.badge_color,
        "badge_text_color": brand.badge_text_color,
        "price_color": brand.price_color,
    }
    for key, color in single.items():
        yield from _lint_colors(source.file, key, (color,))
    for language, style in (("zh", brand.style_words_zh), ("en", brand.style_words_en)):
        key = f"style_words_{language}"
        if not style:
            yield Problem(source.file, key, f"The brand has no style words in {language!r}.", "warning")
        for word in style:
            yield from _lint_blocked(source.file, key, word, files.blocklist)
    if all(_COLOR.fullmatch(c) for c in single.values()):
        ratio = contrast_ratio(brand.badge_color, brand.badge_text_color)
        if ratio < BADGE_CONTRAST_GOOD:
            yield Problem(
                source.file,
                "badge_text_color",
                f"Badge text has a contrast of {ratio:.2f}:1 on its badge; WCAG AA asks {BADGE_CONTRAST_MIN:g}:1 of"
                f" large text and {BADGE_CONTRAST_GOOD:g}:1 of all other.",
                "error" if ratio < BADGE_CONTRAST_MIN else "warning",
            )


def _lint_promotion(source: Source, promotion: PromotionFile, files: PromptFiles) -> Iterator[Problem]:
    file = source.file
    if promotion.ends < promotion.starts:
        yield Problem(file, "ends", f"It ends on {promotion.ends}, before it starts on {promotion.starts}.")
    for scene in promotion.scenes:
        if scene not in files.scenes:
            yield Problem(file, "scenes", f"There is no scene {scene!r}; known: {', '.join(sorted(files.scenes))}.")
    if promotion.brand not in files.brands:
        yield Problem(
            file, "brand", f"There is no brand {promotion.brand!r}; known: {', '.join(sorted(files.brands))}."
        )
    for key, values in (("scenes", promotion.scenes), ("channels", promotion.channels)):
        if len(set(values)) != len(values):
            yield Problem(file, key, f"A value stands twice in {', '.join(values)}.")
    if bool(promotion.badge_zh) != bool(promotion.badge_en):
        missing = "badge_en" if promotion.badge_zh else "badge_zh"
        yield Problem(file, missing, "The badge is written in one language only.", "warning")
    style = promotion.price_style
    for key, text in (
        ("badge_zh", promotion.badge_zh),
        ("badge_en", promotion.badge_en),
        ("price_style.label_zh", style.label_zh),
        ("price_style.label_en", style.label_en),
    ):
        yield from _lint_blocked(file, key, text, files.overlay_blocklist)


# ---------------------------------------------------------------- shared


def _lint_blocked(file: str, key: str, text: str, blocklist: Blocklist) -> Iterator[Problem]:
    hit = blocklist.find(text)
    if hit is not None:
        yield Problem(file, key, f"“{hit.word}” is blocked by {BLOCKLIST_FILE}: {hit.reason}.")


def _lint_colors(file: str, key: str, colors: tuple[str, ...]) -> Iterator[Problem]:
    for color in colors:
        if not _COLOR.fullmatch(color):
            yield Problem(file, key, f"{color!r} is not a colour of the form #rrggbb in lower case.")


def contrast_ratio(one: str, other: str) -> float:
    """Return the contrast of two #rrggbb colours, 1 to 21 (WCAG 2.2: contrast ratio, relative luminance)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
