"""Which parts of the model are on the device now, and which wait in host memory: the profiles put into practice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zimage_core.engines.diffusers.options import ProfileName


class HostCopy:
    """A module whose weights stay in host memory (pinned for a GPU) and are copied to the device only when needed.

    Weights do not change, so going out costs nothing: the module gets the host's tensors back. Tied weights stay tied.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        self._device = device
        self._host: dict[int, torch.Tensor] = {}
        self._slots: list[tuple[dict[str, Any], str, int]] = []
        for owner in module.modules():
            for slots in (owner._parameters, owner._buffers):
                for name, tensor in slots.items():
                    if tensor is None:
                        continue
                    if id(tensor) not in self._host:
                        host = tensor.data.cpu()
                        self._host[id(tensor)] = host.pin_memory() if device.type == "cuda" else host
                        tensor.data = self._host[id(tensor)]  # the copy that is not pinned is freed
                    self._slots.append((slots, name, id(tensor)))
        self._originals = [slots[name] for slots, name, _ in self._slots]  # so that no id is given twice
        self.is_in = False
        self._put(self._host)

    def move_in(self) -> None:
        """Copy the weights to the device."""
        if not self.is_in:
            self._put({key: host.to(self._device, non_blocking=True) for key, host in self._host.items()})
            self.is_in = True

    def move_out(self) -> None:
        """Free the device's copy."""
        self._put(self._host)
        self.is_in = False
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _put(self, tensors: dict[int, torch.Tensor]) -> None:
        made: dict[int, Any] = {}
        for (slots, name, key), original in zip(self._slots, self._originals, strict=True):
            if key not in made:
                is_weight = isinstance(original, torch.nn.Parameter)
                made[key] = torch.nn.Parameter(tensors[key], requires_grad=False) if is_weight else tensors[key]
            slots[name] = made[key]


class Residency:
    """Moves parts between host and device as a profile asks.

    fast: everything is on the device. balanced, quantized: the text encoder comes in while prompts are encoded.
    small: the parts that draw leave meanwhile. `parts` has text_encoder, transformer, vae and controlnet (or None).
    """

    def __init__(self, parts: Any, profile: ProfileName, device: torch.device) -> None:
        self._parts, self._device, self._profile = parts, device, profile
        self._offloaded = False
        drawing = [part for part in (parts.transformer, parts.vae, parts.controlnet) if part is not None]
        if profile == "fast":
            for part in (parts.text_encoder, *drawing):
                part.to(device)
        else:
            self._text = HostCopy(parts.text_encoder, device)
        self._drawing: list[HostCopy] = []
        if profile == "small":
            self._drawing = [HostCopy(part, device) for part in drawing]
        elif profile != "fast":
            for part in drawing:
                part.to(device)

    @contextmanager
    def for_text(self) -> Iterator[torch.nn.Module]:
        """Have the text encoder on the device for as long as the body runs; yield it."""
        if self._profile == "fast":
            yield self._parts.text_encoder
            return
        for part in self._drawing:
            part.move_out()
        self._text.move_in()
        try:
            yield self._parts.text_encoder
        finally:
            self._text.move_out()

    def ready_to_draw(self) -> None:
        """Have the parts that draw on the device; call it before every batch."""
        for part in self._drawing:
            part.move_in()

    def offload(self) -> None:
        """Stream the transformer's weights through the device layer by layer from now on: slow, and it fits anywhere.

        Raises RuntimeError on a machine without an accelerator, as diffusers does.
        """
        if self._offloaded:
            return
        if self._profile == "fast":
            self._text = HostCopy(self._parts.text_encoder.to("cpu"), self._device)
            self._profile = "balanced"
        for part in self._drawing:
            part.move_out()
        self._drawing = [HostCopy(self._parts.vae, self._device)] if self._drawing else []
        streamed = [part for part in (self._parts.transformer, self._parts.controlnet) if part is not None]
        for part in streamed:
            part.enable_group_offload(
                onload_device=self._device,
                offload_device=torch.device("cpu"),
                offload_type="leaf_level",
                use_stream=self._device.type == "cuda",
            )
        self._offloaded = True
