"""Pictures with right and wrong texts: drawn by our overlay code, and as an image model would draw them.

Code-drawn texts have a known place and expected words; model-drawn ones only words (`expected`), and are set in other
faces, tilted, in perspective, blurred, noisy and compressed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets import damage, glyphs
from benchmarks.quality_sets.photo_set import photo
from benchmarks.quality_sets.prints import face_count, is_latin
from zimage_core.domain import Language, Overlay, OverlayText, PlacedText
from zimage_core.imaging.composite import paste_premultiplied
from zimage_core.imaging.overlay import draw_overlay, paint_overlay
from zimage_core.imaging.pixels import Plane, Rgb, Rgba, resize
from zimage_core.quality.reading import plain

Rng = np.random.Generator
SIDE_PX = 1024
CODE_COUNT = 400
MODEL_COUNT = 400
CODE_FAULTS = ("digit", "missing", "swapped", "lookalike", "other_price", "garbled", "covered")
MODEL_FAULTS = ("lookalike", "digit", "missing", "doubled", "swapped", "garbled", "garbled", "absent")
_COLORS = ("#a8391f", "#1f2a30", "#c96f4a", "#d4002a", "#f2b705", "#0a6b4f", "#ffffff", "#5b2a86", "#e8e2d6")


@dataclass(frozen=True, slots=True, eq=False)
class TextCase:
    """A picture (H, W, 3) and the texts it should hold; `right` where it does, else `fault` says what is wrong.

    `expected` are all texts, badge first; `placed` says where code drew them (code-drawn only, and as they should
    read); `layer` is the overlay's own, premultiplied; `plain_rgb` is the picture before any text; `product_alpha` the
    product's matte.
    """

    drawn_by: str
    language: Language
    right: bool
    fault: str
    drawn: tuple[str, ...]
    expected: tuple[str, ...]
    placed: tuple[PlacedText, ...]
    overlay: Overlay | None
    layer: Rgba | None
    plain_rgb: Rgb
    rgb: Rgb
    product_alpha: Plane


def texts(seed: str = "B", drawn_by: str | None = None, count: int | None = None) -> Iterator[TextCase]:
    """Yield cases drawn by `code`, by `model`, or both; the first half of each is right, in turn with wrong ones."""
    for who, total in (("code", CODE_COUNT), ("model", MODEL_COUNT)):
        if drawn_by in (None, who):
            for number in range(min(total, count if count is not None else total)):
                yield text_case(seed, who, number)


def text_case(seed: str, drawn_by: str, number: int) -> TextCase:
    """Return one case by its number: even ones are right, odd ones wrong."""
    rng = np.random.default_rng([ord(seed), len(drawn_by), number])
    base = photo(seed, int(rng.integers(0, 36)))
    side = int(rng.choice([SIDE_PX, SIDE_PX, 864, 800]))
    rgb, alpha = _square(base.rgb, side), _square(base.alpha, side)
    make = _by_code if drawn_by == "code" else _by_model
    return make(rng, rgb, alpha, number)


def _square(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return np.ascontiguousarray(resize(image[top : top + least, left : left + least], side, side))


# ---------------------------------------------------------------- drawn by code


def _by_code(rng: Rng, rgb: Rgb, alpha: Plane, number: int) -> TextCase:
    language: Language = "zh" if rng.random() < 0.65 else "en"
    price = glyphs.text_of(rng, "price", language)
    items = [
        OverlayText("badge", glyphs.text_of(rng, "badge", language), language),
        OverlayText("price", price, language),
    ]
    if rng.random() < 0.35:
        items.append(OverlayText("original_price", str(rng.choice(["¥299", "¥1,999", "$59.00", "¥98"])), language))
    overlay = Overlay(
        tuple(items),
        str(rng.choice(_COLORS)),
        str(rng.choice(["#fff8ee", "#161616", "#ffffff"])),
        str(rng.choice(_COLORS)),
        "sans" if rng.random() < 0.7 else "serif",
        int(rng.integers(0, 4)),
    )
    layer, placed = paint_overlay(side := rgb.shape[1], side, overlay, product_alpha=alpha, text_room="top")
    drawn_rgb = paste_premultiplied(rgb, layer)
    expected = tuple(text.text for text in items)
    if number % 2 == 0:
        return TextCase(
            "code", language, True, "none", expected, expected, placed, overlay, layer, rgb, drawn_rgb, alpha
        )
    fault = CODE_FAULTS[(number // 2) % len(CODE_FAULTS)]
    which = 1 if fault in ("digit", "other_price") else int(rng.integers(0, 2))
    wrong = items[which].text
    if fault == "garbled":
        finished = _garbled_in_place(rng, drawn_rgb, placed[which])
    elif fault == "covered":
        finished = _covered(rng, drawn_rgb, placed[which])
    else:
        wrong = _other_price(rng, wrong) if fault == "other_price" else glyphs.misspelt(rng, wrong, fault)
        changed = tuple(dataclasses.replace(item, text=wrong) if k == which else item for k, item in enumerate(items))
        finished, _ = draw_overlay(
            rgb, dataclasses.replace(overlay, texts=changed), product_alpha=alpha, text_room="top"
        )
    drawn = tuple(wrong if k == which else text for k, text in enumerate(expected))
    return TextCase("code", language, False, fault, drawn, expected, placed, overlay, layer, rgb, finished, alpha)


def _other_price(rng: Rng, price: str) -> str:
    digits = [c for c in price if c.isdigit()]
    for _ in range(20):
        new = [str(rng.integers(1 if k == 0 else 0, 10)) for k in range(len(digits))]
        if new != digits:
            break
    fresh = iter(new)
    return "".join(next(fresh) if c.isdigit() else c for c in price)


def _ink_runs(crop: Rgb) -> tuple[Plane, list[tuple[int, int]]]:
    """Return the ink mask of a drawn line (0 or 255) and its runs of inked columns: glyphs, or parts of them."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = bright if float((bright > 0).mean()) < 0.5 else 255 - bright
    inked = np.flatnonzero(np.diff(np.concatenate([[0], (ink.max(axis=0) > 0).astype(np.int8), [0]])))
    runs = [(int(a), int(b)) for a, b in zip(inked[::2], inked[1::2], strict=True)]
    return np.asarray(ink, np.uint8), [run for run in runs if run[1] - run[0] >= 0.25 * crop.shape[0]] or runs


def _garbled_in_place(rng: Rng, rgb: Rgb, text: PlacedText) -> Rgb:
    """Return the picture with one glyph of a drawn text painted over by what is no glyph, in the same colours."""
    box = text.box
    rows, columns = slice(box.y_px, box.bottom_px), slice(box.x_px, box.right_px)
    crop = rgb[rows, columns]
    ink, runs = _ink_runs(crop)
    made, _ = glyphs.garbled(rng, ink, runs)
    color = np.median(crop[ink > 0], axis=0)
    plate = np.median(crop[ink == 0], axis=0)
    weight = (cv2.GaussianBlur(made, (0, 0), 0.6).astype(np.float32) / 255)[..., None]
    changed = cv2.dilate((made != ink).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    picture = rgb.copy()
    picture[rows, columns] = np.where(changed[..., None], np.rint(plate + (color - plate) * weight), crop).astype(
        np.uint8
    )
    return picture


def _covered(rng: Rng, rgb: Rgb, text: PlacedText) -> Rgb:
    """Return the picture with a blob over at least a glyph of a text: something stands or lies before it."""
    box = text.box
    picture = rgb.copy()
    width = max(round(0.9 * box.height_px), round(box.width_px * rng.uniform(0.2, 0.5)))
    left = int(rng.integers(box.x_px, max(box.x_px + 1, box.right_px - width)))
    top = box.y_px - round(0.1 * box.height_px)
    centre = (left + width // 2, top + round(0.6 * box.height_px))
    color = tuple(int(v) for v in rng.integers(10, 245, 3))
    cv2.ellipse(
        picture,
        centre,
        (width // 2 + 2, round(0.62 * box.height_px)),
        float(rng.uniform(-15, 15)),
        0,
        360,
        color,
        -1,
        cv2.LINE_AA,
    )
    return picture


# ---------------------------------------------------------------- drawn by a model


def _by_model(rng: Rng, rgb: Rgb, alpha: Plane, number: int) -> TextCase:
    language: Language = "zh" if rng.random() < 0.65 else "en"
    expected = [glyphs.text_of(rng, "badge", language)]
    if rng.random() < 0.6:
        expected.append(glyphs.text_of(rng, "price", language))
    elif rng.random() < 0.4:
        expected = [glyphs.text_of(rng, "price", language)]
    right = number % 2 == 0
    fault = "none" if right else MODEL_FAULTS[(number // 2) % len(MODEL_FAULTS)]
    which = int(rng.integers(0, len(expected)))
    drawn = list(expected)
    if fault not in ("none", "garbled", "absent"):
        drawn[which] = glyphs.misspelt(rng, expected[which], fault)
        assert plain(drawn[which]) != plain(expected[which])
    picture = rgb
    spots = rng.permutation(2)
    for k, text in enumerate(drawn):
        if fault == "absent" and k == which:
            continue
        picture = _model_line(rng, picture, text, top=bool(spots[k % 2]), garble=fault == "garbled" and k == which)
    if fault == "absent":
        drawn[which] = ""
    picture = damage.blurred(picture, s) if (s := float(rng.choice([0, 0, 0.5, 0.8, 1.0]))) > 0 else picture
    picture = damage.noisy(picture, float(rng.uniform(0, 6)), rng)
    picture = damage.jpeg(picture, int(rng.integers(75, 96)))
    return TextCase("model", language, right, fault, tuple(drawn), tuple(expected), (), None, None, rgb, picture, alpha)


def _model_line(rng: Rng, rgb: Rgb, text: str, *, top: bool, garble: bool) -> Rgb:
    """Return the picture with one line of text on a plate or none, in perspective, in the upper or lower band."""
    side = rgb.shape[0]
    latin = is_latin(text)
    size = int(min(rng.integers(30, 97), side * 0.8 / (max(2, len(text)) * (0.62 if latin else 1.05))))
    ink, cells = glyphs.inked(text, int(rng.integers(0, face_count(latin))), size * 2, latin)
    if garble:
        ink, _ = glyphs.garbled(rng, ink, cells)
    height, width = ink.shape[0] // 2, ink.shape[1] // 2
    x = rng.uniform(0.04 * side, max(0.05 * side, 0.96 * side - width))
    y = rng.uniform(0.04, 0.10) * side if top else rng.uniform(0.80, 0.96) * side - height
    y = float(np.clip(y, 0.02 * side, 0.98 * side - height))
    around = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = np.radians(float(rng.choice([0, 0, rng.uniform(-3, 3), rng.uniform(-8, 8)])))
    middle = np.array([width / 2, height / 2], np.float32)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    lean = rng.uniform(-0.06, 0.06, (4, 2)).astype(np.float32) * height
    corners = (around - middle) @ spin.T + middle + lean + np.array([x, y], np.float32)
    over = np.maximum(corners.max(axis=0) - 0.985 * side, 0) - np.maximum(0.015 * side - corners.min(axis=0), 0)
    matrix = cv2.getPerspectiveTransform(around * 2, (corners - over).astype(np.float32))
    soft = cv2.GaussianBlur(ink, (0, 0), 0.7)
    letters = cv2.warpPerspective(soft, matrix, (side, side), flags=cv2.INTER_LINEAR)
    plate = cv2.warpPerspective(np.full_like(ink, 255), matrix, (side, side), flags=cv2.INTER_LINEAR)
    ground = rgb[plate > 127].mean(axis=0)
    busy = float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[plate > 127].std()) > 18.0
    has_plate = bool(rng.random() < 0.6) or busy  # over an edge half the text would be unreadable to anyone
    if has_plate:
        ground = rng.integers(15, 245, 3).astype(np.float64)
    away = rng.uniform(90, 200) * (1 if ground.mean() < 120 else -1)
    color = np.clip(ground + away + rng.normal(0, 12, 3), 0, 255)
    picture = rgb.astype(np.float32)
    if has_plate:
        share = (plate.astype(np.float32) / 255)[..., None] * np.float32(rng.uniform(0.85, 1.0))
        picture = picture * (1 - share) + ground * share
    share = (letters.astype(np.float32) / 255)[..., None]
    return np.clip(np.rint(picture * (1 - share) + color * share), 0, 255).astype(np.uint8)
