"""What shops call their categories, as data: one table from their words to the domain's Category."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from zimage_core.domain import Category

CATEGORY_WORDS: Final[Mapping[Category, tuple[str, ...]]] = {
    "fashion": (
        "fashion", "clothing", "clothes", "apparel", "shoes", "bags", "jewelry", "jewellery", "accessories",
        "menswear", "womenswear", "服装", "服饰", "女装", "男装", "童装", "内衣", "鞋", "鞋子", "鞋靴", "女鞋",
        "男鞋", "运动鞋", "箱包", "包", "包袋", "女包", "男包", "配饰", "饰品", "珠宝", "首饰", "手表", "腕表",
        "帽子", "围巾", "时尚", "运动户外", "运动服", "连衣裙", "外套", "衬衫", "裤子", "T恤",
    ),
    "electronics": (
        "electronics", "electronic", "digital", "phone", "phones", "mobile", "mobilephones", "computer",
        "computers", "laptop", "camera", "audio", "headphones", "appliance", "appliances", "homeappliances",
        "gadgets", "手机数码", "数码", "数码3C", "3C", "3C数码", "电器", "家电", "家用电器", "大家电", "小家电",
        "电子", "电子产品", "手机", "手机通讯", "手机配件", "电脑", "电脑办公", "笔记本", "平板", "相机",
        "摄影", "影音", "耳机", "音响", "智能设备",
    ),
    "home": (
        "home", "homegoods", "homeliving", "homegarden", "kitchen", "tableware", "furniture", "lighting",
        "lamps", "decor", "homedecor", "bedding", "textiles", "家居", "家居用品", "家具", "家纺", "家饰",
        "居家", "居家日用", "日用", "日用品", "百货", "日用百货", "餐具", "茶具", "杯具", "水具", "厨具",
        "厨房", "厨房用品", "灯具", "灯饰", "照明", "收纳", "床品", "床上用品", "抱枕", "摆件", "装饰", "家装",
        "家装建材", "园艺",
    ),
    "beauty": (
        "beauty", "cosmetics", "makeup", "skincare", "fragrance", "perfume", "perfumes", "haircare",
        "personalcare", "美妆", "美妆护肤", "美容", "美容护肤", "护肤", "护肤品", "彩妆", "化妆品", "香水",
        "香氛", "个护", "个人护理", "洗护", "口红", "面膜",
    ),
    "food": (
        "food", "foods", "grocery", "groceries", "snacks", "snack", "drinks", "beverage", "beverages", "tea",
        "coffee", "食品", "食品饮料", "美食", "零食", "休闲零食", "饮料", "酒水", "酒类", "生鲜", "水果",
        "茶叶", "茶", "咖啡", "粮油", "调味品", "保健食品", "糕点", "坚果",
    ),
    "default": ("default", "other", "others", "misc", "其他", "其它", "默认"),
}  # fmt: skip
"""Category → the words for it, in the form that people write; blanks, case, width, `&` and `、` do not matter."""

_NOT_PART: Final = re.compile(r"[\s_&+、·・.\-]+")
_STEP: Final = re.compile(r"[/>＞›»|｜\\／:：;；,，→、&]")


def _key(word: str) -> str:
    """Return the form in which words are compared: half width, lower case, blanks and joining signs taken out."""
    return _NOT_PART.sub("", unicodedata.normalize("NFKC", word).lower())


_CATEGORY_OF: Final[Mapping[str, Category]] = {
    _key(word): category for category, words in CATEGORY_WORDS.items() for word in words
}


@functools.lru_cache(maxsize=8192)
def known_category(text: str) -> Category | None:
    """Return the Category that a text names, None where it names none that is known.

    A path such as `女装/连衣裙` or `Home > Kitchen` has the category of its first known step.
    """
    steps = (_STEP.sub("", text), *_STEP.split(text))
    return next((_CATEGORY_OF[key] for key in map(_key, steps) if key in _CATEGORY_OF), None)
