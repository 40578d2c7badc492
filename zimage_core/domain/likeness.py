"""What a picture looks like, in few bytes, and which pictures were found to be alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LikenessKind = Literal["repeated_picture", "sold_twice"]
"""repeated_picture: one SKU's picture in another scene; sold_twice: another SKU's."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What an attempt's picture looks like, made by `version` of the code that compares (quality.duplicates).

    `picture` describes the whole of it; `product` only the product, None where its place is not known.
    """

    attempt_id: str
    version: str
    picture: str
    product: str | None


@dataclass(frozen=True, slots=True)
class SignedAttempt:
    """A signature with what is known of the picture: whose it is, in which scene, of which try."""

    signature: Signature
    shot_id: str
    sku: str
    scene: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """An attempt that shows what another one shows already; `distance` 0..1, 1 = only just near."""

    kind: LikenessKind
    attempt_id: str
    other_attempt_id: str
    other_sku: str
    other_scene: str
    distance: float
