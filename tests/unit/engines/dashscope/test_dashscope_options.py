"""What the engine can be told, and what is wrong said before anything is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from zimage_core.engines.dashscope import MODES, create
from zimage_core.engines.dashscope.options import read
from zimage_core.errors import ConfigurationError

KEY = "sk-0123456789-secret"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://dashscope.aliyuncs.com"),
        ({"region": "singapore"}, "https://dashscope-intl.aliyuncs.com"),
        ({"url": "https://ws-1.cn-beijing.maas.aliyuncs.com/api/v1/"}, "https://ws-1.cn-beijing.maas.aliyuncs.com"),
        ({"url": "http://localhost:8000"}, "http://localhost:8000"),
    ],
)
def test_a_region_or_an_address_says_where(given: dict[str, str], url: str):
    assert read(given).url == url


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"region": "mars"}, "beijing, singapore"),
        ({"region": "beijing", "url": "https://x.example.com"}, "not both"),
        ({"url": "http://dashscope.aliyuncs.com"}, "in the clear"),
        ({"url": "https://a.example.com,https://b.example.com"}, "not several"),
        ({"url": "https://x.example.com/?key=1"}, "without user, password, query"),
        ({"mode": "later"}, "sync, async"),
        ({"requests_per_minute": "0"}, "whole number"),
        ({"cost_usd_per_image": "-1"}, "number from 0"),
        ({"api_key": "sk-1"}, "no option api_key"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(given: dict[str, str], complaint: str):
    with pytest.raises(ConfigurationError, match=complaint):
        read(given)


def test_without_a_key_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZIMAGE_ENGINE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="ZIMAGE_ENGINE_API_KEY"):
        create({})


def test_the_region_and_the_account_are_not_part_of_what_decides_pixels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
    found = set()
    for given in ({}, {"region": "singapore"}, {"concurrency": "9", "mode": "async"}, {"model": "z-image"}):
        engine = create(given)
        found.add(engine.info.fingerprint)
        assert engine.info.modes == MODES
        assert KEY not in repr(engine.info)
        engine.close()
        engine.close()
    assert len(found) == 2


def test_a_price_is_never_invented(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
    engine = create({})
    assert engine.info.cost_usd_per_image == 0.0
    assert engine.info.seconds_per_image > 0
    engine.close()
