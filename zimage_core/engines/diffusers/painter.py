"""The loaded model: orders go in, frames on their way to the host come out, and memory that runs out is dealt with.

One caller at a time (the engine's device lock). The fast path is taken where it can do what is asked, the pipelines of
diffusers otherwise; both decode alike.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from zimage_core.engines.diffusers.cards import free_memory
from zimage_core.engines.diffusers.detail import add_detail
from zimage_core.engines.diffusers.failures import SAID, broken, is_out_of_memory, landed, too_large
from zimage_core.engines.diffusers.fast.decoder import Decoder
from zimage_core.engines.diffusers.fast.merging import why_not
from zimage_core.engines.diffusers.fast.repaint import repaint_inputs
from zimage_core.engines.diffusers.fast.sampler import FastSampler
from zimage_core.engines.diffusers.fast.schedule import noise_of, shift_of
from zimage_core.engines.diffusers.fast.transfer import FrameQueue
from zimage_core.engines.diffusers.frames import Frame
from zimage_core.engines.diffusers.gate import GATE_SIDE_PX, ask_gate
from zimage_core.engines.diffusers.loading import load_components
from zimage_core.engines.diffusers.memory import Profile, Rung, Thrift, after_out_of_memory
from zimage_core.engines.diffusers.orders import Order, planned, shrunk
from zimage_core.engines.diffusers.prompts import CaptionStore, Words
from zimage_core.engines.diffusers.residency import Residency
from zimage_core.engines.diffusers.setup import Setup
from zimage_core.engines.diffusers.stock import StockSampler
from zimage_core.engines.diffusers.watch import StepWatch
from zimage_core.errors import ConfigurationError, EngineError
from zimage_core.imaging.pixels import Rgb

log = logging.getLogger("zimage_core.engines")


@dataclass(frozen=True, slots=True, eq=False)
class Launched:
    """A batch whose frames are on their way, one future per order; a future may hold an EngineError instead."""

    orders: Sequence[Order]
    frames: Sequence[Future[Frame]]
    notes: tuple[str, ...]


class Painter:
    """A model held as its profile says. Raises ConfigurationError while it is made when the model cannot be used."""

    def __init__(self, setup: Setup, watch: StepWatch, profile: Profile) -> None:
        self._setup, self._watch = setup, watch
        options = dataclasses.replace(setup.options, quantization=setup.quantization)
        load_on = str(setup.device) if profile.name == "fast" else "cpu"
        parts = load_components(options, setup.files, dtype=setup.dtype, device=load_on)
        self._parts = parts
        self.residency = Residency(parts, profile.name, setup.device)
        if profile.name == "small":
            parts.vae.enable_tiling()
        self.tokenizer = copy.deepcopy(parts.tokenizer)  # counting and encoding may happen in two threads
        self.captions = CaptionStore(options, parts.tokenizer, self.residency.for_text)
        self._stock = StockSampler(parts, options, setup.device, watch)
        self._fast = self._fast_sampler(profile.name)
        on_gpu = setup.device.type == "cuda"
        self._frames = FrameQueue(
            Decoder(parts.vae, compiled=self._fast is not None and self._compiles, channels_last=on_gpu)
        )
        self._thrift = Thrift(tiling=profile.name == "small")
        self._batches = True
        log.info(
            "Loaded %s: %.1f GB in %.1f s; %s; %s.",
            setup.files.name,
            parts.loaded_bytes / 1e9,
            parts.loading_s,
            profile.reason,
            "fast path" if self._fast is not None else "the pipelines of diffusers",
        )
        for note in parts.notes:
            log.info("%s", note)
        if options.batch_limit != 1:
            found = ask_gate(self._trial, setup.precision)
            self._batches = found.safe
            log.log(logging.INFO if found.safe else logging.WARNING, "%s", found.sentence)

    # ------------------------------------------------------------ what the engine calls

    def plan(self, orders: Sequence[Order]) -> list[Sequence[Order]]:
        """Return the orders in batches that may be launched, the longest first."""
        limit = self._setup.options.batch_limit if self._batches and not self._setup.options.detail else 1
        return planned(orders, device=self._setup.device.type, limit=limit)

    def launch(self, batch: Sequence[Order]) -> Launched:
        """Draw a planned batch, or as much of its beginning as fits into memory, and return the frames to come.

        Out of memory, it gives up what costs least until something fits; one picture that does not fit at last, or
        that the device cannot draw, is given up alone. Raises EngineUnavailable when cancelled.
        """
        whole = batch
        while True:
            batch = whole[: self._thrift.limit_for(whole[0].size, len(batch))]
            try:
                return Launched(batch, self._launched(batch), self._notes(batch))
            except EngineError:
                raise
            except (RuntimeError, MemoryError) as error:
                reason, is_memory = str(error), is_out_of_memory(error)
                if not is_memory and len(batch) == 1:
                    return Launched(batch, [broken(error)], ())
            # outside the handler, whose traceback holds on to the memory that is to be freed
            if not is_memory:
                log.warning("A batch of %d could not be drawn (%s); its pictures are drawn alone.", len(batch), reason)
                batch = batch[:1]
                continue
            rung = self._give_up(batch)
            self._free()
            if rung == "give_up":
                return Launched(batch, [too_large(batch[0].size, reason)], ())

    def draw_again(self, order: Order) -> Frame:
        """Draw one picture alone by the pipelines of diffusers, for when its frame could not be believed."""
        return self._frame_of(lambda: self._stock_latents([order]))

    def release(self) -> None:
        """Let go of the model's memory."""
        self._frames.close()
        self.captions.clear()
        self._fast = None
        del self._stock, self._parts, self.residency
        self._free()

    # ------------------------------------------------------------ one batch

    def _launched(self, batch: Sequence[Order]) -> Sequence[Future[Frame]]:
        drawn = [self._as_drawn(order) for order in batch]
        if self._setup.options.detail:
            return [landed(self._with_detail(order)) for order in drawn]
        return self._frames.submit(self._latents(drawn))

    def _as_drawn(self, order: Order) -> Order:
        if order.size in self._thrift.shrunk and order.may_shrink:
            return dataclasses.replace(order, drawing=shrunk(order.drawing))
        return order

    def _latents(self, batch: Sequence[Order]) -> torch.Tensor:
        fast = self._fast
        if fast is None or (batch[0].around and self._parts.controlnet is not None):
            return self._stock_latents(batch)
        captions = [caption.positive for caption in self.captions.captions([order.words for order in batch])]
        self.residency.ready_to_draw()
        seeds = [order.request.seed for order in batch]
        width_px, height_px = batch[0].drawing.width_px, batch[0].drawing.height_px
        keep = None
        if batch[0].around:
            bases, repaints = _bases(batch)
            noise, keep = repaint_inputs(self._parts.vae, bases, repaints, seeds, dtype=captions[0].dtype)
        else:
            noise = torch.cat([noise_of(seed, width_px, height_px) for seed in seeds])
        self._watch.start(self._setup.options.steps, len(batch))
        try:
            refined = fast.refine(captions)
            return fast.sample(noise, refined, width_px, height_px, on_step=self._watch.step_done, keep=keep)
        finally:
            self._watch.finish()

    def _stock_latents(self, batch: Sequence[Order]) -> torch.Tensor:
        captions = self.captions.captions([order.words for order in batch])
        self.residency.ready_to_draw()
        seeds = [order.request.seed for order in batch]
        if batch[0].around:
            bases, repaints = _bases(batch)
            controls = None
            if self._parts.controlnet is not None:
                controls = [order.control for order in batch if order.control is not None]
            return self._stock.draw_around(captions, seeds, bases, repaints, controls)
        return self._stock.draw_whole(captions, seeds, batch[0].drawing.width_px, batch[0].drawing.height_px)

    def _with_detail(self, order: Order) -> Frame:
        small = self._frame_of(lambda: self._latents([order]))
        caption = self.captions.captions([order.words])

        def draw_over(pictures: Sequence[Rgb], seeds: Sequence[int]) -> list[Frame]:
            strength = self._setup.options.detail_strength
            return [self._frame_of(lambda: self._stock.refine(caption, seeds, pictures, strength))]

        return add_detail(small.rgb, order.request.seed, draw_over) if small.finite else small

    def _frame_of(self, draw: Callable[[], torch.Tensor]) -> Frame:
        return self._frames.submit(draw())[0].result()

    def _notes(self, batch: Sequence[Order]) -> tuple[str, ...]:
        """Return what a reader of the attempts should know of how they were drawn: what was given up for memory."""
        notes, first = list[str](), batch[0]
        if self._parts.vae.use_tiling:
            notes.append("Decoded in tiles, to save memory.")
        if first.size in self._thrift.shrunk and first.may_shrink:
            notes.append(f"Memory ran short: drawn at {shrunk(first.drawing).width_px} px and enlarged.")
        return tuple(notes)

    # ------------------------------------------------------------ making, and making do

    @property
    def _compiles(self) -> bool:
        wanted = self._setup.options.compile
        return wanted == "on" or (wanted == "auto" and self._setup.device.type == "cuda")

    def _fast_sampler(self, profile: str) -> FastSampler | None:
        """Return the fast path where it is wanted and can do what is asked, else None and a logged reason."""
        options, parts = self._setup.options, self._parts
        why = None
        if options.path == "stock":
            why = "path=stock was asked for"
        elif options.guidance > 0:
            why = "guidance is drawn by the pipelines"
        elif profile not in ("fast", "balanced"):
            why = f"profile {profile} moves or quantises weights that the fast path merges"
        elif not parts.plain:
            why = "the weights are quantised or have adapters beside them"
        else:
            why = why_not(parts.transformer)
        if why is None:
            try:
                return self._sampler(compiled=self._compiles, graphs=True, fp8=self._setup.quantization == "fp8")
            except ConfigurationError as error:
                why = error.sentence
        if self._setup.quantization == "fp8" and options.path == "fast":
            raise ConfigurationError(f"quantization=fp8 on the fast path cannot be had: {why}")
        log.info("The fast path is not taken: %s.", why.removesuffix("."))
        return None

    def _sampler(self, *, compiled: bool, graphs: bool, fp8: bool) -> FastSampler:
        parts = self._parts
        shift = shift_of(parts.scheduler)
        steps = self._setup.options.steps
        return FastSampler(parts.transformer, steps=steps, shift=shift, compiled=compiled, graphs=graphs, fp8=fp8)

    def _trial(self, prompts: Sequence[str], seeds: Sequence[int]) -> Sequence[Frame]:
        """Draw squares for the batch gate, on the path that batches take.

        Nothing is compiled or captured for its two shapes: that would cost more than all the rest of loading.
        """
        captions = self.captions.captions([Words(prompt, "", 0) for prompt in prompts])
        self.residency.ready_to_draw()
        if self._fast is None:
            latents = self._stock.draw_whole(captions, seeds, GATE_SIDE_PX, GATE_SIDE_PX)
        else:
            plain = self._sampler(compiled=False, graphs=False, fp8=False)
            noise = torch.cat([noise_of(seed, GATE_SIDE_PX, GATE_SIDE_PX) for seed in seeds])
            refined = plain.refine([caption.positive for caption in captions])
            latents = plain.sample(noise, refined, GATE_SIDE_PX, GATE_SIDE_PX)
        return [future.result() for future in self._frames.submit(latents)]

    def _give_up(self, batch: Sequence[Order]) -> Rung:
        """Take the next rung down and put it into practice."""
        self._thrift, rung = after_out_of_memory(
            self._thrift,
            batch[0].size,
            len(batch),
            can_offload=self._setup.device.type == "cuda",
            can_shrink=all(order.may_shrink for order in batch),
        )
        log.warning("Out of memory with %d pictures of %d x %d px: %s.", len(batch), *batch[0].size, SAID[rung])
        if rung == "tiling":
            self._parts.vae.enable_tiling()
        if rung == "offload":
            self._fast = None
            self.residency.offload()
        return rung

    def _free(self) -> None:
        if self._fast is not None:
            self._fast.clear()
        free_memory(self._setup.device)


def _bases(batch: Sequence[Order]) -> tuple[list[Rgb], list[Any]]:
    drawings = [order.drawing for order in batch]
    return (
        [drawing.base_rgb for drawing in drawings if drawing.base_rgb is not None],
        [drawing.repaint for drawing in drawings if drawing.repaint is not None],
    )
