import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from zimage_core.domain import Product
from zimage_core.prompting import PromptLibrary

PROMPTS = Path(__file__).resolve().parents[3] / "prompts"


@pytest.fixture(scope="session")
def library() -> PromptLibrary:
    return PromptLibrary.load(PROMPTS)


@pytest.fixture
def mug() -> Product:
    return Product(
        sku="MUG-0101",
        name="素白釉面马克杯 350ml",
        record_no=7,
        name_en="Glazed white mug 350 ml",
        category="home",
        color="白色",
        material="陶瓷",
        price=Decimal("59.00"),
        original_price=Decimal("79.00"),
        image="mug.jpg",
        image_sha256="ab" * 32,
        selling_points=("大手柄好握", "可入微波炉和洗碗机"),
    )


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Give back a copy of the shipped prompts with one value changed: edited(file, "a.b.c", value)."""
    root = tmp_path / "prompts"
    shutil.copytree(PROMPTS, root)

    def edit(file: str, key: str, value: Any) -> Path:
        path = root / file
        content = yaml.safe_load(path.read_text("utf-8"))
        *way, last = key.split(".")
        below = content
        for step in way:
            below = below.setdefault(step, {})
        if value is ...:
            del below[last]
        else:
            below[last] = value
        path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
        return root

    return edit
