"""The key is sent, and appears nowhere else: not in a log, a repr, an error, a traceback."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path

import pytest
from free_ports import free_port
from pydantic import SecretStr
from small_servers import Answer, DrawingServer, Seen, json_answer, serving
from zimage_requests import request_for

from zimage_core.engines import openai_images, zimage_http
from zimage_core.engines.base import EngineFailure
from zimage_core.engines.wire.client import Wire, error_for_status
from zimage_core.engines.wire.options import api_key, bearer, read_options, urls
from zimage_core.engines.wire.remote import Remote, RemoteOptions
from zimage_core.errors import ConfigurationError, EngineError
from zimage_core.settings import load_settings

KEY = "sk-Very/Secret+0123456789=="


def echo(seen: Seen) -> Answer:
    """Repeat the key in every way a careless server does."""
    sent = seen.headers.get("authorization", "")
    if seen.path == "/redirect":
        return Answer(302, b"", {"Location": f"http://127.0.0.1:1/{sent.split()[-1]}?key={KEY}"})
    return json_answer(
        {"detail": f"Wrong key {sent} ({sent.split()[-1]})", KEY: KEY}, 401 if "401" in seen.path else 500
    )


@pytest.fixture
def everything_said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "zimage_core"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def said(error: BaseException) -> str:
    return "\n".join(
        [str(error), repr(error), *traceback.format_exception(error), repr(vars(error)), repr(pickle.dumps(error))]
    )


def test_no_error_repr_log_or_traceback_holds_the_key(everything_said: pytest.LogCaptureFixture) -> None:
    heard = []
    with serving(echo) as server:
        wire = Wire("e", headers=bearer(SecretStr(KEY)))
        for path in ("/401", "/500"):
            reply = wire.call("POST", server.url + path, json={"a": 1})
            heard += [repr(reply), str(reply), said(error_for_status(reply, "e", what="a picture"))]
        for url in (f"{server.url}/redirect", f"http://127.0.0.1:{free_port()}/?key={KEY}", f"http://u:{KEY}@:1/"):
            with pytest.raises(EngineError) as caught:
                wire.call("POST", url, json={"a": 1})
            heard.append(said(caught.value))
        heard += [repr(wire), str(wire), repr(vars(wire))]
        wire.close()
    assert [seen.headers["authorization"] for seen in server.seen] == [f"Bearer {KEY}"] * 3
    heard += [record.getMessage() + repr(record.__dict__) for record in everything_said.records]
    assert all(KEY not in text for text in heard)
    assert sum("***" in text for text in heard) >= 2


def test_engines_send_the_key_of_the_settings_and_never_show_it(
    monkeypatch: pytest.MonkeyPatch, everything_said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
    with DrawingServer("plain", key=KEY) as plain, DrawingServer("images", key="another") as other:
        engine = zimage_http.create({"url": plain.url, "model": "m"})
        answers = engine.render([request_for()])
        assert not isinstance(answers[0], EngineFailure)
        engine.close()
        refused = openai_images.create({"url": other.url, "model": "m", "attempts": "2"})
        (answer,) = refused.render([request_for()])
        assert isinstance(answer, EngineFailure)
        assert answer.error.code == "EngineLocked"
        assert "ZIMAGE_ENGINE_API_KEY" in answer.error.sentence
        assert len(other.server.seen) == 1
        refused.close()
        heard = [said(answer.error), repr(answer), repr(vars(engine)), repr(vars(refused))]
    heard += [record.getMessage() + repr(record.__dict__) for record in everything_said.records]
    assert all(KEY not in text for text in heard)


def test_the_setting_is_masked_and_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
    assert KEY not in repr(load_settings())
    assert KEY not in str(load_settings().model_dump())
    key = api_key()
    assert key is not None
    assert key.get_secret_value() == KEY
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", " ")
    assert api_key() is None
    assert bearer(None) == {}


def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it() -> None:
    for key in (f"{KEY}\n", f"{KEY}\r\nX-Evil: 1", f"{KEY}é", f" {KEY}\t"):
        with pytest.raises(ConfigurationError, match="ZIMAGE_ENGINE_API_KEY") as caught:
            Wire("e", headers={"Authorization": SecretStr(key)})
        assert KEY not in said(caught.value)


def test_a_secret_in_an_address_is_refused_without_repeating_it() -> None:
    for url in (f"http://user:{KEY}@host/", f"https://host/?key={KEY}", f"https://host/#{KEY}"):
        with pytest.raises(ConfigurationError, match="ZIMAGE_ENGINE_API_KEY") as caught:
            read_options({"url": url}, {"url": urls}, "e")
        assert KEY not in said(caught.value)


def test_remote_puts_the_key_into_the_header_alone(tmp_path: Path) -> None:
    remote = Remote("e", RemoteOptions(url=("http://127.0.0.1:1",)), SecretStr(KEY))
    assert KEY not in repr(vars(remote)) + repr(remote.wire) + repr(remote.options)
    remote.close()
