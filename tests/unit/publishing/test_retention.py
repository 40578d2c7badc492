"""Retention: what is live, held or kept is never touched, whatever happened before and whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standing_clock import StandingClock

from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing.doomed import DOOMED_KEY
from zimage_core.publishing.held import go_live, prepare_release, read_held
from zimage_core.publishing.history import read_history, read_manifest, read_pointer
from zimage_core.publishing.manifest import Manifest, ManifestEntry, SrcsetEntry, build_manifest
from zimage_core.publishing.release import check_files, current_release, publish_release, rollback
from zimage_core.publishing.retention import GRACE, prune
from zimage_core.storage import LocalStore, ObjectFacts, Store

DAY = timedelta(days=1).total_seconds()


def stocked(store: Store, pictures: str, promotion: str = "618", channel: str = "shopify") -> Manifest:
    """Put a file, and another size of it, per letter, and return the manifest of them."""
    entries = []
    for letter in pictures:
        keys = {}
        for size in ("full", "small"):
            data = f"{letter} {size}".encode()
            keys[size] = (f"img/{letter}/{size}.webp", hashlib.sha256(data).hexdigest(), len(data))
            store.put(keys[size][0], data, content_type="image/webp")
        small = SrcsetEntry(*keys["small"], 4, 4, "image/webp")
        entries.append(
            ManifestEntry(letter, "studio", channel, *keys["full"], 8, 8, "image/webp", "", "A", srcset=(small,))
        )
    return build_manifest(promotion, entries)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def pruned(store: Store, clock: StandingClock, keep: int = 1) -> None:
    """Look, wait, look again, as a job that runs every week does."""
    prune(store, keep, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    prune(store, keep, dry=False, now=clock)


def pictures(store: LocalStore) -> set[str]:
    return {key.split("/")[1] for key in store.list_keys("img/")}


def test_old_releases_go_with_the_files_that_only_they_name_after_the_grace(
    store: LocalStore, clock: StandingClock
) -> None:
    a, b, c = (publish_release(store, stocked(store, letters), now=clock) for letters in ("xa", "xb", "xc"))
    first = prune(store, 2, dry=False, now=clock)
    assert (first.deleted, first.kept_releases, first.doomed) == (0, 2, ())
    assert f"releases/618/{a.release_id}.json" in first.waiting
    clock.pass_s(GRACE.total_seconds() - 1)
    assert prune(store, 2, dry=False, now=clock).deleted == 0
    clock.pass_s(1)
    gone = prune(store, 2, dry=False, now=clock)
    assert gone.deleted == len(gone.doomed) == 5, "two files, the manifest, its channel's part, its note"
    assert pictures(store) == {"x", "b", "c"}
    assert not store.exists(a.manifest_key)
    assert rollback(store, "618", now=clock) == b
    with pytest.raises(PublishError, match="or none that was kept"):
        rollback(store, "618", now=clock)
    assert rollback(store, "618", c.release_id, now=clock) == c
    assert prune(store, 2, dry=False, now=clock).deleted == 0


def test_a_dry_run_says_the_same_and_writes_nothing(store: LocalStore, clock: StandingClock) -> None:
    for letters in ("a", "b"):
        publish_release(store, stocked(store, letters), now=clock)
    before = {key: store.get(key) for key in store.list_keys()}
    dry = prune(store, 1, now=clock)
    assert (len(dry.waiting), dry.doomed, dry.deleted) == (5, (), 0)
    assert {key: store.get(key) for key in store.list_keys()} == before
    prune(store, 1, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    assert len(prune(store, 1, now=clock).doomed) == 5
    assert pictures(store) == {"a", "b"}


def test_files_of_other_promotions_held_releases_and_strangers_stay(store: LocalStore, clock: StandingClock) -> None:
    publish_release(store, stocked(store, "ab"), now=clock)
    publish_release(store, stocked(store, "bc", "double11", "jd"), now=clock)
    held = prepare_release(store, stocked(store, "d"), now=clock)
    store.put("feeds/google.xml", b"a feed", content_type="application/xml")
    store.put("index.html", b"<p>", content_type="text/html")
    for letters in ("e", "f"):
        publish_release(store, stocked(store, letters), now=clock)
    pruned(store, clock)
    assert pictures(store) == {"b", "c", "d", "f"}
    assert store.exists("feeds/google.xml")
    assert store.exists("index.html")
    assert go_live(store, "618", now=clock).release_id == held.release_id


def test_files_of_a_run_under_way_stay_and_those_of_a_run_that_was_given_up_go(
    store: LocalStore, clock: StandingClock
) -> None:
    publish_release(store, stocked(store, "a"), now=clock)
    prune(store, 1, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    manifest = stocked(store, "b")  # made just now, and not released yet
    prune(store, 1, dry=False, now=clock)
    assert pictures(store) == {"a", "b"}
    publish_release(store, manifest, now=clock)
    pruned(store, clock)
    assert pictures(store) == {"b"}


def test_a_manifest_written_long_after_its_files_protects_them(store: LocalStore, clock: StandingClock) -> None:
    publish_release(store, stocked(store, "a"), now=clock)
    manifest = stocked(store, "b")
    prune(store, 1, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    store.put(manifest.key, manifest.data, content_type="application/json")  # a publisher on its way
    prune(store, 1, dry=False, now=clock)
    assert pictures(store) == {"a", "b"}


@pytest.mark.parametrize("key", ["current/618.json", "releases/618/history/000001.json", "the manifest"])
def test_where_it_cannot_be_read_what_is_in_use_nothing_goes(store: LocalStore, clock: StandingClock, key: str) -> None:
    for letters in ("a", "b"):
        live = publish_release(store, stocked(store, letters), now=clock)
    prune(store, 1, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    spoilt = live.manifest_key if key == "the manifest" else key
    store.replace(spoilt, b"{}", content_type="application/json")
    with pytest.raises(PublishError):
        prune(store, 1, dry=False, now=clock)
    assert pictures(store) == {"a", "b"}
    store.delete(spoilt)
    if key == "the manifest":
        with pytest.raises(PublishError, match="is not in the store"):
            prune(store, 1, dry=False, now=clock)


class Interrupted:
    """A store that does something else before its n-th call."""

    def __init__(self, inner: Store, at: int, act: Callable[[], object]) -> None:
        self.inner, self.left, self.act = inner, at, act

    def _tick(self) -> Store:
        self.left -= 1
        if self.left == 0:
            self.act()
        return self.inner

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
        return self._tick().put(key, data, content_type=content_type)

    def replace(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> None:
        self._tick().replace(key, data, content_type=content_type)

    def swap(
        self, key: str, seen: bytes | None, data: bytes, *, content_type: str, cache_control: str | None = None
    ) -> None:
        self._tick().swap(key, seen, data, content_type=content_type)

    def get(self, key: str) -> bytes:
        return self._tick().get(key)

    def exists(self, key: str) -> bool:
        return self._tick().exists(key)

    def facts(self, key: str) -> ObjectFacts:
        return self._tick().facts(key)

    def presigned_url(self, key: str, valid_s: int) -> str:
        return self._tick().presigned_url(key, valid_s)

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        return iter(list(self._tick().list_keys(prefix)))

    def delete(self, key: str) -> None:
        self._tick().delete(key)


def ready(folder: Path) -> tuple[LocalStore, StandingClock, Manifest]:
    """Return a store in which everything of the release "ab" but the file b is ripe, and that release's manifest."""
    store, clock = LocalStore(folder, durable=False), StandingClock()
    old = stocked(store, "ab")
    publish_release(store, old, now=clock)
    publish_release(store, stocked(store, "bc"), now=clock)
    prune(store, 1, dry=False, now=clock)
    clock.pass_s(GRACE.total_seconds())
    return store, clock, old


def whole(store: LocalStore) -> None:
    """Prove that what is live can be read to the last file, for the promotion and for each channel."""
    for channel in (None, "shopify"):
        pointer = read_pointer(store, "618", channel)
        assert pointer is not None
        check_files(store, read_manifest(store, pointer.manifest_key))


def test_a_publisher_at_any_moment_of_retention_ends_whole_or_is_told(tmp_path: Path) -> None:
    ends: set[str] = set()
    for step in range(1, 200):
        store, clock, old = ready(tmp_path / str(step))

        def publish(store: LocalStore = store, clock: StandingClock = clock, old: Manifest = old) -> None:
            try:
                publish_release(store, old, now=clock)
                ends.add("published")
            except PublishError as error:
                assert "being removed" in error.sentence  # noqa: PT017
                ends.add("told")

        interrupted = Interrupted(store, step, publish)
        prune(interrupted, 1, dry=False, threads=1, now=clock)
        whole(store)
        if interrupted.left > 0:
            break
    assert ends == {"published", "told"}


def test_retention_at_any_moment_of_publishing_leaves_it_whole(tmp_path: Path) -> None:
    ends: set[str] = set()
    for step in range(1, 200):
        store, clock, old = ready(tmp_path / str(step))
        interrupted = Interrupted(store, step, lambda s=store, c=clock: prune(s, 1, dry=False, now=c))  # type: ignore[misc]
        try:
            publish_release(interrupted, old, threads=1, now=clock)
            ends.add("published")
        except PublishError as error:
            ends.add(error.sentence.split(" is ")[0])
        whole(store)
        if interrupted.left > 0:
            break
    assert "published" in ends


def test_a_second_process_is_told_and_a_killed_one_does_not_block_for_ever(tmp_path: Path) -> None:
    store, clock, _ = ready(tmp_path)

    class Dying(Interrupted):
        def delete(self, key: str) -> None:
            raise StorageError("The store is gone.")

    with pytest.raises(StorageError):
        prune(Dying(store, 0, lambda: None), 1, dry=False, now=clock)
    with pytest.raises(PublishError, match="by another process"):
        prune(store, 1, dry=False, now=clock)
    clock.pass_s(3600)
    assert prune(store, 1, dry=False, now=clock).deleted == 5
    assert b'"deleting":[]' in store.get(DOOMED_KEY)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(["618", "vip"]), st.text("abcdef", min_size=1, max_size=3)),
        st.tuples(st.just("hold"), st.sampled_from(["618", "vip"]), st.text("abcdef", min_size=1, max_size=3)),
        st.tuples(st.just("go live"), st.sampled_from(["618", "vip"]), st.none()),
        st.tuples(st.just("roll back"), st.sampled_from(["618", "vip"]), st.none()),
        st.tuples(st.just("orphan"), st.none(), st.text("abcdefghij", min_size=1, max_size=2)),
        st.tuples(st.just("prune"), st.none(), st.sampled_from([0, 1, 8])),
    ),
    min_size=4,
    max_size=10,
)


@settings(max_examples=15, deadline=None)
@given(OPERATIONS, st.integers(1, 3))
def test_whatever_happened_nothing_that_is_live_held_or_kept_is_ever_deleted(
    operations: list[tuple[str, str, str]], keep: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, clock = LocalStore(folder, durable=False), StandingClock()
        for name, promotion, what in operations:
            if name == "prune":
                clock.pass_s(int(what) * DAY)
                prune(store, keep, dry=False, now=clock)
            else:
                _do(store, clock, name, promotion, what)
            _nothing_in_use_is_missing(store, keep)
        pruned(store, clock, keep)
        pruned(store, clock, keep)
        _nothing_in_use_is_missing(store, keep)
        named = {letter for manifest in _in_use(store, keep) for letter in (e.sku for e in manifest.entries)}
        assert pictures(store) == named, "what nobody needs is gone in the end"


def _do(store: LocalStore, clock: StandingClock, name: str, promotion: str, what: str) -> None:
    try:
        if name == "orphan":
            stocked(store, "".join(sorted(set(what))))
        elif name == "publish":
            publish_release(store, stocked(store, "".join(sorted(set(what))), promotion), now=clock)
        elif name == "hold":
            prepare_release(store, stocked(store, "".join(sorted(set(what))), promotion), now=clock)
        elif name == "go live":
            go_live(store, promotion, now=clock)
        else:
            rollback(store, promotion, now=clock)
    except PublishError as error:
        assert any(said in error.sentence for said in ("is held", "are held", "stood before", "is live"))  # noqa: PT017


def _in_use(store: LocalStore, keep: int) -> list[Manifest]:
    keys: set[str] = set()
    for promotion in ("618", "vip"):
        live = current_release(store, promotion)
        keys |= set() if live is None else {live.manifest_key}
        keys |= {held.manifest_key for held in read_held(store, promotion)}
        keys |= {note.manifest_key for note in read_history(store, promotion).newest_first()[:keep]}
    return [read_manifest(store, key) for key in sorted(keys)]


def _nothing_in_use_is_missing(store: LocalStore, keep: int) -> None:
    for manifest in _in_use(store, keep):
        check_files(store, manifest)
    for promotion in ("618", "vip"):
        part = read_pointer(store, promotion, "shopify")
        if part is not None:
            check_files(store, read_manifest(store, part.manifest_key))
