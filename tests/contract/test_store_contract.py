"""What every Store promises. A new kind of store joins by adding its maker to `MAKERS`."""

from __future__ import annotations

import hashlib
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3_on_moto import address_in, fresh_bucket, moto_url

from zimage_core.errors import ObjectMissing, ObjectRefused, StorageError
from zimage_core.storage import IMMUTABLE, LocalStore, ObstoreStore, S3Store, Store

MAKERS: dict[str, Callable[[Path], Store]] = {
    "local folder": lambda folder: LocalStore(folder),
    "local folder, not durable": lambda folder: LocalStore(folder, durable=False),
    "boto3": lambda _: S3Store(address_in(moto_url(), fresh_bucket(), provider="aws")),
    "boto3, under a prefix, conditions probed": lambda _: S3Store(
        address_in(moto_url(), fresh_bucket(), prefix="shop/cdn")
    ),
    "obstore": lambda _: ObstoreStore(address_in(moto_url(), fresh_bucket(), provider="aws")),
    "obstore, under a prefix, conditions probed": lambda _: ObstoreStore(
        address_in(moto_url(), fresh_bucket(), prefix="shop/cdn")
    ),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = request.param(tmp_path / "origin")
    yield made
    if isinstance(made, S3Store | ObstoreStore):
        made.close()


def test_it_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


def test_what_was_put_can_be_read_back(store: Store) -> None:
    assert store.put("img/a/one.png", b"\x00\xffbytes", content_type="image/png") is True
    assert store.exists("img/a/one.png")
    assert store.get("img/a/one.png") == b"\x00\xffbytes"


@pytest.mark.parametrize("key", ["中文/杯子 b+c.png", "50%25?x#z&y=1.png", "~tilde/[1]{2}*'\"<>|^`.png", "a+b%2Fc.png"])
def test_odd_names_are_kept_as_they_are(store: Store, key: str) -> None:
    store.put(key, key.encode(), content_type="image/png")
    assert list(store.list_keys()) == [key]
    assert store.get(key) == key.encode()
    store.delete(key)
    assert not store.exists(key)


def test_putting_the_same_bytes_again_is_no_second_write(store: Store) -> None:
    store.put("a.png", b"same", content_type="image/png")
    assert store.put("a.png", b"same", content_type="image/png") is False


def test_an_object_is_never_overwritten_by_put(store: Store) -> None:
    store.put("a.png", b"first", content_type="image/png")
    with pytest.raises(StorageError, match=r"a\.png already holds different bytes"):
        store.put("a.png", b"second", content_type="image/png")
    assert store.get("a.png") == b"first"


def test_of_many_writers_of_one_key_exactly_one_creates_it(store: Store) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            store.put("race.json", b"%d" % number, content_type="application/json")
            outcomes.append(f"created {number}")
        except StorageError:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = [outcome for outcome in outcomes if outcome.startswith("created")]
    assert created == [f"created {int(store.get('race.json'))}"]
    assert outcomes.count("refused") == 7


def test_a_pointer_is_replaced_and_readers_never_see_a_mixture(store: Store) -> None:
    old, new = b"o" * 200_000, b"n" * 200_000
    store.replace("current/p.json", old, content_type="application/json")
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(store.get("current/p.json"))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        store.replace("current/p.json", new if turn % 2 == 0 else old, content_type="application/json")
    done.set()
    reader.join()
    assert seen <= {old, new}
    assert store.get("current/p.json") == old


def test_a_missing_object_is_said_to_be_missing(store: Store) -> None:
    assert not store.exists("nothing.png")
    with pytest.raises(ObjectMissing, match=r"nothing under the key nothing\.png"):
        store.get("nothing.png")


def test_a_folder_is_not_an_object(store: Store) -> None:
    store.put("img/a.png", b"1", content_type="image/png")
    assert not store.exists("img")
    for key in ("img", "img/a.png/below.png"):
        with pytest.raises(ObjectMissing):
            store.get(key)


def test_keys_are_listed_by_prefix_in_byte_order(store: Store) -> None:
    for key in ("b.png", "a/2.png", "a/10.png", "a-b.png", "中文/杯子.png"):
        store.put(key, key.encode(), content_type="image/png")
    assert list(store.list_keys()) == ["a-b.png", "a/10.png", "a/2.png", "b.png", "中文/杯子.png"]
    assert list(store.list_keys("a/")) == ["a/10.png", "a/2.png"]
    assert list(store.list_keys("a/1")) == ["a/10.png"]
    assert list(store.list_keys("a")) == ["a-b.png", "a/10.png", "a/2.png"]
    assert list(store.list_keys("none/here")) == []


def test_deleting_twice_is_as_good_as_once(store: Store) -> None:
    store.put("a/b.png", b"1", content_type="image/png")
    store.delete("a/b.png")
    store.delete("a/b.png")
    assert not store.exists("a/b.png")
    assert list(store.list_keys()) == []
    assert store.put("a/b.png", b"2", content_type="image/png") is True


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "a/../../b", "..", "a//b", "a/./b", "a\\b", "a\nb", "a\x00b", "a/", " a", "a /b", "é" * 600,
     "a" * 240, "\ud800", "img/.tmp-0123"],
)  # fmt: skip
def test_a_key_that_could_leave_the_store_or_break_a_tool_is_refused(store: Store, key: str) -> None:
    for act in (
        lambda: store.put(key, b"1", content_type="image/png"),
        lambda: store.replace(key, b"1", content_type="image/png"),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(StorageError, match="cannot be stored"):
            act()


def test_listing_cannot_leave_the_store_either(store: Store) -> None:
    with pytest.raises(StorageError, match="cannot be stored"):
        list(store.list_keys("../"))


def test_the_facts_of_an_object_are_told_without_handing_out_its_bytes(store: Store) -> None:
    data = b"\x89PNG" * 1000
    store.put("img/a.png", data, content_type="image/png", cache_control=IMMUTABLE)
    facts = store.facts("img/a.png")
    assert (facts.key, facts.size_bytes, facts.sha256) == ("img/a.png", 4000, hashlib.sha256(data).hexdigest())
    assert facts.content_type == "image/png"
    assert facts.cache_control in (IMMUTABLE, None)
    with pytest.raises(ObjectMissing, match=r"nothing under the key img/b\.png"):
        store.facts("img/b.png")


def test_a_pointer_is_swapped_only_while_it_holds_what_was_seen(store: Store) -> None:
    store.swap("p.json", None, b"1", content_type="application/json")
    store.swap("p.json", b"1", b"2", content_type="application/json")
    for seen in (None, b"1", b"3"):
        with pytest.raises(ObjectRefused, match=r"p\.json was changed in .* meanwhile"):
            store.swap("p.json", seen, b"4", content_type="application/json")
    assert store.get("p.json") == b"2"


def test_of_many_who_saw_the_same_pointer_one_swaps_it(store: Store) -> None:
    store.put("p.json", b"seen", content_type="application/json")
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def swap(number: int) -> None:
        start.wait()
        try:
            store.swap("p.json", b"seen", b"%d" % number, content_type="application/json")
            outcomes.append(f"swapped {number}")
        except ObjectRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=swap, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [o for o in outcomes if o != "refused"] == [f"swapped {int(store.get('p.json'))}"]
    assert outcomes.count("refused") == 7


def test_a_url_for_review_opens_the_object(store: Store) -> None:
    store.put("中文/a b+c.png", b"look at me", content_type="image/png")
    with urllib.request.urlopen(store.presigned_url("中文/a b+c.png", 60)) as answer:
        assert answer.read() == b"look at me"
