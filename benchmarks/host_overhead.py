"""What the host does per picture, stock ZImagePipeline against the static-shape path, on the CPU.

    OMP_NUM_THREADS=1 python benchmarks/host_overhead.py

A GPU waits whenever its host is slower than it is, so that the host's share decides how small a picture may be before
the card idles. It is measured with a 2 MB checkpoint of the real architecture, whose arithmetic is next to nothing:
CPU-ms (user + system of this process, one thread) from prompts to 8-bit pixels, in alternating turns, medians. Beside
it the number of tensor operations per picture: on a GPU each is a launch or more, unless compiled or in a graph.
What little arithmetic there is counts for both sides; nothing here is compiled.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zimage_core.engines.diffusers.quiet import quiet_imports

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
with quiet_imports():
    from diffusers import ZImagePipeline
    from tiny_checkpoint import make_components

    from zimage_core.engines.diffusers.fast.decoder import Decoder
    from zimage_core.engines.diffusers.fast.sampler import FastSampler
    from zimage_core.engines.diffusers.fast.schedule import noise_of, shift_of
    from zimage_core.engines.diffusers.fast.text import encode
    from zimage_core.engines.diffusers.fast.transfer import FrameQueue

STEPS = 8
SIDE_PX = 64
MAX_TOKENS = 512
PROMPTS = (
    "a red mug on a wooden table",
    "a black leather bag on marble",
    "a green glass bottle in studio light",
    "a blue ceramic mug in a kitchen",
)
Part = Callable[[Sequence[str], Sequence[int]], object]


class Operations(TorchDispatchMode):
    """Counts tensor operations that would launch something on a GPU: all but views and allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        allocates = function.name().startswith(("aten::empty", "aten::detach", "aten::_unsafe_view", "aten::alias"))
        self.count += not (function.is_view or allocates)
        return function(*args, **(kwargs or {}))


def cpu_ms() -> float:
    """Return CPU-ms used so far by this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return 1000.0 * (usage.ru_utime + usage.ru_stime)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a fresh CPU generator per seed."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def paths(components: dict[str, Any], frames: FrameQueue) -> tuple[dict[str, Part], dict[str, Part]]:
    """Return the parts of both ways from prompts to pixels: text, steps (captions ready), whole."""
    pipe = ZImagePipeline(**components)
    pipe.set_progress_bar_config(disable=True)
    sampler = FastSampler(
        components["transformer"], steps=STEPS, shift=shift_of(pipe.scheduler), compiled=False, graphs=False, fp8=False
    )
    given = {"width": SIDE_PX, "height": SIDE_PX, "num_inference_steps": STEPS, "guidance_scale": 0.0}

    def stock_text(prompts: Sequence[str], _: Sequence[int]) -> Any:
        with torch.no_grad():
            return pipe.encode_prompt(list(prompts), do_classifier_free_guidance=False)[0]

    def stock_steps(prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        return pipe(prompt_embeds=captions(prompts), generator=generators(seeds), output_type="latent", **given)

    def stock_whole(prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        return pipe(list(prompts), generator=generators(seeds), **given).images

    def our_text(prompts: Sequence[str], _: Sequence[int]) -> Any:
        encoder, tokenizer = components["text_encoder"], components["tokenizer"]
        return encode(encoder, tokenizer, prompts, max_tokens=MAX_TOKENS, batch=len(prompts))

    def drawn(ready: Sequence[torch.Tensor], seeds: Sequence[int]) -> torch.Tensor:
        noise = torch.cat([noise_of(seed, SIDE_PX, SIDE_PX) for seed in seeds])
        return sampler.sample(noise, sampler.refine(ready), SIDE_PX, SIDE_PX)

    def our_steps(prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        return drawn(captions(prompts), seeds)

    def our_whole(prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        return [frame.result().rgb for frame in frames.submit(drawn(our_text(prompts, seeds), seeds))]

    known = dict(zip(PROMPTS, our_text(PROMPTS, ()), strict=True))

    def captions(prompts: Sequence[str]) -> list[torch.Tensor]:
        return [known[prompt] for prompt in prompts]

    ours = {"text": our_text, "8 steps": our_steps, "prompt to pixels": our_whole}
    theirs = {"text": stock_text, "8 steps": stock_steps, "prompt to pixels": stock_whole}
    return ours, theirs


def main() -> None:
    """Print one line per part and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    components = make_components()
    print(f"{SIDE_PX} x {SIDE_PX} px, {STEPS} steps, per picture; medians of {arguments.rounds} alternating turns")
    print(f"{'':<28}{'CPU-ms':^26}{'tensor operations':^26}")
    print(f"{'part':<20}{'batch':>6}{'stock':>10}{'ours':>8}{'ratio':>8}{'stock':>12}{'ours':>8}{'ratio':>8}")
    with FrameQueue(Decoder(components["vae"])) as frames:
        ours, theirs = paths(components, frames)
        for batch in (1, 4):
            prompts, seeds = PROMPTS[:batch], range(batch)
            for name in ours:
                spent: dict[str, list[float]] = {"stock": [], "ours": []}
                counted = {}
                for side, part in (("stock", theirs[name]), ("ours", ours[name])):
                    part(prompts, seeds)  # tables, imports, caches
                    with Operations() as operations:
                        part(prompts, seeds)
                    counted[side] = operations.count / batch
                for _ in range(arguments.rounds):
                    for side, part in (("stock", theirs[name]), ("ours", ours[name])):
                        before = cpu_ms()
                        part(prompts, seeds)
                        spent[side].append((cpu_ms() - before) / batch)
                stock_ms, our_ms = (statistics.median(spent[side]) for side in ("stock", "ours"))
                print(
                    f"{name:<20}{batch:>6}{stock_ms:>10.1f}{our_ms:>8.1f}{stock_ms / our_ms:>7.1f}x"
                    f"{counted['stock']:>12.0f}{counted['ours']:>8.0f}{counted['stock'] / counted['ours']:>7.1f}x"
                )


if __name__ == "__main__":
    main()
