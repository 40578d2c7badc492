"""What the catalogue says, and what of it was refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from zimage_core.domain.identity import content_id, to_plain
from zimage_core.domain.names import Category


@dataclass(frozen=True, slots=True)
class Product:
    """The thing sold, as the catalogue says. `image` is a path relative to the catalogue; None if it has no photo.

    `matte` is the path of a picture of the photo's size that says which part of it is the product, where one was given.
    `value` is what the product brings, sales or margin per day: the higher, the earlier its pictures are made. It
    decides when, never what: two states of a product that differ in it alone are the same product.
    """

    sku: str
    name: str
    record_no: int
    name_en: str | None = None
    category: Category = "default"
    color: str | None = None
    material: str | None = None
    price: Decimal | None = None
    original_price: Decimal | None = None
    currency: str = "CNY"
    selling_points: tuple[str, ...] = ()
    brand: str | None = None
    image: str | None = None
    image_sha256: str | None = None
    matte: str | None = None
    matte_sha256: str | None = None
    value: float | None = None

    @property
    def product_key(self) -> str:
        """The id of everything the catalogue says of the product; `record_no` is where it stood, `value` when its turn
        comes."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["value"]
        return content_id("product", fields | {"record_no": 0})

    def to_line(self) -> dict[str, object]:
        """Return the product as JSON-ready dicts and lists, for a run's file of products and for the run's id.

        A value that was not given is left out: catalogues without such a column have the runs that they always had.
        """
        plain = to_plain(self)
        if self.value is None:
            del plain["value"]
        return plain


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row, product or shot that is not taken, and why. A value, not an error: it is stored and shown."""

    stage: Literal["extract", "plan", "generate", "publish"]
    code: str
    reason: str
    sku: str | None = None
    record_no: int | None = None
    field: str | None = None
    value: str | None = None

    @property
    def refusal_id(self) -> str:
        """The id under which the same refusal is kept once."""
        return content_id("refusal", self)
