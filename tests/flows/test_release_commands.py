"""The commands around what is live, as an operator types them, on a folder that holds two releases."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from small_servers import Answer, serving
from typer.testing import CliRunner
from webhook_receiver import SECRET, receiving

from flows.cli import app
from zimage_core import clock
from zimage_core.errors import ConfigurationError, PublishError, ZImageError
from zimage_core.publishing.held import prepare_release
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.release import current_release, publish_release
from zimage_core.storage import LocalStore


def stocked(store: LocalStore, name: str, promotion: str = "618") -> Manifest:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    store.put(f"img/{name}.webp", name.encode(), content_type="image/webp")
    entry = ManifestEntry("S", "studio", "shopify", f"img/{name}.webp", sha256, len(name), 8, 8, "image/webp", "", "A")
    return build_manifest(promotion, [entry])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.setenv("ZIMAGE_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.setenv("ZIMAGE_OUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("COLUMNS", "300")
    made = LocalStore(tmp_path / "out" / "cdn", durable=False)
    for name in ("old", "new"):
        publish_release(made, stocked(made, name), by=f"run {name}")
    return made


def said(*arguments: str) -> str:
    """Run `zimage` with these arguments in this process and return what it said; its errors are raised."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if isinstance(done.exception, ZImageError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def live(store: LocalStore) -> str:
    release = current_release(store, "618")
    assert release is not None
    return release.release_id


def test_what_is_live_is_listed_and_gone_back_from(store: LocalStore) -> None:
    new = live(store)
    listed = said("releases")
    assert f"618  live {new}  1 files for shopify" in listed
    assert "published by run new" in listed
    told = said("rollback", "618", "--who", "李倩")
    old = live(store)
    assert old != new
    assert told.startswith(f"618 now points at release {old} (1 files).")
    lines = said("releases", "618").splitlines()
    assert lines[1].startswith(f"  {old}  live  1 files")
    assert lines[1].endswith("rolled back by 李倩")
    assert lines[2].startswith(f"  {new}  kept")
    with pytest.raises(PublishError, match="No release of 618 stood before"):
        said("rollback", "618")
    assert f"release {new}" in said("rollback", "618", "--to", new)
    assert said("releases", "never") == "Nothing of never is live.\n"


def test_a_cache_that_is_configured_wrongly_is_told_and_keeps_nobody_from_going_back(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = live(store)
    monkeypatch.setenv("ZIMAGE_PUBLISH_PURGE", "http")
    monkeypatch.setenv("ZIMAGE_PUBLISH_PURGE_TARGET", "http://cache.example/purge")
    told = said("rollback", "618")
    assert live(store) != new
    assert "its cache was not told: ZIMAGE_PUBLISH_PURGE_TARGET must be an https address" in told


def test_held_releases_are_listed_dropped_and_go_live_when_due(store: LocalStore) -> None:
    assert said("go-live") == "No held release is due.\n"
    later, vip = stocked(store, "later"), stocked(store, "vip", "vip")
    prepare_release(store, later, not_before=clock.now() + timedelta(hours=1), by="run later")
    prepare_release(store, vip, not_before=clock.now() - timedelta(hours=1))
    prepare_release(store, stocked(store, "whenever"))
    listed = said("releases")
    assert f"618  held {later.release_id}  1 files  goes live from 20" in listed
    assert "goes live when somebody says so" in listed
    assert said("go-live") == f"vip now points at release {vip.release_id} (1 files).\n"
    with pytest.raises(PublishError, match="may not go live before"):
        said("go-live", "618", "--release", later.release_id)
    whenever = stocked(store, "whenever").release_id
    assert "is not held any more" in said("releases", "618", "--drop", whenever)
    assert later.release_id in said("go-live", "618", "--early")
    assert live(store) == later.release_id
    for wrong in (("go-live", "--early"), ("releases", "--purge")):
        with pytest.raises(ConfigurationError, match="which promotion"):
            said(*wrong)


def test_one_of_several_that_cannot_go_live_does_not_stop_the_others(store: LocalStore) -> None:
    for name in ("aaa", "zzz"):
        prepare_release(store, stocked(store, name, name), not_before=clock.now())
    store.delete("img/aaa.webp")
    done = CliRunner().invoke(app, ["go-live"])
    assert done.exit_code == 1
    assert "PublishError: img/aaa.webp is listed in the release but is not in the store." in done.output
    assert "zzz now points at release" in done.output


def test_what_is_unused_is_told_and_deleted_only_when_asked_for(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIMAGE_PUBLISH_KEEP_RELEASES", "2")
    for name in ("newer", "newest"):
        publish_release(store, stocked(store, name))
    assert "0 objects would be deleted" in said("releases", "--prune")
    told = said("releases", "--prune", "--yes")
    assert "2 releases are kept" in told
    assert "8 more are unused, but not for long enough yet" in told
    assert "8 objects would be deleted" in said("releases", "--prune", "--grace-days", "0")
    assert "8 objects were deleted." in said("releases", "--prune", "--yes", "--grace-days", "0")
    assert {path.name for path in (store.root / "img").iterdir()} == {"newer.webp", "newest.webp"}


def test_a_cache_is_told_of_a_switch_and_a_failure_undoes_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PublishError, match="No cache is configured"):
        said("releases", "618", "--purge")
    new = live(store)
    monkeypatch.setenv("ZIMAGE_PUBLISH_PURGE", "http")
    with serving(lambda _: Answer(401)) as refusing:
        monkeypatch.setenv("ZIMAGE_PUBLISH_PURGE_TARGET", refusing.url)
        told = said("rollback", "618")
    assert live(store) != new
    assert "is live, but its cache was not told" in told
    with serving(lambda _: Answer(200)) as server:
        monkeypatch.setenv("ZIMAGE_PUBLISH_PURGE_TARGET", server.url)
        assert "/current/618.json, /current/618/* purged" in said("releases", "618", "--purge")
    assert len(server.seen) == 1


def test_files_that_readers_would_not_get_do_not_go_live(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = live(store)
    prepare_release(store, stocked(store, "held"))
    with serving(lambda _: Answer(404)) as server:
        monkeypatch.setenv("ZIMAGE_PUBLISH_PUBLIC_URL", server.url)
        with pytest.raises(PublishError, match="answered 404"):
            said("go-live", "618")
    assert live(store) == before


def test_nothing_expires_that_is_not_over_or_not_known(store: LocalStore) -> None:
    assert "No live promotion is over" in said("expire")
    with pytest.raises(
        PublishError, match=r"This ledger knows no run that made release .* expire it where it was made"
    ):
        said("expire", "618")
    with pytest.raises(ConfigurationError, match="no time zone"):
        said("expire", "--zone", "Mars/Base")


def test_receivers_are_told_of_a_step_back(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_URLS", receiver.url)
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("ZIMAGE_PUBLISH_WEBHOOK_PRIVATE", "1")
        monkeypatch.setenv("ZIMAGE_PUBLISH_PUBLIC_URL", "https://cdn.example.cn")
        said("rollback", "618")
    assert len(receiver.taken) == 1
    assert "img/old.webp" in str(*receiver.taken.values())
