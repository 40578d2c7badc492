"""What the environment may say, and the sentence for what it may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_publish_settings, load_settings


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", ()),
        ("", ()),
        ("0,1", ("cuda:0", "cuda:1")),
        ("[0, 1]", ("cuda:0", "cuda:1")),
        ('["cpu", "cpu"]', ("cpu", "cpu")),
        ("cpu, cuda:3", ("cpu", "cuda:3")),
        ("2", ("cuda:2",)),
    ],
)
def test_devices_are_read_as_a_list_of_names_or_of_card_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, devices: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_ENGINE_DEVICES", text)
    assert load_settings().engine_devices == devices


@pytest.mark.parametrize("text", ["0,,1", "[0, 1", "[]extra", "cpu,"])
def test_devices_that_cannot_be_meant_are_refused_by_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_ENGINE_DEVICES", text)
    with pytest.raises(ConfigurationError, match="ZIMAGE_ENGINE_DEVICES"):
        load_settings()


def test_devices_in_a_dot_env_file_are_read_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZIMAGE_ENGINE_DEVICES", raising=False)
    (tmp_path / ".env").write_text("ZIMAGE_ENGINE_DEVICES=0,cpu\n")
    assert load_settings().engine_devices == ("cuda:0", "cpu")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ACCESS_KEY_ID": "AKIA1"}, "access_key_id and secret_access_key belong together"),
        ({"C2PA_KEY": "key.pem"}, "c2pa_certificate and c2pa_key belong together"),
        ({"PURGE": "cloudfront"}, "purge = cloudfront needs purge_target"),
        ({"WEBHOOK_URLS": "https://shop.example/hook"}, "webhook_urls needs webhook_secret"),
        ({"TO": "/srv/www"}, "to is s3://bucket/prefix"),
        ({"THREADS": "0"}, "ZIMAGE_PUBLISH_THREADS: Input should be greater than or equal to 1"),
    ],
)
def test_halves_of_what_publishing_needs_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"ZIMAGE_PUBLISH_{name}", value)
    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as refused:
        load_publish_settings()
    assert "ZIMAGE_PUBLISH: " in str(refused.value) or "ZIMAGE_PUBLISH_THREADS" in str(refused.value)


def test_keys_of_publishing_are_masked_wherever_they_are_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_PUBLISH_ACCESS_KEY_ID", "AKIAOPEN")
    monkeypatch.setenv("ZIMAGE_PUBLISH_SECRET_ACCESS_KEY", "very-secret-key")
    monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", '["https://a.example", "https://b.example"]')
    monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_SECRET", "whsec_c2VjcmV0")
    settings = load_publish_settings()
    assert settings.webhook_urls == ("https://a.example", "https://b.example")
    printed = f"{settings} {settings!r} {settings.model_dump()}"
    assert not any(secret in printed for secret in ("AKIAOPEN", "very-secret-key", "c2VjcmV0"))
