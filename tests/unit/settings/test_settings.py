"""What the environment may say, and the sentence for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_settings


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
