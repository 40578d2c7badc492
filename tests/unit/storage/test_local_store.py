"""What a folder promises beyond the contract of every store: whole files, readable files, no litter."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zimage_core.errors import StorageError
from zimage_core.storage import LocalStore, content_type_of


def test_nothing_is_written_beside_the_objects(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("img/a.png", b"1", content_type="image/png", cache_control="public")
    store.put("img/a.png", b"1", content_type="image/png")
    with pytest.raises(StorageError):
        store.put("img/a.png", b"2", content_type="image/png")
    store.replace("current/p.json", b"{}", content_type="application/json")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "current/p.json",
        "img/a.png",
    ]


def test_a_kill_before_the_name_is_given_leaves_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        store.put("img/a.png", b"half", content_type="image/png")
    monkeypatch.undo()
    assert not store.exists("img/a.png")
    assert store.put("img/a.png", b"whole", content_type="image/png") is True


def test_what_a_kill_left_behind_is_never_listed(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / ".tmp-0123456789abcdef").write_bytes(b"half")
    assert list(LocalStore(tmp_path).list_keys()) == []


def test_a_web_server_under_another_user_can_read_the_files(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        LocalStore(tmp_path).put("img/a.png", b"1", content_type="image/png")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "img" / "a.png").stat().st_mode) == 0o644


def test_a_content_type_that_contradicts_the_extension_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(StorageError, match=r"served as image/jpeg, but it was put as image/webp"):
        store.put("img/a.jpg", b"1", content_type="image/webp")
    store.put("index.html", b"<p>", content_type="text/html; charset=utf-8")
    store.put("blob/0123", b"1", content_type="application/octet-stream")
    assert content_type_of("x/y.AVIF") == "image/avif"
    assert content_type_of("x/y") is None


def test_a_disk_that_refuses_is_an_error_that_names_key_and_folder(tmp_path: Path) -> None:
    (tmp_path / "img").write_bytes(b"a file where a folder should be")
    store = LocalStore(tmp_path)
    with pytest.raises(StorageError, match=r"a\.png could not be written in .*img"):
        store.put("img/a.png", b"1", content_type="image/png")
    with pytest.raises(StorageError, match="could not be written"):
        store.replace("img/a.png", b"1", content_type="image/png")


def test_a_file_system_without_hard_links_is_an_error_not_an_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    with pytest.raises(StorageError, match="could not be created"):
        LocalStore(tmp_path).put("a.png", b"1", content_type="image/png")
    assert list(LocalStore(tmp_path).list_keys()) == []
