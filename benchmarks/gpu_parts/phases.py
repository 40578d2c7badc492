"""The parts timed one by one: the card's own limits, the stock pipeline, our steps, decoding and text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from gpu_parts.flops import decode_flops, forward_flops
from gpu_parts.inputs import Inputs, distance, make_sampler
from gpu_parts.measure import Bench
from gpu_parts.models import Model, prompts
from torch.nn import functional

from zimage_core.engines.diffusers.fast import attention, text
from zimage_core.engines.diffusers.fast.batching import batch_size
from zimage_core.engines.diffusers.fast.decoder import Decoder
from zimage_core.engines.diffusers.fast.fp8 import in_8_bits
from zimage_core.engines.diffusers.fast.sampler import FastSampler

Size = tuple[int, int]
E2E_RESERVE_S = 130
"""What the end-to-end phase and what follows it need: single steps are left out before they are."""


def batches_of(bench: Bench, size: Size) -> list[int]:
    """Return the batch sizes timed at a size: alone, and what the planner would draw together."""
    planned = batch_size(*size, device=bench.device.type)
    return [1, min(planned, 2) if bench.device.type == "cpu" else planned] if planned > 1 else [1]


def name_of(size: Size, batch: int) -> str:
    """Return how a row names a size and a batch."""
    return f"{size[0]}x{size[1]} b{batch}"


# ---------------------------------------------------------------- the card


def peak(bench: Bench, model: Model) -> None:
    """Measure what the card can do: a large product (all shares refer to it), attention, copying."""
    side = 8192 if bench.is_cuda else 512
    left, right = (torch.randn(side, side, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    seconds = bench.seconds(lambda: functional.linear(left, right), groups=7, inner=10)
    bench.peak_tflops = 2 * side**3 / seconds / 1e12
    bench.facts["peak_bf16_tflops"] = round(bench.peak_tflops, 2)
    bench.add("peak", f"bf16 product {side}^3: the peak", seconds, flops=2 * side**3)
    if bench.is_cuda:
        codes, scale = in_8_bits(right)
        rows = left.to(torch.float8_e4m3fn)
        ones = torch.ones(side, 1, device=bench.device)

        def eight_bits() -> torch.Tensor:
            return torch._scaled_mm(
                rows, codes.t(), scale_a=ones, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True
            )

        bench.add("peak", f"8-bit product {side}^3, row-wise", bench.seconds(eight_bits, inner=10), flops=2 * side**3)
    heads, width = model.transformer.n_heads, model.transformer.dim // model.transformer.n_heads
    tokens = 4224 if bench.is_cuda else 128
    queries, keys, values = (
        torch.randn(1, heads, tokens, width, device=bench.device, dtype=torch.bfloat16) for _ in range(3)
    )
    for name, kernel in attention.KERNELS.items():
        try:
            seconds = bench.seconds(lambda kernel=kernel: kernel(queries, keys, values), groups=7, inner=10)
        except RuntimeError as error:
            print(f"-- attention {name}: {str(error).partition(chr(10))[0]}")
            continue
        bench.add("peak", f"attention {name}, {tokens} tokens", seconds, flops=4 * tokens**2 * heads * width)
    source = torch.empty(1 << (31 if bench.is_cuda else 24), dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    seconds = bench.seconds(lambda: target.copy_(source), inner=3)
    bench.add("peak", "device copy", seconds, note=f"{2 * source.numel() / seconds / 1e12:.2f} TB/s")


# ---------------------------------------------------------------- stock and ours


def stock(bench: Bench, model: Model, steps: int, size: Size) -> dict[int, torch.Tensor]:
    """Time the stock pipeline alone and batched; return its latents by batch."""
    latents = {}
    pipe = model.pipeline()
    for batch in batches_of(bench, size):
        inputs = Inputs(model, steps, batch, *size)
        latents[batch] = inputs.stock(pipe)
        seconds = bench.seconds(lambda inputs=inputs: inputs.stock(pipe), groups=3, warm_ups=0)
        flops = batch * steps * forward_flops(model.transformer, *size, inputs.bucket)
        bench.add("stock", f"{name_of(size, batch)} latents", seconds, batch, flops=flops, forwards=steps)
    return latents


def stock_compiled(bench: Bench, model: Model, steps: int, size: Size) -> None:
    """Time the stock pipeline with compile_repeated_blocks, as diffusers advises; it stays so: do this last."""
    inputs, pipe = Inputs(model, steps, 1, *size), model.pipeline()
    model.transformer.compile_repeated_blocks(fullgraph=True)
    first = bench.seconds(lambda: inputs.stock(pipe), groups=1, warm_ups=0)
    seconds = bench.seconds(lambda: inputs.stock(pipe), groups=3, warm_ups=1)
    flops = steps * forward_flops(model.transformer, *size, inputs.bucket)
    what = f"{name_of(size, 1)} latents, compile_repeated_blocks"
    bench.add("stock", what, seconds, flops=flops, forwards=steps, note=f"first call {first:.0f} s")


def _steps(bench: Bench, *, is_first: bool, compiles: bool) -> Iterator[tuple[str, dict[str, object]]]:
    """Give our steps one after another, each with all before it; beyond the first size only the ends."""
    if is_first or not compiles:
        yield "eager", {"kernel": "default"}
    if is_first and compiles:
        yield "+ compiled", {"compiled": True, "kernel": "default"}
        if bench.is_cuda:
            yield "+ fastest attention", {"compiled": True}
    if bench.is_cuda:
        yield "+ graph", {"compiled": True, "graphs": True}
        yield "+ 8-bit products", {"compiled": True, "graphs": True, "fp8": True}
    else:
        yield "+ 8-bit products (emulated)", {"fp8": True}


def ours(
    bench: Bench, model: Model, steps: int, size: Size, references: dict[int, torch.Tensor], *, is_first: bool,
    compiles: bool,
) -> None:  # fmt: skip
    """Time our steps at a size, each against the latents that stock drew of the same inputs."""
    for name, settings in _steps(bench, is_first=is_first, compiles=compiles):
        if bench.is_cuda and bench.left_s() < E2E_RESERVE_S + 45:
            print(f"-- {size}: '{name}' is left out, {bench.left_s():.0f} s of the budget are left")
            break
        sampler = make_sampler(model, steps, **settings)  # type: ignore[arg-type]
        every = batches_of(bench, size) if name in ("eager", "+ graph") or "8-bit" in name else [1]
        for batch in every:
            _time_ours(bench, model, sampler, Inputs(model, steps, batch, *size), name, references.get(batch))
        del sampler
        if bench.is_cuda:
            torch.cuda.empty_cache()


def _time_ours(
    bench: Bench, model: Model, sampler: FastSampler, inputs: Inputs, name: str, reference: torch.Tensor | None
) -> None:
    refined = sampler.refine(inputs.captions)
    first = bench.seconds(lambda: inputs.ours(sampler, refined), groups=1, warm_ups=0)
    seconds = bench.seconds(lambda: inputs.ours(sampler, refined), groups=5, warm_ups=1)
    note = f"first call {first:.1f} s"
    if reference is not None:
        note += f", {distance(inputs.ours(sampler, refined), reference):.4f} from stock"
    if bench.is_cuda:
        note += f", attention {sampler.fingerprint['attention']}"
    size = (inputs.width_px, inputs.height_px)
    flops = inputs.batch * inputs.steps * forward_flops(model.transformer, *size, inputs.bucket)
    what = f"{name_of(size, inputs.batch)} {name}"
    bench.add("ours", what, seconds, inputs.batch, flops=flops, forwards=inputs.steps, note=note)


# ---------------------------------------------------------------- the ends


def decoding(bench: Bench, model: Model, size: Size, *, compiles: bool) -> None:
    """Time decoding to 8-bit pixels on the device: as it lies, channels_last, compiled."""
    ways: list[tuple[str, Callable[[], Decoder]]] = [
        ("as it lies", lambda: Decoder(model.vae, channels_last=False)),
        ("channels_last", lambda: Decoder(model.vae)),
    ]
    if compiles:
        ways.append(("channels_last, compiled", lambda: Decoder(model.vae, compiled=True)))
    for name, make in ways:
        decoder = make()
        for batch in batches_of(bench, size) if "compiled" not in name else [1]:
            latents = torch.randn(batch, 16, size[1] // 8, size[0] // 8, device=bench.device)
            seconds = bench.seconds(lambda d=decoder, z=latents: d.decode(z), groups=5)
            flops = batch * decode_flops(model.vae, *size)
            bench.add("decode", f"{name_of(size, batch)} {name}", seconds, batch, flops=flops)


def encoding(bench: Bench, model: Model) -> None:
    """Time prompts to captions: the pipeline one by one, and ours trimmed in batches; both from text."""
    model.add_text_encoder()
    pipe = model.pipeline()

    def theirs() -> list[torch.Tensor]:
        with torch.no_grad():
            return pipe.encode_prompt(prompts(model, 1), do_classifier_free_guidance=False)[0]

    tokens = text.count_tokens(model.tokenizer, prompts(model, 1)[0])
    reference = theirs()[0]
    (caption,) = text.encode(model.text_encoder, model.tokenizer, prompts(model, 1), max_tokens=512, batch=1)
    apart = distance(caption, reference)
    bench.add("text", f"stock, 1 prompt of {tokens} tokens in 512", bench.seconds(theirs, groups=3))
    for batch in (1, 32) if bench.is_cuda else (1, 4):
        given = prompts(model, batch)
        seconds = bench.seconds(
            lambda given=given: text.encode(
                model.text_encoder, model.tokenizer, given, max_tokens=512, batch=len(given)
            ),
            groups=3,
        )
        note = f"{apart:.4f} from stock"
        bench.add("text", f"ours, trimmed, {batch} prompt{'s' * (batch > 1)} at once", seconds, batch, note=note)
