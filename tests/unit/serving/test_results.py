"""Pictures on disk: whole or not at all, for a time, up to a size, found again after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from standing_clock import StandingClock

from zimage_core.engines.exchange import RenderedForm
from zimage_core.errors import StorageError
from zimage_core.serving.results import Results
from zimage_core.serving.work import Picture

PNG = b"\x89PNG\n, with a line end in it\n" + bytes(1000)
ABOUT = RenderedForm(attempt_id="a", placement=None, seconds=1.5, cost_usd=0.25, notes=("夜",), fingerprint="f")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def shelf(folder: Path, clock: StandingClock, *, max_bytes: int = 2**20) -> Results:
    return Results(folder, ttl_s=100.0, max_bytes=max_bytes, now=clock, elapsed_s=lambda: clock.now.timestamp())


def test_a_picture_comes_back_as_it_was_put(tmp_path: Path, clock: StandingClock) -> None:
    results = shelf(tmp_path, clock)
    assert results.get("aa11") is None
    results.put("aa11", Picture(PNG, ABOUT))
    for found in (results.get("aa11"), shelf(tmp_path, clock).get("aa11")):
        assert found is not None
        assert (found.png, found.about) == (PNG, ABOUT)


def test_what_is_too_old_is_not_given_and_goes(tmp_path: Path, clock: StandingClock) -> None:
    clock.now = clock.now.replace(year=2100)  # files are dated by the system's clock
    results = shelf(tmp_path, clock)
    results.put("aa11", Picture(PNG, ABOUT))
    clock.pass_s(99)
    assert results.has("aa11")
    clock.pass_s(1)
    assert not results.has("aa11")
    assert results.get("aa11") is None
    results.put("bb22", Picture(PNG, ABOUT))
    assert results.prune() == 1
    assert len(list(tmp_path.rglob("*.picture"))) == len(results) == 1


def test_a_clock_that_is_set_makes_no_picture_old(tmp_path: Path, clock: StandingClock) -> None:
    results = Results(tmp_path, ttl_s=100.0, max_bytes=2**20, now=clock, elapsed_s=lambda: 7.0)
    results.put("aa11", Picture(PNG, ABOUT))
    clock.pass_s(86_400 * 365)
    assert results.prune() == 0
    assert results.get("aa11") is not None


def test_the_least_recently_read_goes_when_there_is_no_room(tmp_path: Path, clock: StandingClock) -> None:
    results = shelf(tmp_path, clock, max_bytes=4000)
    for key in ("aa", "bb", "cc"):
        results.put(key, Picture(PNG, ABOUT))
    assert results.get("aa") is not None
    results.put("dd", Picture(PNG, ABOUT))
    assert [results.has(key) for key in ("aa", "bb", "cc", "dd")] == [True, False, True, True]
    assert results.size_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.picture")) <= 4000
    assert len(shelf(tmp_path, clock, max_bytes=2000)) == 1, "a smaller limit holds from the next start on"


def test_the_same_picture_again_takes_no_more_room(tmp_path: Path, clock: StandingClock) -> None:
    results = shelf(tmp_path, clock)
    for _ in range(3):
        results.put("aa", Picture(PNG, ABOUT))
    assert results.size_bytes == next(tmp_path.rglob("*.picture")).stat().st_size


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: b"{}\n" + data,
                                   lambda data: data.replace(b"PNG", b"GIF")])  # fmt: skip
def test_a_damaged_file_is_a_picture_we_do_not_have(tmp_path: Path, clock: StandingClock, spoil) -> None:
    results = shelf(tmp_path, clock)
    results.put("aa", Picture(PNG, ABOUT))
    (path,) = tmp_path.rglob("*.picture")
    path.write_bytes(spoil(path.read_bytes()))
    assert results.get("aa") is None
    assert not results.has("aa")
    assert not path.exists()
    assert results.size_bytes == 0


def test_what_a_killed_process_did_not_finish_is_removed(tmp_path: Path, clock: StandingClock) -> None:
    shelf(tmp_path, clock).put("aa11", Picture(PNG, ABOUT))
    left = tmp_path / "aa" / "aa12.0123456789abcdef.unfinished"
    left.write_bytes(PNG[:10])
    assert len(shelf(tmp_path, clock)) == 1
    assert not left.exists()


def test_a_disk_that_refuses_is_said_until_it_gives_way(tmp_path: Path, clock: StandingClock) -> None:
    results = shelf(tmp_path, clock)
    (tmp_path / "aa").write_text("a file where a folder is needed")
    with pytest.raises(StorageError, match=str(tmp_path)):
        results.put("aa11", Picture(PNG, ABOUT))
    assert not results.has("aa11")
    assert str(tmp_path) in results.trouble
    results.probe()
    assert results.trouble == "", "the folder itself can be written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aa"]


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, clock: StandingClock) -> None:
    (tmp_path / "results").write_text("a file where a folder is needed")
    with pytest.raises(StorageError, match="results"):
        shelf(tmp_path / "results", clock)
