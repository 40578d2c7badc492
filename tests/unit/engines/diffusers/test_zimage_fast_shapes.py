"""Batches by tokens, graphs by shape, kernels by timing: the decisions around the sampler."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.engines.diffusers.fast import attention
from zimage_core.engines.diffusers.fast.batching import Piece, batch_size, bucket_of, image_tokens, plan_batches
from zimage_core.engines.diffusers.fast.fp8 import as_it_is, in_8_bits, product
from zimage_core.engines.diffusers.fast.graphs import KEPT_GRAPHS, Graphs
from zimage_core.engines.diffusers.fast.layout import to_latents, to_tokens
from zimage_core.engines.diffusers.fast.recent import Recent

# ---------------------------------------------------------------- batches


@pytest.mark.parametrize(("tokens", "bucket"), [(1, 32), (32, 32), (33, 64), (100, 128), (512, 512)])
def test_captions_are_bucketed_by_32s(tokens: int, bucket: int):
    assert bucket_of(tokens) == bucket


def test_a_pictures_tokens_include_its_padding():
    assert image_tokens(1024, 1024) == 4096
    assert image_tokens(272, 304) == 352  # 323 padded


@pytest.mark.parametrize(
    ("width_px", "height_px", "expected"),
    [(512, 512, 8), (768, 768, 4), (1024, 1024, 2), (1024, 1536, 1), (2048, 2048, 1), (256, 256, 8)],
)
def test_a_gpu_batch_fills_the_card_and_no_more(width_px: int, height_px: int, expected: int):
    assert batch_size(width_px, height_px) == expected


def test_a_cpu_batch_is_small():
    assert batch_size(64, 64, device="cpu") == 4
    assert batch_size(1024, 1024, device="cpu") == 1


PIECES = st.builds(
    Piece,
    width_px=st.sampled_from([512, 768, 1024]),
    height_px=st.sampled_from([512, 1024]),
    tokens=st.integers(1, 200),
)


@given(st.lists(PIECES, max_size=40), st.none() | st.integers(1, 3))
def test_every_piece_is_drawn_once_among_its_like_and_the_longest_first(pieces: list[Piece], limit: int | None):
    batches = plan_batches(pieces, limit=limit)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(pieces)))
    costs = []
    for batch in batches:
        for index in batch.indices:
            piece = pieces[index]
            assert (piece.width_px, piece.height_px) == (batch.width_px, batch.height_px)
            assert bucket_of(piece.tokens) == batch.bucket
        full = batch_size(batch.width_px, batch.height_px, bucket=batch.bucket)
        assert len(batch.indices) in (1, min(full, limit or full, len(pieces)))
        costs.append(image_tokens(batch.width_px, batch.height_px) + batch.bucket)
    assert costs == sorted(costs, reverse=True)


def test_the_tail_of_a_group_is_drawn_one_by_one():
    batches = plan_batches([Piece(512, 512, 20)] * 10)
    assert [len(batch.indices) for batch in batches] == [8, 1, 1]


def test_a_cpu_compiles_nothing_and_draws_a_tail_at_once():
    batches = plan_batches([Piece(64, 64, 20)] * 6, device="cpu")
    assert [len(batch.indices) for batch in batches] == [4, 2]


# ---------------------------------------------------------------- tokens


def test_latents_survive_the_way_to_tokens_and_back():
    latents = torch.arange(2 * 16 * 6 * 10, dtype=torch.float32).view(2, 16, 6, 10)
    tokens = to_tokens(latents)
    assert tokens.shape == (2, 15, 64)
    # a token holds its 2 x 2 patch row by row, the channels innermost
    assert torch.equal(tokens[0, 6, :16], latents[0, :, 2, 2])
    assert torch.equal(tokens[0, 6, 16:32], latents[0, :, 2, 3])
    assert torch.equal(tokens[0, 6, 32:48], latents[0, :, 3, 2])
    assert torch.equal(to_latents(tokens, 6, 10), latents)


# ---------------------------------------------------------------- 8 bits


def test_an_8_bit_product_is_the_product_within_its_rounding():
    generator = torch.Generator().manual_seed(0)
    values, weight = torch.randn(3, 5, 64, generator=generator), torch.randn(32, 64, generator=generator)
    weight[3] *= 100  # its own scale: the other rows keep their precision
    exact = product(values, as_it_is(weight))
    rough = product(values, in_8_bits(weight))
    assert rough.shape == exact.shape
    per_output = (rough - exact).flatten(0, 1).norm(dim=0) / exact.flatten(0, 1).norm(dim=0)
    assert per_output.max() < 0.08
    assert (rough - exact).abs().max() > 0


def test_rows_of_zeros_and_sides_that_do_not_fit_are_no_trouble():
    weight = torch.zeros(32, 64)
    assert torch.equal(product(torch.zeros(2, 64), in_8_bits(weight)), torch.zeros(2, 32))
    odd = torch.randn(30, 64)
    assert in_8_bits(odd)[0] is odd


# ---------------------------------------------------------------- what was made lately


def test_the_least_recently_used_goes_first():
    made: list[str] = []
    kept: Recent[str] = Recent(2)

    def get(key: str) -> str:
        return kept.get(key, lambda: made.append(key) or key)

    for key in ("a", "b", "a", "c", "a", "b"):
        assert get(key) == key
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == 2


# ---------------------------------------------------------------- graphs


class Captured:
    """Stands for a CUDA graph where there is no GPU: copies inputs into its own and runs over those."""

    made = 0

    def __init__(self, run: Any, inputs: Any, *_: Any) -> None:
        type(self).made += 1
        self.run, self.inputs = run, [tensor.clone() for tensor in inputs]

    def replay(self, inputs: Any) -> torch.Tensor:
        for own, new in zip(self.inputs, inputs, strict=True):
            own.copy_(new)
        return self.run(*self.inputs)


def test_a_shape_is_captured_once_and_replayed_for_new_values():
    class Counted(Captured):
        pass

    graphs = Graphs(Counted)
    for value in (1.0, 2.0, 3.0):
        assert graphs.run("shape", lambda x: x + 1, [torch.tensor(value)]) == value + 1
    assert Counted.made == 1
    for shape in range(KEPT_GRAPHS):
        graphs.run(shape, lambda x: x, [torch.tensor(0.0)])
    graphs.run("shape", lambda x: x, [torch.tensor(0.0)])  # had gone
    assert Counted.made == KEPT_GRAPHS + 2


def test_a_shape_that_cannot_be_captured_runs_as_it_is_and_is_logged_once(caplog: pytest.LogCaptureFixture):
    tries = []

    def fails(*_: object) -> None:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphs = Graphs(fails)
    with caplog.at_level(logging.WARNING):
        for value in (1.0, 2.0):
            assert graphs.run((512, 512), lambda x: x + 1, [torch.tensor(value)]) == value + 1
    assert len(tries) == 1
    assert len(caplog.records) == 1
    assert "operation not permitted when stream is capturing)" in caplog.text


def test_running_out_of_memory_while_warming_up_is_the_callers_to_handle():
    def hungry(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    graphs = Graphs(Captured)
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run("shape", hungry, [torch.tensor(1.0)])
    assert graphs.run("shape", lambda x: x, [torch.tensor(1.0)]) == 1.0  # not remembered against the shape


# ---------------------------------------------------------------- attention


def heads() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 2, 32, 16, generator=generator) for _ in range(3)]


def test_on_a_cpu_there_is_nothing_to_choose():
    assert attention.probe(1, 2, 64, 16, torch.bfloat16, torch.device("cpu")) == "default"


def test_a_kernel_that_does_not_run_here_is_left_out(caplog: pytest.LogCaptureFixture):
    def absent(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("No available kernel. Aborting execution.")

    with caplog.at_level(logging.INFO):
        assert attention.time_kernel("absent", absent, heads(), lambda _call: 1.0) is None
    assert "No available kernel" in caplog.text


@pytest.mark.parametrize("spoil", [lambda x: x * 1.1, lambda x: x * float("nan")])
def test_a_kernel_with_another_result_is_left_out_however_fast(spoil: Any, caplog: pytest.LogCaptureFixture):
    def wrong(*inputs: torch.Tensor) -> torch.Tensor:
        return spoil(attention.by_default(*inputs))

    assert attention.time_kernel("wrong", wrong, heads(), lambda _call: 1.0) is None
    assert "is not used" in caplog.text


def test_too_little_memory_is_not_mistaken_for_a_missing_kernel():
    def hungry(*_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        attention.time_kernel("hungry", hungry, heads(), lambda _call: 1.0)


def test_a_kernel_that_runs_and_agrees_is_timed():
    assert attention.time_kernel("flash", attention.by_flash, heads(), lambda call: (call(), 0.5)[1]) == 0.5
