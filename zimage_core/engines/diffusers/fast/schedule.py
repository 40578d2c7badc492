"""The noise levels of the steps and the noise of a seed, both exactly as the stock pipeline has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.z_image.pipeline_z_image import get_default_z_image_sigmas

from zimage_core.errors import ConfigurationError

LATENT_CHANNELS: Final = 16
LATENT_PX: Final = 8
"""One latent is 8 x 8 pixels."""

_OTHER_GRIDS: Final = (
    "use_dynamic_shifting",
    "stochastic_sampling",
    "invert_sigmas",
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
)
"""Settings of the scheduler that make its steps depend on more than their number and one shift."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`sigmas`: steps + 1 noise levels from 1 to 0; `changes`: by how much sigma changes in each step (the float32
    differences that the scheduler takes); `times`: what the model is told in each step, 0 at full noise."""

    sigmas: tuple[float, ...]
    changes: tuple[float, ...]
    times: tuple[float, ...]

    @property
    def steps(self) -> int:
        """How often the model is evaluated."""
        return len(self.times)


def shift_of(scheduler: Any) -> float:
    """Return the static shift of a pipeline's scheduler.

    Raises ConfigurationError for a scheduler whose grid or step is another: only the stock pipeline can follow it.
    """
    if type(scheduler) is not FlowMatchEulerDiscreteScheduler:
        raise ConfigurationError(
            f"The model's scheduler is {type(scheduler).__name__} and the fast path knows only "
            "FlowMatchEulerDiscreteScheduler; use path=stock."
        )
    strange = [name for name in _OTHER_GRIDS if scheduler.config.get(name)]
    if strange:
        raise ConfigurationError(
            f"The model's scheduler_config.json sets {', '.join(strange)} and the fast path knows only a static "
            "shift; use path=stock."
        )
    return float(scheduler.shift)


def schedule_of(steps: int, shift: float) -> Schedule:
    """Return the schedule that the stock pipeline makes with so many steps: its sigmas through its own scheduler."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=False)
    scheduler.set_timesteps(sigmas=get_default_z_image_sigmas(steps), device="cpu")
    sigmas, times = scheduler.sigmas, (1000 - scheduler.timesteps) / 1000
    return Schedule(tuple(sigmas.tolist()), tuple((sigmas[1:] - sigmas[:-1]).tolist()), tuple(times.tolist()))


def noise_of(seed: int, width_px: int, height_px: int) -> torch.Tensor:
    """Return the noise of a seed, (1, 16, height_px / 8, width_px / 8) float32 on the CPU.

    A fresh generator for each picture: the same on every device, and alone as in any batch.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (1, LATENT_CHANNELS, height_px // LATENT_PX, width_px // LATENT_PX)
    return torch.randn(shape, generator=generator, dtype=torch.float32)
