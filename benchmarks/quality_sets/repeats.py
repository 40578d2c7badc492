"""Which pictures grading takes for repeats of each other: every pair of the duplicate set, near or not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_sets import damage, duplicate_set
from benchmarks.quality_sets.figures import share_text
from benchmarks.quality_sets.photo_set import photo
from zimage_core.domain import Placement, Signature
from zimage_core.imaging.cutout import CutOut, cut_out
from zimage_core.imaging.pixels import Photo, Rgb
from zimage_core.quality.duplicates import (
    NEAR,
    Cells,
    picture_distance,
    product_distance,
    read_cells,
    repeat_distance,
    signature_of,
)

_PAIRS_AT_ONCE = 512
Distance = Callable[[Cells, Cells], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature of one picture (or product photo) of the duplicate set."""

    group: str
    part: str
    kind: str
    signature: Signature


def signed_group(seed: str, number: int) -> list[Signed]:
    """Sign the pictures of one group, and its product's photo as other copies of it would be cut out."""
    signed = []
    for case in duplicate_set.group_of(seed, number):
        known = signature_of(case.kind, case.rgb, case.cutout, case.placement)
        unknown = signature_of(case.kind, case.rgb, None, None)
        signed.append(Signed(case.group, "pictures, product known", case.kind, known))
        signed.append(Signed(case.group, "pictures, nothing known", case.kind, unknown))
    base = photo(seed, number)
    copies: dict[str, Rgb] = {
        "original": base.rgb,
        "resized": np.asarray(cv2.resize(base.rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8),
        "reencoded": damage.jpeg(base.rgb, 60),
        "darkened": damage.exposed(base.rgb, 0.96),
    }
    for kind, rgb in copies.items():
        made = cut_out(Photo(rgb, None, ""))
        if isinstance(made, CutOut):
            signature = signature_of(kind, rgb, made, Placement(1.0, 0.0, 0.0))
            signed.append(Signed(f"{seed}-{number:03d}", "photos", kind, signature))
    return signed


def judged(signed: Sequence[Signed]) -> list[str]:
    """Print precision and recall over all pairs of pictures, and of product photos; return the goals missed."""
    missed = []
    for part in sorted({one.part for one in signed}):
        here = [one for one in signed if one.part == part]
        pairs = np.array(list(itertools.combinations(range(len(here)), 2)))
        near = _near(part, here, pairs)
        table: dict[str, list[bool]] = {}
        wrong: dict[str, list[str]] = {}
        for (i, j), found in zip(pairs.tolist(), near.tolist(), strict=True):
            relation = _relation(here[i], here[j])
            table.setdefault(relation, []).append(found)
            if found != relation.startswith("repeat"):
                names = sorted({here[i].group, here[j].group})
                wrong.setdefault(relation, []).append(" + ".join(names))
        repeats = [found for name, some in table.items() if name.startswith("repeat") for found in some]
        hits, all_near = sum(repeats), int(near.sum())
        print(f"{part}: recall {share_text(hits, len(repeats))}, precision {share_text(hits, all_near)}")
        for name, some in sorted(table.items()):
            print(f"    {name:32} near {sum(some)} of {len(some)}; wrong: {_counted(wrong.get(name, []))}")
        recall, precision = hits / max(1, len(repeats)), hits / max(1, all_near)
        if recall < 0.95 or precision < 0.99:
            missed.append(f"duplicates, {part}: recall {recall:.3f}, precision {precision:.4f}, goal 0.95 and 0.99")
    return missed


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common(6)) or "-"


def _near(part: str, signed: Sequence[Signed], pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which pairs are near, asked as the pipeline asks: photos and other SKUs by the product, pictures of one
    SKU by place and backdrop, and whole pictures where nothing is known. A colour variant is another SKU."""
    pictures = read_cells([one.signature.picture for one in signed])
    if part == "pictures, nothing known":
        return _within(picture_distance, pictures, pairs)
    products = read_cells([one.signature.product or "" for one in signed])
    near = _within(product_distance, products, pairs)
    if part == "photos":
        return near
    skus = np.array([f"{one.group} {'variant' if one.kind == 'colour_variant' else ''}" for one in signed])
    own = skus[pairs[:, 0]] == skus[pairs[:, 1]]
    near[own] = _within(repeat_distance, pictures, pairs[own])
    return near


def _within(distance: Distance, cells: Cells, pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
    parts = [pairs[k : k + _PAIRS_AT_ONCE] for k in range(0, len(pairs), _PAIRS_AT_ONCE)]
    return np.concatenate([distance(cells.take(some[:, 0]), cells.take(some[:, 1])) for some in parts]) <= NEAR


def _relation(one: Signed, other: Signed) -> str:
    if one.group != other.group:
        return "other product"
    kinds = {one.kind, other.kind}
    strange = kinds - set(duplicate_set.TRUE_KINDS) - {"darkened"}
    if strange:
        return ", ".join(sorted(strange))
    rest = sorted(kinds - {"original"})
    return f"repeat: {rest[0]}" if len(rest) == 1 else "repeat: two copies"
