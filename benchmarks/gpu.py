"""Z-Image-Turbo on a GPU: the stock pipeline, each of our steps, and prompts to files; full size, random weights.

    python benchmarks/gpu.py --out out/gpu.json             # on an H100 or H200: under 10 minutes, no download
    python benchmarks/gpu.py                                # without a GPU: the tiny model, about a minute

Before anything is timed, our latents are compared with the stock pipeline's in float32; if they are further off than
allowed (1e-3 in float32, 1.25 times the stock pipeline's own error in bf16) the benchmark fails. Phases in this order,
each left out when its time is not there, a table last:

    peak      what this card can do: large products (all shares refer to bf16), attention kernels, copying
    stock     diffusers' ZImagePipeline: alone and batched
    ours      eager, + compiled blocks, + fastest attention, + CUDA graph, + 8-bit products: each with all before it
    e2e       prompts to files, everything included: a plain script (stock, one by one, PNG in series), and ours with
              text ahead, transfer beside the steps, JPEG and PNG by threads
    decode    as it lies, channels_last, compiled
    text      512-padded one by one against trimmed batches
    compiled  the stock pipeline after compile_repeated_blocks (last: it changes the blocks)

Times of `stock` and `ours` are those of all steps for a batch whose captions are there; stock refines them in every
step, ours once and outside. RESULTS.md says what was measured on which card, and what is still to be shown.
"""

from __future__ import annotations

import argparse
import logging
import sys

import torch
from gpu_parts.checks import check
from gpu_parts.end_to_end import end_to_end, plain_script
from gpu_parts.inputs import make_sampler
from gpu_parts.measure import Bench
from gpu_parts.models import Model, build
from gpu_parts.phases import Size, decoding, encoding, ours, peak, stock, stock_compiled

PHASES = "peak,check,stock,ours,e2e,decode,text,compiled"
H100_RENT = 2.69
"""USD an hour, the cheapest listed rent of an H100 SXM in autumn 2026 (RunPod, community cloud)."""


def read_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="the tiny model; always on a CPU")
    parser.add_argument("--budget", type=float, default=560, help="seconds after which phases are left out")
    parser.add_argument(
        "--sizes", default="1024x1024,512x512,1024x1536", help="width x height, the first in most detail"
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--images", type=int, default=16, help="pictures in each end-to-end run")
    parser.add_argument("--rent", type=float, default=H100_RENT, help="USD per hour of this card, for the cost column")
    parser.add_argument("--phases", default=PHASES)
    parser.add_argument("--cpu-compile", action="store_true", help="compile on a CPU too; takes minutes")
    parser.add_argument("--out", default="", help="a JSON file for everything found")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        arguments.tiny = True
    if arguments.tiny:
        arguments.sizes, arguments.images, arguments.steps = "64x64,96x64", 6, min(arguments.steps, 4)
    return arguments


def end_to_ends(bench: Bench, model: Model, sizes: list[Size], steps: int, *, compiles: bool) -> None:
    """Run prompts to files at every size in bf16, and with 8-bit products on a GPU; the first size in both formats.

    A plain script's run at the first size comes first: what everything else is compared with.
    """
    plain_script(bench, model, steps, sizes[0])
    for fp8 in (False, True) if bench.is_cuda else (False,):
        sampler = make_sampler(model, steps, compiled=compiles, graphs=bench.is_cuda, fp8=fp8)
        for index, size in enumerate(sizes):
            if bench.is_cuda and bench.left_s() < 40:
                return
            formats = ("jpg", "png") if index == 0 and not fp8 else ("jpg",)
            label = "8-bit products" if fp8 else "bf16"
            end_to_end(bench, model, sampler, steps, size, label=label, suffixes=formats)


def run(bench: Bench, model: Model) -> bool:
    """Run the phases; return False when what is fast is not right."""
    arguments = bench.arguments
    sizes: list[Size] = [tuple(map(int, one.split("x"))) for one in arguments.sizes.split(",")]  # type: ignore[misc]
    steps, compiles = arguments.steps, bench.is_cuda or arguments.cpu_compile
    with bench.phase("peak", 20) as wanted:
        if wanted:
            peak(bench, model)
    if "check" in arguments.phases.split(",") and not check(bench, model, steps, compiled=compiles):
        return False
    for index, size in enumerate(sizes):
        references: dict[int, torch.Tensor] = {}
        with bench.phase("stock", 180) as wanted:
            if wanted:
                references = stock(bench, model, steps, size)
        with bench.phase("ours", 180) as wanted:
            if wanted:
                ours(bench, model, steps, size, references, is_first=index == 0, compiles=compiles)
    with bench.phase("e2e", 60) as wanted:
        if wanted:
            end_to_ends(bench, model, sizes, steps, compiles=compiles)
    with bench.phase("decode", 30) as wanted:
        if wanted:
            decoding(bench, model, sizes[0], compiles=compiles)
    with bench.phase("text", 20) as wanted:
        if wanted:
            encoding(bench, model)
    with bench.phase("compiled", 50) as wanted:
        if wanted and compiles:
            stock_compiled(bench, model, steps, sizes[0])
    return True


def main() -> None:
    """Build the model, run the phases, print the table."""
    arguments = read_arguments()
    logging.basicConfig(level=logging.WARNING, format="-- %(message)s")
    logging.getLogger("zimage_core").setLevel(logging.INFO)
    device = torch.device(arguments.device)
    bench = Bench(arguments, device)
    if bench.is_cuda:
        torch.backends.cudnn.benchmark = True
        bench.facts["card"] = torch.cuda.get_device_name(device)
    else:
        torch.set_num_threads(1)
        bench.facts["card"] = "none: the tiny model on a CPU; its figures say nothing about a GPU"
    bench.facts["torch"] = torch.__version__
    model = build(device, is_tiny=arguments.tiny)
    bench.wait()
    parameters = sum(parameter.numel() for parameter in model.transformer.parameters())
    print(
        f"{bench.facts['card']}; torch {torch.__version__}; a transformer of {parameters / 1e9:.3f} B parameters; "
        f"{bench.left_s():.0f} s left"
    )
    passed = run(bench, model)
    bench.facts["passed"] = passed
    if bench.is_cuda:
        bench.facts["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    bench.finish()
    if not passed:
        sys.exit("Our latents are further from the stock pipeline's than they may be: nothing was timed.")


if __name__ == "__main__":
    main()
