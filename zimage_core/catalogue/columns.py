"""Which column of a source is which field of a product: the aliases as data, and the choice made from them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zimage_core.catalogue.feed_columns import Shop, header_key, shop_columns
from zimage_core.errors import CatalogueError

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "sku": (
        "sku", "sku id", "sku code", "sku编码", "商品编码", "商品编号", "商品货号", "货号", "产品编号",
        "产品编码", "产品货号", "物料编码", "编码", "product code", "product id", "item code", "item number",
        "item no", "article number", "款号",
    ),
    "name": (
        "name", "product name", "名称", "商品名称", "商品名", "产品名称", "产品名", "品名", "中文名",
        "中文名称", "name zh", "name cn", "标题", "商品标题", "title", "product title",
    ),
    "name_en": (
        "name en", "英文名", "英文名称", "商品英文名", "english name", "name english", "title en",
        "english title", "英文标题",
    ),
    "category": (
        "category", "类目", "分类", "商品类目", "商品分类", "产品分类", "品类", "product category",
        "product type",
    ),
    "color": ("color", "colour", "颜色", "颜色分类", "色号", "主色"),
    "material": ("material", "materials", "材质", "材料", "面料"),
    "price": (
        "price", "价格", "售价", "现价", "促销价", "活动价", "销售价", "单价", "价格元", "售价元", "sale price",
        "selling price", "current price",
    ),
    "original_price": (
        "original price", "原价", "划线价", "市场价", "吊牌价", "原价元", "list price", "msrp", "rrp",
        "compare at price", "was price",
    ),
    "currency": ("currency", "币种", "货币", "货币单位", "currency code"),
    "selling_points": (
        "selling points", "selling point", "卖点", "商品卖点", "产品卖点", "highlights", "features",
        "bullet points",
    ),
    "brand": ("brand", "品牌", "品牌名", "品牌名称", "brand name"),
    "image": (
        "image", "图片", "主图", "商品图片", "商品主图", "图片路径", "图片文件", "image url", "image path",
        "image file", "photo", "picture", "main image", "图片地址", "图片链接",
    ),
    "matte": (
        "matte", "matte path", "matte file", "alpha matte", "mask", "mask path", "抠图", "蒙版", "遮罩", "抠图路径",
        "蒙版路径", "透明通道",
    ),
    "value": (
        "value", "daily value", "value per day", "sales per day", "daily sales", "margin per day", "daily margin",
        "日销售额", "日均销售额", "日毛利", "日均毛利", "价值",
    ),
}  # fmt: skip
"""Field → the headers it is known by, the likeliest first; case, width, blanks and punctuation do not matter."""

FIELDS: Final = tuple(ALIASES)
REQUIRED_FIELDS: Final = ("sku", "name")
MONEY_FIELDS: Final = ("price", "original_price")
PASSED: Final = "passthrough."
"""A mapping's field that begins so is none of ours: the column is kept for `read_passthrough`, under what follows."""
MAX_PASSED: Final = 20
_EXTRA: Final = ("handle", "variant_image", "sale_price")
_SHOWN: Final = 30


@dataclass(frozen=True, slots=True)
class Columns:
    """The column chosen for each field that has one, the columns left unused, and sentences about the choice.

    `shop` says whose feed it is; `extra` are columns that are no field: those of a feed that decide what fields mean,
    and those that are only passed on (`PASSED`).
    """

    chosen: Mapping[str, str]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    shop: Shop | None = None
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def taken(self) -> Mapping[str, str]:
        """Every column to be read, by the name it is given."""
        return {**self.chosen, **self.extra}


_FIELD_OF: Final = {header_key(alias): field for field, aliases in ALIASES.items() for alias in aliases}
_RANK: Final = {header_key(alias): rank for aliases in ALIASES.values() for rank, alias in enumerate(aliases)}


def recognised(headers: Sequence[str]) -> int:
    """Return how many of the headers are known by some alias."""
    return sum(header_key(header) in _FIELD_OF for header in headers)


def choose_columns(
    headers: Sequence[str], mapping: Mapping[str, str] | None, source: str, *, feeds: bool = False
) -> Columns:
    """Return which header stands for which field. `mapping` ({field: column}) goes before the aliases; columns of its
    fields that begin with `PASSED` are only passed on.

    Where several columns could be one field the earlier alias wins and a note says so; for a price that choice would
    decide what stands in the picture, so there it is refused. `source` names the catalogue in errors. `feeds`: whether
    headers of a shop's feed are known as such, with the meaning they have there.

    Raises CatalogueError: duplicate headers, a mapping that does not fit, several prices, a required column missing.
    """
    _refuse_duplicates(headers, source)
    feed = shop_columns(headers) if feeds else None
    meant = feed.columns if feed is not None else {}
    named = _mapped(headers, mapping or {}, source)
    chosen = {name: meant[name] for name in FIELDS if name in meant}
    chosen |= {field: column for field, column in named.items() if not field.startswith(PASSED)}
    extra = {name: meant[name] for name in _EXTRA if name in meant}
    extra |= {field: column for field, column in named.items() if field.startswith(PASSED)}
    candidates: dict[str, list[str]] = {}
    for header in headers:
        field = _FIELD_OF.get(header_key(header))
        if field is not None and field not in chosen and header not in chosen.values():
            candidates.setdefault(field, []).append(header)
    notes = []
    for field, found in candidates.items():
        found.sort(key=lambda header: _RANK[header_key(header)])
        if len(found) > 1:
            if field in MONEY_FIELDS:
                raise CatalogueError(
                    f"{source} has {len(found)} columns that may be the {field} ({_shown(found)}); "
                    f"say which one: mapping={{{field!r}: {found[0]!r}}}."
                )
            notes.append(f"Column {found[0]!r} was taken as the {field}; {_shown(found[1:])} could also be it.")
        chosen[field] = found[0]
    _require(headers, chosen if "handle" not in extra else {"sku": extra["handle"]} | chosen, source)
    used = {*chosen.values(), *extra.values()}
    unused = tuple(header for header in headers if header not in used and header_key(header))
    if unused:
        notes.append(f"Columns not used: {_shown(unused)}.")
    in_order = {name: chosen[name] for name in FIELDS if name in chosen}
    return Columns(in_order, unused, tuple(notes), feed.shop if feed is not None else None, extra)


def _refuse_duplicates(headers: Sequence[str], source: str) -> None:
    counts = Counter(header_key(header) for header in headers)
    twice = [header for header in headers if counts[header_key(header)] > 1 and header_key(header)]
    if twice:
        raise CatalogueError(
            f"{source} has the same header more than once ({_shown(twice)}); rename or delete one, "
            "because which one holds the truth cannot be known."
        )


def _mapped(headers: Sequence[str], mapping: Mapping[str, str], source: str) -> dict[str, str]:
    chosen: dict[str, str] = {}
    by_key = {header_key(header): header for header in headers}
    if sum(field.startswith(PASSED) for field in mapping) > MAX_PASSED:
        raise CatalogueError(f"The mapping passes on more than {MAX_PASSED} columns.")
    for field, column in mapping.items():
        if field not in ALIASES and not (field.startswith(PASSED) and field != PASSED):
            raise CatalogueError(
                f"The mapping names the field {field!r}, which does not exist; it can name {_shown(FIELDS)}, and "
                f"{PASSED}NAME for a column that is only passed on."
            )
        found = column if column in headers else by_key.get(header_key(column))
        if found is None:
            raise CatalogueError(
                f"The mapping takes the {field} from column {column!r}, which {source} does not have; "
                f"its columns are {_shown(headers)}."
            )
        chosen[field] = found
    return chosen


def _require(headers: Sequence[str], chosen: Mapping[str, str], source: str) -> None:
    missing = [field for field in REQUIRED_FIELDS if field not in chosen]
    if not missing:
        return
    looked_for = "; ".join(f"for the {field}: {', '.join(ALIASES[field])}" for field in missing)
    no_header = "" if chosen else " The first row does not look like a header: no column name in it is known."
    raise CatalogueError(
        f"{source} has no column for the {' and the '.join(missing)}.{no_header} Looked {looked_for}. "
        f"Found: {_shown(headers)}. Rename a column, or say which it is: mapping={{{missing[0]!r}: '<column>'}}."
    )


def _shown(headers: Sequence[str]) -> str:
    texts = [repr(header[:_SHOWN]) for header in headers[:_SHOWN]]
    return ", ".join(texts) + (f" and {len(headers) - _SHOWN} more" if len(headers) > _SHOWN else "")
