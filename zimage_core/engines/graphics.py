"""What the machine's graphics cards are, asked of the driver's own program, and what torch makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from zimage_core.errors import ConfigurationError

_ASKED: Final = "name,memory.total,memory.free,driver_version"
_ANSWER_S: Final = 30
"""A driver in trouble may take half a minute to say so."""


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """One card by the driver; memory in MiB."""

    name: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver: its version, the newest CUDA it can run (None where it does not say), and its cards."""

    version: str
    cuda: tuple[int, int] | None
    cards: tuple[GraphicsCard, ...]


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The installed torch: its version, the CUDA it was built for (None: for the CPU), and how many cards it sees."""

    version: str
    cuda: tuple[int, int] | None
    usable_cards: int


def read_driver() -> Driver | None:
    """Return the NVIDIA driver of this machine, None where there is none.

    Raises ConfigurationError when there is one that does not answer: not loaded, or another version than its library.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    listed = _said(program, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits")
    cards, version = [], "unknown"
    for line in listed.splitlines():
        name, total, free, version = (part.strip() for part in line.rsplit(",", 3))
        cards.append(GraphicsCard(name, _mib(total), _mib(free)))
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", _said(program))
    return Driver(version, (int(found[1]), int(found[2])) if found else None, tuple(cards))


def read_torch() -> TorchBuild:
    """Return the installed torch. Raises ConfigurationError when there is none."""
    try:
        import torch
    except ImportError as error:
        raise ConfigurationError(
            f"torch cannot be imported ({error}); install the extra gpu: pip install 'zimage[gpu]'."
        ) from error
    return TorchBuild(str(torch.__version__), version_of(torch.version.cuda), int(torch.cuda.device_count()))


def version_of(text: str | None) -> tuple[int, int] | None:
    """Return `12.4` as (12, 4), None for none."""
    parts = (text or "").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 else None


def check_torch(driver: Driver | None, build: TorchBuild) -> None:
    """Raise ConfigurationError, saying what to install, where the driver's cards are out of torch's reach.

    Within one major version of CUDA an older driver runs newer builds (CUDA's minor version compatibility).
    """
    if driver is None or not driver.cards:
        return
    if build.cuda is None:
        raise ConfigurationError(
            f"There is a GPU ({driver.cards[0].name}), and torch {build.version} is a build for the CPU: install one "
            "for CUDA, see https://pytorch.org/get-started/locally."
        )
    if driver.cuda is not None and driver.cuda[0] < build.cuda[0]:
        raise ConfigurationError(
            f"The driver {driver.version} runs CUDA {_dotted(driver.cuda)} at most, and torch {build.version} was "
            f"built for CUDA {_dotted(build.cuda)}: update the driver, or install torch for CUDA {driver.cuda[0]}."
        )
    if build.usable_cards == 0:
        raise ConfigurationError(
            f"The driver {driver.version} shows {len(driver.cards)} GPUs and torch {build.version} sees none: look at "
            "CUDA_VISIBLE_DEVICES, and in a container at its --gpus option; after an update of the driver restart."
        )


def _said(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program, without a shell
            [program, *arguments], capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"The NVIDIA driver does not answer ({error}): restart the machine.") from error
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())
        raise ConfigurationError(
            f"The NVIDIA driver does not work: {said} Load it (modprobe nvidia) or restart the machine after an update."
        )
    return done.stdout


def _mib(text: str) -> int:
    """Read a number of MiB; a card that shares the machine's memory says `[N/A]`."""
    return int(text) if text.isdigit() else 0


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
