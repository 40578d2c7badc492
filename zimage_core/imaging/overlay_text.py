"""Setting one piece of overlay text: where it may break, how large it can be, and where its ink falls.

Everything is measured from the font itself. A text is never clipped: it shrinks, then breaks into two lines, then
shrinks to the smallest legible size, and what still does not fit is refused by the caller.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from PIL import Image, ImageDraw

from zimage_core.imaging.fonts import Family, load_font

# Kinsoku (GB/T 15834-2011, W3C clreq 3.1.3): what may not open a line, and what may not end one.
_NOT_FIRST = frozenset("，。、；：！？）》】」』”’％%,.;:!?)]}·…—～/")
_NOT_LAST = frozenset("（《【「『“‘([{¥￥$€£#")
LEADING_RATIO = 1.32  # distance of baselines over em size
_ONE_LINE_RATIO = 0.74  # a line is let shrink to this before a second line is tried: two large lines beat one tiny one


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One or two lines at one size. `height_px` runs from the top of a capital or Han glyph to the last baseline."""

    lines: tuple[str, ...]
    family: Family
    bold: bool
    size_px: int
    width_px: int
    height_px: int

    def draw(self, mask: Image.Image, x_px: int, y_px: int, *, centred: bool) -> None:
        """Paint the glyphs white into an "L" mask, the block's upper left corner at (x_px, y_px)."""
        pen = ImageDraw.Draw(mask)
        font = load_font(self.family, self.bold, self.size_px)
        baseline_px = y_px + _cap_height_px("".join(self.lines), self.family, self.bold, self.size_px)
        for number, line in enumerate(self.lines):
            left_px, width_px = _extent_px(line, self.family, self.bold, self.size_px)
            indent_px = (self.width_px - width_px) // 2 if centred else 0
            y_line_px = baseline_px + round(number * LEADING_RATIO * self.size_px)
            pen.text((x_px + indent_px - left_px, y_line_px), line, fill=255, font=font, anchor="ls")


def fit_text(
    text: str, family: Family, *, bold: bool, max_width_px: int, ideal_px: int, min_px: int, max_lines: int
) -> TextBlock | None:
    """Return the largest setting of `text` that is at most `max_width_px` wide; None when there is none.

    Tried in this order: one line from `ideal_px` down to 74 % of it; two balanced lines from `ideal_px` down to
    `min_px` (if `max_lines` is 2 and the text has a place to break); one line down to `min_px`.
    """
    floor_px = max(min_px, round(_ONE_LINE_RATIO * ideal_px)) if max_lines > 1 else min_px
    tries = [(1, ideal_px, floor_px)]
    if max_lines > 1:
        tries += [(2, ideal_px, min_px), (1, floor_px, min_px)]
    for count, largest_px, smallest_px in tries:
        lines = (text,) if count == 1 else _halves(text, family, bold, ideal_px)
        block = None if lines is None else _shrunk(lines, family, bold, max_width_px, largest_px, smallest_px)
        if block is not None:
            return block
    return None


def _shrunk(
    lines: tuple[str, ...], family: Family, bold: bool, max_width_px: int, largest_px: int, smallest_px: int
) -> TextBlock | None:
    size_px = max(largest_px, smallest_px)
    while size_px >= smallest_px:
        block = _set_lines(lines, family, bold, size_px)
        if block.width_px <= max_width_px:
            return block
        # Width goes with size but for a pixel of hinting: leap to just above where it will fit, then step.
        size_px = min(size_px - 1, size_px * max_width_px // block.width_px + 1)
    return None


def break_points(text: str) -> tuple[int, ...]:
    """Return the indices at which a second line may start: at spaces and between Han characters, by kinsoku rules."""
    points = []
    for i in range(1, len(text)):
        before, after = text[i - 1], text[i]
        if before.isspace():
            points.append(i)
        elif after.isspace() or before in _NOT_LAST or after in _NOT_FIRST:
            continue
        elif _is_wide(before) and _is_wide(after):
            points.append(i)
        elif (_is_wide(before) or _is_wide(after)) and not (before.isdigit() or after.isdigit()):
            points.append(i)  # a Latin word beside Han text; a number stays with its unit: 618|年 is never split
    return tuple(points)


def _halves(text: str, family: Family, bold: bool, size_px: int) -> tuple[str, ...] | None:
    pairs = [(text[:i].rstrip(), text[i:].lstrip()) for i in break_points(text)]
    pairs = [(first, second) for first, second in pairs if first and second]
    if not pairs:
        return None
    return min(pairs, key=lambda pair: max(_extent_px(line, family, bold, size_px)[1] for line in pair))


def _set_lines(lines: tuple[str, ...], family: Family, bold: bool, size_px: int) -> TextBlock:
    width_px = max(_extent_px(line, family, bold, size_px)[1] for line in lines)
    cap_px = _cap_height_px("".join(lines), family, bold, size_px)
    height_px = cap_px + round((len(lines) - 1) * LEADING_RATIO * size_px)
    return TextBlock(lines, family, bold, size_px, width_px, height_px)


def _extent_px(line: str, family: Family, bold: bool, size_px: int) -> tuple[int, int]:
    """Return where the ink starts, from the pen, and how wide it is."""
    left, _, right, _ = load_font(family, bold, size_px).getbbox(line, anchor="ls")
    return round(left), round(right - left)


def _cap_height_px(text: str, family: Family, bold: bool, size_px: int) -> int:
    """Return the height above the baseline that the eye centres: of a Han glyph if there is one, else of a capital."""
    sample = "国" if any(_is_wide(c) for c in text) else "H"
    return -round(load_font(family, bold, size_px).getbbox(sample, anchor="ls")[1])


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
