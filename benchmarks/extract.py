"""What extract costs: a million rows read, judged and written, against pandas and against one pydantic model per row.

    python benchmarks/extract.py                 # 1,000,000 rows
    python benchmarks/extract.py --rows 100000

All three apply the same rules to the same CSV, take its sha256 and must refuse the same number of rows, or this
fails. Ours and pandas also write usable and refused rows as Parquet; pydantic writes nothing, which is in its favour.
Each runs in a process of its own; CPU counts every thread and the imports. Expected: a third of the CPU of pandas, a
fifth of that of pydantic, at most 400 MiB. Exits with 1 where an expectation is missed.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from zimage_core.catalogue import FIELDS
from zimage_core.catalogue.categories import CATEGORY_WORDS
from zimage_core.catalogue.prices import _COMMA, _DOT, _MARKS, _QUICK, _WRITTEN, PRICE_LIMIT
from zimage_core.catalogue.rules import SKU_LENGTH, TEXT_LENGTHS
from zimage_core.clock import elapsed_s

HEADER = ["商品编码", "商品名称", "英文名", "类目", "颜色", "材质", "售价", "原价", "币种", "卖点", "品牌", "主图"]
NAMES = ("素白釉面马克杯", "折臂阅读台灯", "拾光淡香精", "诺物智能手机", "丝绒哑光唇膏", "亚麻条纹抱枕")
CATEGORIES = ("餐具", "灯具", "美妆", "手机数码", "女装/连衣裙", "玩具")
POINTS = "亮釉细腻不挂渍；大手柄好握；可入微波炉和洗碗机"
PATHS = ("ours", "pandas", "pydantic")
ROUNDS = 3
"""Paths take turns and the median counts: whoever reads a file first after it was written pays for the disk."""

CONTROL = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]"
INVISIBLE = "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
DAMAGED = "\ufffd|锟斤拷"
SKU_ODD = f"{CONTROL}|{INVISIBLE}|[\t\r\n\u200c\u200d\ufe00-\ufe0f\u2028\u2029]|{DAMAGED}"
SUSPECT = f"{CONTROL}|{INVISIBLE}|{DAMAGED}|[\t\r\n\x85\xa0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|  "
SCIENTIFIC, DATE = r"[0-9](?:\.[0-9]+)?[eE]\+[0-9]+", r"[0-9]{4}-[0-9]{2}-[0-9]{2} 00:00:00"
POINT_BREAK = r"\s*[；;|｜\n\r][；;|｜\s]*"
KEY_NOISE, STEP = r"[\s_&+、·・.\-]+", r"[/>＞›»|｜\\／:：;；,，→、&]"
PRICE_CHARS = str.maketrans("−–’´`", "--'''")


def write_catalogue(path: Path, rows: int) -> None:
    """Write a CSV as suppliers write them: quotes, line breaks, signs in prices, and about one row in twenty faulty."""
    dice = np.random.default_rng(7).integers(0, 1000, size=rows)
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        writer.writerows(_row(place, int(dice[place])) for place in range(rows))


def _row(place: int, dice: int) -> list[str]:
    price = f"{10 + place % 990}.{place % 100:02d}"
    if dice >= 920:
        price = _odd_price(place, dice)
    sku, name = f"SKU-{place:08d}", f"{NAMES[place % 6]} {place}"
    if dice < 10:
        sku = f"SKU-{place - 1 - place % 50:08d}" if place else sku
    elif dice < 20:
        sku = ("", "6.9E+12", "S" * 70, f"SK\u200bU-{place}")[dice % 4]
    elif dice < 40:
        name += ("\n第二行", ' 5" 屏', "  双空格", "\u200b")[dice % 4]
    elif dice < 46:
        name = ("", "长" * 300, "坏\ufffd字", "NUL\x00")[dice % 4]
    original = f"{2000 + place % 990}.00" if place % 2 else ""
    original = "1.00" if dice == 50 else original
    currency = ("CNY", "人民币", "", "CNY", "CNY", "ZZZ" if dice == 60 else "RMB")[place % 6]
    english = f"Product number {place}, glazed"
    return [
        sku, name, english, CATEGORIES[place % 6], "白色", "陶瓷、木", price, original, currency, POINTS, "拾光",
        f"photos/{place}.jpg",
    ]  # fmt: skip


def _odd_price(place: int, dice: int) -> str:
    thousands = f"{1 + place % 9},{100 + place % 900}.00"
    kinds = (thousands, f"¥{thousands}", f"￥{59 + place % 100}", f"{59 + place % 100}元", f"{1 + place % 9}.299")
    if dice < 990:
        return kinds[dice % 4]
    return (kinds[4], "N/A", "面议", "-5", "0", "$19.99", "999999999", "5.995", "", "1.299,00")[dice % 10]


# ---------------------------------------------------------------- ours


def run_ours(path: Path, folder: Path) -> tuple[int, int]:
    """Read by this project's catalogue room."""
    from zimage_core.catalogue import read_catalogue

    with read_catalogue(path, work_dir=folder) as catalogue:
        return catalogue.product_count, catalogue.refused_count


# ---------------------------------------------------------------- pandas, every rule vectorised


def run_pandas(path: Path, folder: Path) -> tuple[int, int]:
    """Read by pandas with its Arrow strings; odd rows are set apart and only they are worked on, as in ours."""
    import pandas as pd

    sha256_of(path)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    frame.columns = FIELDS
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame.mask(frame == "")
    bad = frame["sku"].isna() | (frame["sku"].str.len() > SKU_LENGTH)
    for pattern in (SKU_ODD, SCIENTIFIC, DATE):
        bad |= frame["sku"].str.contains(pattern, regex=True)
    for field, limit in TEXT_LENGTHS.items():
        bad |= _pandas_clean(frame, field)
        bad |= frame[field].str.len() > limit
    bad |= frame["name"].isna()
    frame["category"] = frame["category"].map({word: category_of(word) for word in frame["category"].dropna().unique()})
    bad |= _pandas_money(frame)
    frame["selling_points"] = frame["selling_points"].str.replace(POINT_BREAK, "\n", regex=True).str.split("\n")
    bad |= frame["sku"].where(~bad).duplicated() & ~bad
    frame[~bad].to_parquet(folder / "usable.parquet", compression="lz4")
    frame[bad].to_parquet(folder / "refused.parquet", compression="lz4")
    return int((~bad).sum()), int(bad.sum())


def _pandas_clean(frame: Any, field: str) -> Any:
    suspect = frame[field].str.contains(SUSPECT, regex=True)
    odd = frame.loc[suspect, field]
    bad = suspect.copy()
    bad[suspect] = odd.str.contains(rf"{CONTROL}|{DAMAGED}", regex=True)
    frame.loc[suspect, field] = (
        odd.str.replace(INVISIBLE, "", regex=True).str.replace(r"\s+", " ", regex=True).str.strip()
    )
    return bad


def _pandas_money(frame: Any) -> Any:
    said = frame["currency"].map({text: _MARKS.get(mark(text), "") for text in frame["currency"].dropna().unique()})
    bad = said == ""
    amounts, codes = {}, [said]
    for field in ("price", "original_price"):
        text = frame[field]
        quick = text.str.contains(_QUICK["auto"], regex=True) | text.isna()
        slow = {odd: parse_price(odd) for odd in text[~quick].unique()}  # every spelling once
        amount = text.where(quick).astype("float64")
        amount[~quick] = text[~quick].map({odd: float(found[0] or -1) for odd, found in slow.items()})
        bad |= (amount <= 0) | (amount > float(PRICE_LIMIT))
        amounts[field] = amount
        codes.append(text.where(~quick).map({odd: found[1] for odd, found in slow.items()}))
    price, original = amounts["price"], amounts["original_price"]
    bad |= (price.isna() & original.notna()) | (original < price)
    frame["price"], frame["original_price"] = price, original.where(original > price)
    together = functools.reduce(lambda one, other: one + "|" + other, (c.astype("str").fillna("*") for c in codes))
    frame["currency"] = together.map({text: settle(text) for text in together.unique()})
    return bad | (frame["currency"] == "")


# ---------------------------------------------------------------- pydantic, a model per row


def run_pydantic(path: Path, folder: Path) -> tuple[int, int]:
    """Read by csv and validate one model per row; nothing is written into `folder`."""
    from pydantic import ValidationError

    sha256_of(path)
    model = _row_model()
    seen: set[str] = set()
    usable = refused = 0
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        next(reader)
        for values in reader:
            try:
                row = model(**dict(zip(FIELDS, values, strict=True)))
            except ValidationError:
                refused += 1
                continue
            refused += row.sku in seen
            usable += row.sku not in seen
            seen.add(row.sku)
    return usable, refused


def _row_model() -> Any:
    from typing import Annotated

    from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

    def clean(text: str) -> str | None:
        if _SUSPECT.search(text):
            if _LOST.search(text):
                raise ValueError("damaged")
            text = re.sub(r"\s+", " ", _INVISIBLE.sub("", text)).strip()
        return text or None

    def words(limit: int) -> Any:
        return Annotated[str | None, BeforeValidator(clean), Field(max_length=limit)]

    limits = TEXT_LENGTHS

    class Row(BaseModel):
        model_config = ConfigDict(str_strip_whitespace=True)
        sku: str = Field(min_length=1, max_length=SKU_LENGTH)
        name: Annotated[str, BeforeValidator(clean), Field(max_length=limits["name"])]
        name_en: words(limits["name_en"])  # type: ignore[valid-type]
        category: Annotated[str, BeforeValidator(category_of)]
        color: words(limits["color"])  # type: ignore[valid-type]
        material: words(limits["material"])  # type: ignore[valid-type]
        price: Annotated[tuple[Decimal | None, str | None], BeforeValidator(positive_price)]
        original_price: Annotated[tuple[Decimal | None, str | None], BeforeValidator(positive_price)]
        currency: str
        selling_points: list[str]
        brand: words(limits["brand"])  # type: ignore[valid-type]
        image: words(limits["image"])  # type: ignore[valid-type]

        @field_validator("sku")
        @classmethod
        def judge_sku(cls, sku: str) -> str:
            if _SKU_ODD.search(sku) or _SKU_SPOILT.fullmatch(sku):
                raise ValueError("unusable")
            return sku

        @field_validator("selling_points", mode="before")
        @classmethod
        def part(cls, text: str) -> list[str]:
            if _LOST.search(text) or len(text) > limits["selling_points"]:
                raise ValueError("damaged or too long")
            return [point for point in _POINT_BREAK.split(text.strip()) if point]

        @model_validator(mode="after")
        def agree(self) -> Row:
            (price, mark_of_price), (original, mark_of_original) = self.price, self.original_price
            if original is not None and (price is None or original < price):
                raise ValueError("original price")
            said = [None if not self.currency else _MARKS.get(mark(self.currency), ""), mark_of_price, mark_of_original]
            if not settle("|".join("*" if part is None else part for part in said)):
                raise ValueError("currency")
            return self

    return Row


# ---------------------------------------------------------------- the same rules, one value at a time

_SUSPECT, _LOST, _INVISIBLE = re.compile(SUSPECT), re.compile(f"{CONTROL}|{DAMAGED}"), re.compile(INVISIBLE)
_SKU_ODD, _SKU_SPOILT, _POINT_BREAK = re.compile(SKU_ODD), re.compile(f"{SCIENTIFIC}|{DATE}"), re.compile(POINT_BREAK)
_PRICE = {name: re.compile(text) for name, text in (("quick", _QUICK["auto"]), ("written", _WRITTEN))}
_NUMBER_DOT, _NUMBER_COMMA = re.compile(_DOT), re.compile(_COMMA)


def _key(word: str) -> str:
    return re.sub(KEY_NOISE, "", unicodedata.normalize("NFKC", word).lower())


_CATEGORY = {_key(word): category for category, words in CATEGORY_WORDS.items() for word in words}


@functools.cache
def category_of(text: str) -> str:
    """Return the category of one text."""
    steps = (re.sub(STEP, "", text), *re.split(STEP, text))
    return next((_CATEGORY[_key(step)] for step in steps if _key(step) in _CATEGORY), "default")


def mark(text: str) -> str:
    """Return the form of a currency sign or code in which it is looked up."""
    return unicodedata.normalize("NFKC", text).strip().upper()


def parse_price(text: str) -> tuple[Decimal | None, str | None]:
    """Return amount and currency codes of one price; None for an amount that is refused."""
    if _PRICE["quick"].fullmatch(text):
        return Decimal(text), None
    found = _PRICE["written"].match(unicodedata.normalize("NFKC", text).translate(PRICE_CHARS).strip().upper())
    if not found:
        return None, None
    before, number = found["before"].replace("-", "", 1).strip(), found["number"]
    signs = [sign for sign in (before, found["after"].strip()) if sign]
    codes = _MARKS.get("\n".join(signs)) if signs else None
    dot = re.sub("[ ,']", "", number) if _NUMBER_DOT.match(number) else None
    comma = re.sub("[ .']", "", number).replace(",", ".") if _NUMBER_COMMA.match(number) else None
    if (dot and comma and dot != comma) or not (dot or comma) or (signs and codes is None):
        return None, codes
    amount = Decimal(dot or comma or "0")
    wrong = "-" in found["before"] or amount != round(amount, 2)
    return (None if wrong else amount), codes


def positive_price(text: str) -> tuple[Decimal | None, str | None]:
    """Return amount and codes of a price; ValueError where it is refused."""
    text = text.strip()
    if not text:
        return None, None
    amount, codes = parse_price(text)
    if amount is None or not 0 < amount <= PRICE_LIMIT:
        raise ValueError("price")
    return amount, codes


@functools.cache
def settle(said: str) -> str:
    """Return the one currency that all given codes allow, "" where there is none."""
    given = [part.split() for part in said.split("|") if part != "*"]
    return next((c for c in given[0] if all(c in other for other in given[1:])), "") if given else "CNY"


def sha256_of(path: Path) -> str:
    """Return the fingerprint that every path takes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---------------------------------------------------------------- measuring


def measure(name: str, path: Path) -> None:
    """Run one path in this process and print its counts, CPU, wall and peak RSS as JSON."""
    started_s = elapsed_s()
    with tempfile.TemporaryDirectory() as folder:
        usable, refused = {"ours": run_ours, "pandas": run_pandas, "pydantic": run_pydantic}[name](path, Path(folder))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "usable": usable,
        "refused": refused,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": elapsed_s() - started_s,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    print(json.dumps(result))


def measured(name: str, path: Path) -> dict[str, float]:
    """Return what one path cost, in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--file", str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def compare(rows: int) -> bool:
    """Measure every path on the same file, print the table, and tell whether the expectations are met."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.csv"
        write_catalogue(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        rounds = [{name: measured(name, path) for name in PATHS} for _ in range(ROUNDS)]
        results = {
            name: {key: statistics.median(found[name][key] for found in rounds) for key in rounds[0][name]}
            for name in PATHS
        }
    counts = {name: (result["usable"], result["refused"]) for name, result in results.items()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"The paths do not agree on usable and refused rows: {counts}.")
    ours = results["ours"]
    print(f"usable {ours['usable']:,.0f}, refused {ours['refused']:,.0f}, the same for all\n")
    print(f"{'path':10} {'CPU s':>8} {'wall s':>8} {'peak MiB':>9} {'CPU, ours = 1':>14}")
    for name, result in results.items():
        ratio = result["cpu_s"] / ours["cpu_s"]
        print(f"{name:10} {result['cpu_s']:8.2f} {result['wall_s']:8.2f} {result['peak_mib']:9.0f} {ratio:14.2f}")
    checks = {
        "3 times less CPU than pandas": results["pandas"]["cpu_s"] >= 3 * ours["cpu_s"],
        "5 times less CPU than pydantic": results["pydantic"]["cpu_s"] >= 5 * ours["cpu_s"],
        "at most 400 MiB": ours["peak_mib"] <= 400,
    }
    print()
    for check, met in checks.items():
        print(f"{'met' if met else 'MISSED':7} {check}")
    return all(checks.values())


def main() -> None:
    """Parse the command line; without --measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", choices=PATHS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.file)
    elif not compare(arguments.rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
