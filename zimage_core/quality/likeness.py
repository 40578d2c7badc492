"""What a likeness means for a grade: a finding, a lower letter, and when two products may well look the same."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable

from zimage_core.domain import Finding, Grade, GradeLetter, Likeness, Product

_NUMBER = r"\d+(?:\.\d+)?"
_UNITS = (
    "ml|cl|l|毫升|升|g|kg|oz|lb|克|千克|公斤|斤|mm|cm|m|in|inch|毫米|厘米|公分|米|寸|英寸|gb|tb|mb|w|瓦|pcs|pack|"
    "片|只|个|支|包|盒|件|条|双|码|号"
)
_SIZE = re.compile(
    rf"(?:{_NUMBER}[x×*]){{0,2}}{_NUMBER}\s?(?:{_UNITS})(?![a-z])|{_NUMBER}(?:[x×*]{_NUMBER})+|"
    r"(?<![a-z])(?:x{0,3}[sl]|m)(?![a-z])|(?<![a-z])(?:small|medium|large)(?![a-z])|均码|[特加]?[大中小]号|[+x×*]"
)
_MARKS = re.compile(r"[\W_]+")


def sizes_of_one(one: Product, other: Product) -> bool:
    """Tell whether two products are the same thing in two sizes (or counts), which one photo may well show.

    They are when everything that decides their looks is equal but for numbers with a unit and words of size: name,
    colour, material, brand, category. `021` against `022` is a shade, not a size: a bare number counts.
    """
    looks = [(p.color, p.material, p.brand, p.category) for p in (one, other)]
    return looks[0] == looks[1] and _without_size(one.name) == _without_size(other.name)


def _without_size(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return _MARKS.sub("", _SIZE.sub(" ", plain))


def with_likenesses(grade: Grade, found: Iterable[Likeness]) -> Grade:
    """Return the grade with a finding for each likeness, as policy reads it; the same grade without any.

    One SKU's repeated picture is a C, because other words make another picture; another SKU's is at most a B, because
    only a person knows which of the two products it shows. What is kept stays the pixels' own grade.
    """
    findings = tuple(_finding(likeness) for likeness in found)
    if not findings:
        return grade
    letter: GradeLetter = "C" if grade.letter == "C" or any(finding.veto for finding in findings) else "B"
    return dataclasses.replace(
        grade,
        letter=letter,
        findings=(*grade.findings, *findings),
        reasons=(*(finding.sentence for finding in findings), *grade.reasons),
    )


def _finding(likeness: Likeness) -> Finding:
    scene = likeness.other_scene.replace("_", " ")
    if likeness.kind == "repeated_picture":
        sentence = f"It is nearly the same picture as the {scene} of this product."
    else:
        sentence = f"It shows the same product photo as the {scene} of {likeness.other_sku}."
    return Finding(
        check=likeness.kind,
        state="measured",
        sentence=sentence,
        value=round(likeness.distance, 6),
        unit="of the limit",
        limit=1.0,
        score=0.0,
        passed=False,
        veto=likeness.kind == "repeated_picture",
    )
