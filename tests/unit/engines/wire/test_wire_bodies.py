"""Bodies that nobody asked to be compressed: read where they are honest, never unpacked beyond what is taken."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from small_servers import Answer, in_turn, serving

from zimage_core.engines.wire.client import Limits, Wire
from zimage_core.errors import EngineUnavailable

LIMIT_BYTES = 1_000_000
WORDS = b"a picture of a red mug " * 1000


def coded(body: bytes, coding: str) -> Answer:
    return Answer(200, body, {"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(WORDS), "gzip"),
        (gzip.compress(WORDS), "X-GZip"),
        (zlib.compress(WORDS), "deflate"),
        (WORDS, "identity"),
    ],
    ids=["gzip", "its old name", "deflate", "as it is"],
)
def test_a_compressed_body_is_read(body: bytes, coding: str) -> None:
    with serving(in_turn(coded(body, coding))) as server:
        wire = Wire("e", Limits(max_bytes=len(WORDS)))
        assert wire.call("GET", server.url).body == WORDS
        wire.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_unpacks_to_more_than_is_taken_is_unpacked_no_further(coding: str) -> None:
    zeros = bytes(200 * LIMIT_BYTES)
    bomb = gzip.compress(zeros, 9) if coding == "gzip" else zlib.compress(zeros, 9)
    del zeros
    assert len(bomb) < LIMIT_BYTES / 2
    with serving(in_turn(coded(bomb, coding))) as server:
        wire = Wire("e", Limits(max_bytes=LIMIT_BYTES))
        tracemalloc.start()
        with pytest.raises(EngineUnavailable, match="more than the 1,000,000 bytes"):
            wire.call("GET", server.url)
        _, most_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        wire.close()
    assert most_bytes < 10 * LIMIT_BYTES


@pytest.mark.parametrize(
    ("body", "coding", "said"),
    [
        (gzip.compress(WORDS)[:-20], "gzip", "cut short"),
        (b"no gzip at all", "gzip", "damaged"),
        (WORDS, "br", "coded as 'br'"),
        (gzip.compress(gzip.compress(WORDS)), "gzip, gzip", "coded as 'gzip, gzip'"),
    ],
    ids=["cut short", "damaged", "brotli", "twice"],
)
def test_what_cannot_be_unpacked_is_named_and_may_be_asked_for_again(body: bytes, coding: str, said: str) -> None:
    with serving(in_turn(coded(body, coding))) as server:
        wire = Wire("e")
        with pytest.raises(EngineUnavailable, match=said):
            wire.call("GET", server.url)
        wire.close()
