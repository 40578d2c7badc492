"""Many objects to a bucket through a bad network: every one arrives, once, and a killed upload is finished later."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_proxy import FaultProxy
from s3_on_moto import ACCESS_KEY, SECRET_KEY, address_in
from s3_server import BUCKET, Manners, S3Server

from zimage_core.errors import ObjectRefused, StorageError, StoreRefused
from zimage_core.storage import IMMUTABLE, LocalStore, ObstoreStore, S3Store, Upload, at_once, upload

CLIENTS = pytest.mark.parametrize("client", [S3Store, ObstoreStore])
PNG = "image/png"


def picture(number: int) -> bytes:
    return number.to_bytes(4, "big") * 5_000


def pictures(count: int) -> Iterator[Upload]:
    for number in range(count):
        yield Upload(f"img/{number:04d}.png", picture(number), PNG, IMMUTABLE)


def uploaded(server: S3Server) -> dict[str, bytes]:
    return {key: kept.data for key, kept in server.objects.items() if ".tmp-" not in key}


EXPECTED = {f"img/{number:04d}.png": picture(number) for number in range(200)}


@CLIENTS
@pytest.mark.parametrize("seed", [1, 2])
def test_at_ten_percent_of_faults_every_file_arrives_once_with_its_own_bytes(
    client: type[S3Store | ObstoreStore], seed: int
) -> None:
    with S3Server(Manners(share=0.1, seed=seed)) as server:
        store = client(address_in(server.url, BUCKET, threads=16, timeout_s=0.5))
        answers = upload(store, pictures(200), 16, sleep=lambda _: None)
        store.close()
        assert [(a.key, a.error) for a in answers] == [(key, None) for key in EXPECTED]
        # obstore does not say whether it tried again: what arrived without an answer is found to be there
        lost = 0 if client is S3Store else server.manners.done["drop_after"] + server.manners.done["stall"]
        assert sum(a.outcome != "written" for a in answers) <= lost
        assert uploaded(server) == EXPECTED
        assert max(server.created.values()) == 1
        assert set(server.manners.done) == {"slow_down", "drop_before", "drop_after", "stall"}
        kept = server.objects["img/0007.png"].headers
        assert (kept["content-type"], kept["cache-control"]) == (PNG, IMMUTABLE)


def spoiling(url: str) -> FaultProxy:
    return FaultProxy(url, share=0.15, seed=5, drip_s=0.1, spoils=lambda seen: seen.method != "HEAD")


@CLIENTS
def test_pages_of_gateways_and_answers_cut_short_are_no_success(client: type[S3Store | ObstoreStore]) -> None:
    with S3Server() as server, spoiling(server.url) as proxy:
        server.manners.host = proxy.url.removeprefix("http://")
        store = client(address_in(proxy.url, BUCKET, threads=8, timeout_s=5))
        answers = upload(store, pictures(60), 8, sleep=lambda _: None)
        assert {a.outcome for a in answers} <= {"written", "there"}, [str(a.error) for a in answers if a.error]
        assert uploaded(server) == {key: EXPECTED[key] for key in list(EXPECTED)[:60]}
        assert max(server.created.values()) == 1
        assert proxy.done["html"] + proxy.done["drop_after"] > 0
        store.close()


def test_what_still_fails_after_the_tries_is_sent_again_after_a_pause_and_only_that() -> None:
    with S3Server(Manners(share=1.0, faults=("slow_down",))) as server:
        store = LocalAndFailing(server)
        waits: list[float] = []

        def sleep(pause_s: float) -> None:
            waits.append(pause_s)

        answers = upload(store, pictures(10), 4, sleep=sleep)
        assert waits == [10.0, 60.0]
        assert [a.outcome for a in answers] == ["written"] * 9 + ["failed"]
        assert str(answers[9].error) == "img/0009.png is slow."
        assert store.asked == {f"img/{n:04d}.png": (1 if n < 5 else 2 if n < 9 else 3) for n in range(10)}


class LocalAndFailing(LocalStore):
    """A folder in memory of which the upper half of keys fails once, and the last key always."""

    def __init__(self, _: object) -> None:
        super().__init__(Path())
        self.asked: dict[str, int] = {}

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
        self.asked[key] = self.asked.get(key, 0) + 1
        if key == "img/0009.png" or (key >= "img/0005.png" and self.asked[key] == 1):
            raise StorageError(f"{key} is slow.")
        return True


KILLED = """
import sys
sys.path.insert(0, {support!r})
from s3_on_moto import address_in
from zimage_core.storage import S3Store, Upload, upload
store = S3Store(address_in({url!r}, "shop", threads=4))
upload(store, (Upload(f"img/{{n:04d}}.png", n.to_bytes(4, "big") * 5000, "image/png") for n in range(200)), 4)
"""


def test_a_killed_upload_run_again_sends_only_what_is_missing() -> None:
    support = str(Path(__file__).resolve().parents[2] / "support")
    with S3Server(Manners(page=50)) as server:
        killed = subprocess.Popen([sys.executable, "-c", KILLED.format(support=support, url=server.url)])
        while len(uploaded(server)) < 80 and killed.poll() is None:
            server.stopping.wait(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        server.stopping.wait(0.2)  # what was on its way arrives or breaks off
        before = uploaded(server)
        assert 80 <= len(before) < 200
        server.sent.clear()
        store = S3Store(address_in(server.url, BUCKET, threads=8))
        answers = upload(store, pictures(200), 8, resume_under="img/")
        store.close()
        assert {a.key for a in answers if a.outcome == "there"} == set(before)
        assert {key for key in server.sent if ".tmp-" not in key} == set(EXPECTED) - set(before)
        assert uploaded(server) == EXPECTED
        assert max(server.created.values()) == 1


def test_a_key_that_holds_other_bytes_fails_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("img/0001.png", b"other", content_type=PNG)
    answers = upload(store, pictures(3), 2, resume_under="img/", sleep=lambda _: pytest.fail("nothing to wait for"))
    assert [a.outcome for a in answers] == ["written", "failed", "written"]
    assert isinstance(answers[1].error, ObjectRefused)
    assert store.get("img/0001.png") == b"other"


def test_files_are_read_when_their_turn_comes_and_a_missing_one_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    store = LocalStore(tmp_path / "cdn")
    objects = [Upload(f"{name}.png", tmp_path / f"{name}.png", PNG) for name in ("a", "b")]
    answers = upload(store, objects, 2, sleep=lambda _: None)
    assert [a.outcome for a in answers] == ["written", "failed"]
    assert "b.png could not be read to be uploaded" in str(answers[1].error)


def test_a_store_that_lets_nobody_in_ends_the_upload_at_once() -> None:
    with S3Server(Manners(denied=frozenset({"PUT"}))) as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws", threads=4))
        pulled: list[str] = []

        def watched() -> Iterator[Upload]:
            for item in pictures(200):
                pulled.append(item.key)
                yield item

        with pytest.raises(StoreRefused, match="access denied"):
            upload(store, watched(), 4)
        store.close()
        assert len(pulled) <= 12


def test_no_more_objects_are_held_than_there_are_threads() -> None:
    held, most, lock = 0, 0, threading.Lock()

    def numbers() -> Iterator[int]:
        nonlocal held, most
        for number in range(100):
            with lock:
                held += 1
                most = max(most, held)
            yield number

    def double(number: int) -> int:
        nonlocal held
        with lock:
            held -= 1
        return 2 * number

    assert at_once(double, numbers(), 5) == [2 * n for n in range(100)]
    assert most <= 5


def test_an_exception_of_the_items_is_raised_and_ends_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        at_once(lambda n: n, broken(), 3)


def test_keys_of_the_tests_are_those_of_the_documentation_not_of_anybody() -> None:
    assert "EXAMPLE" in ACCESS_KEY
    assert "EXAMPLE" in SECRET_KEY
