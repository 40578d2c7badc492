"""Texts with known faults: strings that differ by what a tired eye may miss, and glyphs that are no glyphs."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality_sets.prints import face
from zimage_core.imaging.pixels import Plane

Rng = np.random.Generator

BADGES_ZH = (
    "限时特惠",
    "618年中大促",
    "新品上市",
    "买一送一",
    "满199减50",
    "会员专享",
    "第二件半价",
    "顺丰包邮",
    "七天无理由退换",
    "官方正品",
    "假一赔十",
    "冬季焕新",
    "年终盛典",
    "前100名半价",
    "爆款返场",
    "超值好礼",
    "双11狂欢",
    "清仓特价",
    "爆款直降",
    "暖冬上新",
    "直播专属",
    "赠运费险",
    "下单立减",
    "送礼优选",
    "限量发售",
    "品质之选",
    "领券再减30",
    "今日疯抢",
)
BADGES_EN = (
    "NEW IN",
    "618 SALE",
    "BEST SELLER",
    "50% OFF",
    "FREE SHIPPING",
    "LIMITED OFFER",
    "BUY 2 GET 1",
    "Black Friday",
    "BACK IN STOCK",
    "Editor's Pick",
    "LAST CHANCE",
    "SAVE 30%",
    "Members Only",
    "EXTRA 15% OFF",
)
PRICES = (
    "¥199",
    "¥168",
    "¥2,699",
    "券后 ¥128",
    "$19.99",
    "到手价 ¥59",
    "¥12.50",
    "$1,299.00",
    "¥349",
    "€24.90",
    "£18.00",
    "到手价 ¥1,580",
    "¥88",
    "Now $45.99",
    "¥6,999",
    "预售价 ¥760",
    "HK$238",
    "¥4.80",
    "拼团价 ¥39.9",
    "$305",
)
LOOKALIKE = {
    "限": "很",
    "特": "持",
    "惠": "慧",
    "买": "卖",
    "大": "太",
    "折": "拆",
    "未": "末",
    "天": "夭",
    "由": "田",
    "理": "埋",
    "官": "宫",
    "正": "止",
    "品": "晶",
    "半": "平",
    "免": "兔",
    "减": "咸",
    "新": "薪",
    "市": "布",
    "年": "午",
    "冬": "东",
    "员": "圆",
    "享": "亨",
    "礼": "扎",
    "爆": "曝",
    "暖": "暧",
    "送": "迭",
    "价": "阶",
    "退": "遏",
    "前": "煎",
    "名": "各",
    "6": "8",
    "8": "3",
    "1": "7",
    "7": "1",
    "9": "0",
    "0": "6",
    "5": "6",
    "3": "8",
    "2": "7",
    "4": "1",
    "O": "Q",
    "E": "F",
    "F": "P",
    "S": "5",
    "I": "L",
    "N": "M",
    "R": "P",
    "B": "R",
    "e": "c",
    "a": "o",
    "i": "l",
}


def text_of(rng: Rng, role: str, language: str) -> str:
    """Return a badge or a price."""
    if role == "price":
        return str(rng.choice(PRICES))
    return str(rng.choice(BADGES_ZH if language == "zh" else BADGES_EN))


def misspelt(rng: Rng, text: str, how: str) -> str:
    """Return the text with one fault: `lookalike`, `digit`, `missing`, `doubled` or `swapped`; never the text as is."""
    letters = list(text)
    spots = [i for i, c in enumerate(letters) if not c.isspace() and c not in ",.·"]
    for _ in range(40):
        made = letters.copy()
        at = int(rng.choice(spots))
        if how == "digit":
            digits = [i for i in spots if letters[i].isdigit()] or spots
            at = int(rng.choice(digits))
            made[at] = str(rng.choice([d for d in "0123456789" if d != letters[at]]))
        elif how == "missing":
            del made[at]
        elif how == "doubled":
            made.insert(at, letters[at])
        elif how == "swapped":
            if at + 1 not in spots:
                continue
            made[at], made[at + 1] = made[at + 1], made[at]
        else:
            known = [i for i in spots if letters[i] in LOOKALIKE]
            at = int(rng.choice(known)) if known else at
            made[at] = LOOKALIKE.get(letters[at], "X" if letters[at] != "X" else "K")
        if "".join(made).replace(" ", "").casefold() != text.replace(" ", "").casefold() and "".join(made).strip():
            return "".join(made)
    return text[:-1] + ("7" if text[-1] != "7" else "4")


def inked(text: str, font_number: int, size_px: int, latin: bool) -> tuple[Plane, list[tuple[int, int]]]:
    """Return the text as ink (h, w) and each character's (left, right) columns; spaces have none."""
    font = face(font_number, size_px, latin)
    pad = round(0.3 * size_px)
    width = round(font.getlength(text)) + 2 * pad
    sheet = Image.new("L", (width, round(1.5 * size_px)), 0)
    ImageDraw.Draw(sheet).text((pad, round(0.75 * size_px)), text, font=font, fill=255, anchor="lm")
    cells = []
    for index, character in enumerate(text):
        if not character.isspace():
            left = pad + font.getlength(text[:index])
            cells.append((round(left), round(left + font.getlength(character))))
    return np.asarray(sheet, dtype=np.uint8), cells


def garbled(rng: Rng, ink: Plane, cells: list[tuple[int, int]]) -> tuple[Plane, str]:
    """Return ink with one glyph turned into what is no glyph, and how: spliced, mirrored, erased or warped.

    Glyphs that look alike afterwards (a mirrored 0 or 8) are tried again: at least a fifth of the ink must differ
    wherever the one is laid over the other.
    """
    usual = float(np.median([(ink[:, left:right] > 127).sum() for left, right in cells]))
    for _ in range(60):
        left, right = cells[int(rng.integers(0, len(cells)))]
        glyph = ink[:, left:right]
        total = float((glyph > 127).sum())
        if total < max(30.0, 0.4 * usual) or right - left < 6:  # nobody sees what became of a comma
            continue
        how = str(rng.choice(["spliced", "mirrored", "erased", "warped"]))
        other_left, _ = cells[int(rng.integers(0, len(cells)))]
        made = _garble(rng, glyph, ink[:, other_left : other_left + (right - left)], how)
        if made is None or _changed_px(made, glyph) < 0.22 * total:
            continue
        picture = ink.copy()
        picture[:, left:right] = made
        return picture, how
    left, right = max(cells, key=lambda cell: float((ink[:, cell[0] : cell[1]] > 127).sum()))
    picture = ink.copy()
    picture[: ink.shape[0] // 2, left:right] = 0
    return picture, "erased"


def _changed_px(made: Plane, glyph: Plane) -> float:
    """Return how many pixels of ink differ where one glyph lies over the other best, a twentieth of the em about."""
    height, width = glyph.shape
    reach = max(1, round(0.035 * height))  # the sheet is one and a half em high
    mine = np.pad((made > 127).astype(np.uint8), reach)
    true = (glyph > 127).astype(np.uint8)
    steps = sorted({-reach, -(reach // 2), 0, reach // 2, reach})
    laid = (mine[reach + y : reach + y + height, reach + x : reach + x + width] for y in steps for x in steps)
    return float(min(int((part != true).sum()) for part in laid))


def _garble(rng: Rng, glyph: Plane, other: Plane, how: str) -> Plane | None:
    height, width = glyph.shape
    rows = np.flatnonzero(glyph.max(axis=1) > 127)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    if how == "spliced":
        if other.shape != glyph.shape:
            return None
        made = glyph.copy()
        middle = (top + bottom) // 2
        made[middle:] = other[middle:]
        return made
    if how == "mirrored":
        return np.ascontiguousarray(glyph[:, ::-1])
    if how == "erased":
        made = glyph.copy()
        share = rng.uniform(0.3, 0.5)
        start = int(rng.integers(top, max(top + 1, round(bottom - share * (bottom - top)))))
        if rng.random() < 0.5:
            made[start : start + round(share * (bottom - top))] = 0
        else:
            first = int(rng.integers(0, max(1, round(width * (1 - share)))))
            made[:, first : first + round(share * width)] = 0
        return made
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    reach, phase = rng.uniform(0.10, 0.18) * (bottom - top), rng.uniform(0, 6.3)
    x = x + np.float32(reach) * np.sin(2 * np.pi * y / (0.45 * (bottom - top)) + phase)
    y = y + np.float32(reach) * np.sin(2 * np.pi * x / (0.5 * width) + 2 * phase)
    return np.asarray(cv2.remap(glyph, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR), dtype=np.uint8)
