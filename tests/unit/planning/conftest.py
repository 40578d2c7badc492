from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from zimage_core.domain import Channel, EngineInfo, Mode, Product, SceneName
from zimage_core.prompting import PromptLibrary

PROMPTS = Path(__file__).resolve().parents[3] / "prompts"
SCENES: tuple[SceneName, ...] = get_args(SceneName)


def _channel(
    slug: str, width_px: int, height_px: int, scenes: tuple[SceneName, ...] = SCENES, min_short_side_px: int = 480
) -> Channel:
    return Channel(
        slug=slug,
        width_px=width_px,
        height_px=height_px,
        min_short_side_px=min_short_side_px,
        format="jpeg",
        max_bytes=3_000_000,
        scenes=scenes,
        background="white" if scenes == ("packshot",) else "any",
        min_fill_ratio=0.85 if scenes == ("packshot",) else 0.0,
        overlay_allowed=scenes != ("packshot",),
        language="zh",
        source="made for tests",
        verified_on=date(2026, 11, 21),
    )


@pytest.fixture(scope="session")
def channel() -> Callable[..., Channel]:
    return _channel


@pytest.fixture(scope="session")
def channels() -> dict[str, Channel]:
    made = (
        _channel("taobao_main", 800, 800),
        _channel("tmall_detail", 790, 790),
        _channel("amazon_main", 1600, 1600, ("packshot",), min_short_side_px=1000),
        _channel("shopify", 2048, 2048),
        _channel("wechat_moments", 1080, 1440),
    )
    return {c.slug: c for c in made}


@pytest.fixture(scope="session")
def library() -> PromptLibrary:
    return PromptLibrary.load(PROMPTS)


@pytest.fixture(scope="session")
def engine() -> Callable[..., EngineInfo]:
    def make(
        *modes: Mode, needs_reference: bool = True, size_multiple_px: int = 1, max_side_px: int = 4096, **more: object
    ) -> EngineInfo:
        return EngineInfo(
            name=str(more.get("name", "studio")),
            fingerprint=str(more.get("fingerprint", "studio-1")),
            modes=modes or ("packshot", "stage"),
            needs_reference=needs_reference,
            size_multiple_px=size_multiple_px,
            max_side_px=max_side_px,
            batch_limit=8,
            seconds_per_image=2.0,
            cost_usd_per_image=0.015,
        )

    return make


@pytest.fixture(scope="session")
def goods() -> Callable[..., Product]:
    """A product with photo and price; anything may be said otherwise."""

    def make(sku: str = "MUG-1", **other: object) -> Product:
        facts: dict[str, object] = {
            "name": "素白釉面马克杯",
            "record_no": 1,
            "category": "home",
            "price": Decimal("59.00"),
            "original_price": Decimal("79.00"),
            "image": "mug.jpg",
            "image_sha256": "ab" * 32,
        }
        return Product(sku=sku, **(facts | other))  # type: ignore[arg-type]

    return make
