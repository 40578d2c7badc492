"""The engine `zimage_http` at a server that takes signed requests only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from served_engine import GatedEngine, picture, served
from zimage_requests import request_for

from zimage_core.engines.base import Rendered
from zimage_core.engines.registry import create_engine
from zimage_core.errors import ConfigurationError

SECRET = "a-secret-of-this-server"


def test_a_signed_run_is_answered_and_every_try_is_signed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_SIGNING_SECRET", SECRET)
    requests = [request_for("text", f"shot{n}", size=(64, 64)) for n in range(6)]
    with served(GatedEngine(), tmp_path, signing_secrets=[SECRET]) as here:
        engine = create_engine("zimage_http", {"url": here.url})
        first, second = engine.render(requests), engine.render(requests)
        engine.close()
    for request, answer, again in zip(requests, first, second, strict=True):
        assert isinstance(answer, Rendered), answer
        assert isinstance(again, Rendered), again
        assert np.array_equal(answer.rgb, picture(request))
        assert np.array_equal(again.rgb, answer.rgb)
    assert len(here.engine.drawn) == len(requests), "what was drawn before is answered from what is kept"


@pytest.mark.parametrize("secret", ["", "a-secret-of-another-server"])
def test_without_the_right_secret_nothing_starts_and_the_secret_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_SIGNING_SECRET", secret)
    with (
        served(GatedEngine(), tmp_path, signing_secrets=[SECRET]) as here,
        pytest.raises(ConfigurationError) as refused,
    ):
        create_engine("zimage_http", {"url": here.url})
    assert "sign" in refused.value.sentence
    assert "ZIMAGE_ENGINE_SIGNING_SECRET" in refused.value.sentence
    assert "secret-of" not in str(refused.value)
