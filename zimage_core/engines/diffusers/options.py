"""What the engine can be told: every option with its default, read once from text and checked before anything loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar, cast, get_args

from zimage_core.errors import ConfigurationError

Variant = Literal["turbo", "base"]
Precision = Literal["auto", "bf16", "fp32"]
ProfileName = Literal["fast", "balanced", "small", "quantized"]
Quantization = Literal["none", "int8", "fp8", "nf4"]
SamplerPath = Literal["fast", "stock"]
Switch = Literal["auto", "on", "off"]

TURBO_STEPS: Final = 8
"""Z-Image-Turbo is distilled to 8 function evaluations; since diffusers 0.42 `num_inference_steps` counts them exactly,
and the 9 of older READMEs is another schedule."""
BASE_STEPS: Final = 50
BASE_GUIDANCE: Final = 4.0
"""The base model's card: 28 to 50 steps, guidance 3 to 5."""
MAX_PROMPT_TOKENS: Final = 512
"""What the pipeline keeps of a templated prompt; it cuts the rest in silence, the end of the template with it."""
MAX_MAX_PROMPT_TOKENS: Final = 1504
"""The RoPE table of captions has 1536 rows: the padded caption and two more must fit."""

Chosen = TypeVar("Chosen", bound=str)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA file and how strongly it is applied (1.0 = as trained)."""

    path: Path
    weight: float


@dataclass(frozen=True, slots=True)
class Options:
    """How one engine is loaded and run.

    `model`: a folder in diffusers layout, a hub id (owner/name), or one file (.safetensors, .gguf) with the
    transformer, which then takes the rest from `base`. `guidance` is pos + g * (pos - neg): 0.0 = off. `batch_limit`
    None = by the number of tokens. `bad_frames_limit`: so many unusable frames in a row stop the engine.
    `megapixels`: about how large pictures are planned (1.0 = 1024 x 1024, what the model was trained around; the
    detail step makes four times as much of it). `packshots`: also make packshots, which need no model.
    `rent_usd_per_hour` of the card makes the cost of an attempt. `cache`: where hashes of weights are remembered,
    None = ~/.cache/zimage.
    """

    model: str
    base: str | None = None
    variant: Variant = "turbo"
    steps: int = TURBO_STEPS
    guidance: float = 0.0
    precision: Precision = "auto"
    profile: ProfileName | Literal["auto"] = "auto"
    quantization: Quantization = "none"
    path: SamplerPath = "fast"
    compile: Switch = "auto"
    device: str = "auto"
    lora: tuple[Adapter, ...] = ()
    controlnet: Path | None = None
    control: Literal["canny", "depth"] = "canny"
    control_scale: float = 0.75
    detail: bool = False
    detail_strength: float = 0.3
    long_prompt: Literal["refuse", "cut"] = "refuse"
    max_prompt_tokens: int = MAX_PROMPT_TOKENS
    batch_limit: int | None = None
    bad_frames_limit: int = 3
    megapixels: float = 1.0
    packshots: bool = False
    offline: bool = False
    rent_usd_per_hour: float = 0.0
    cache: Path | None = None


def read_options(given: Mapping[str, str]) -> Options:
    """Return the options these texts mean.

    Raises ConfigurationError for an unknown option (the known ones are listed), a missing model, a value that does not
    fit, and guidance for Turbo unless `allow_guidance=yes` says that it is meant.
    """
    unknown = sorted(set(given) - set(_READERS) - {"allow_guidance"})
    if unknown:
        raise ConfigurationError(
            f"Engine 'diffusers' has no option {', '.join(unknown)}; its options are "
            f"{', '.join(sorted({*_READERS, 'allow_guidance'}))}."
        )
    if not given.get("model", "").strip():
        raise ConfigurationError(
            "Engine 'diffusers' needs to know its model: a folder, a hub id such as Tongyi-MAI/Z-Image-Turbo, or a "
            "safetensors or GGUF file; give it as `--model PATH`."
        )
    read = {name: _READERS[name](name, text.strip()) for name, text in given.items() if name in _READERS}
    if read.get("variant") == "base":
        read = {"steps": BASE_STEPS, "guidance": BASE_GUIDANCE} | read
    options = Options(**read)  # type: ignore[arg-type]
    allowed = _yes_no("allow_guidance", given.get("allow_guidance", "no"))
    if options.variant == "turbo" and options.guidance > 0 and not allowed:
        raise ConfigurationError(
            f"Guidance {options.guidance:g} was asked for, but Z-Image-Turbo is made for 0: more doubles the time and "
            "distorts the picture. Set option allow_guidance=yes if it is meant, or variant=base for the base model."
        )
    return options


# ---------------------------------------------------------------- readers, one per kind of value


def _wrong(name: str, text: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"Option {name} of engine 'diffusers' is {expected}, not '{text}'.")


def _text(_: str, text: str) -> str:
    return text


def _path(_: str, text: str) -> Path:
    return Path(text)


def _yes_no(name: str, text: str) -> bool:
    if text.lower() in ("yes", "true", "on", "1"):
        return True
    if text.lower() in ("no", "false", "off", "0"):
        return False
    raise _wrong(name, text, "yes or no")


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in choices:
            raise _wrong(name, text, f"one of {', '.join(choices)}")
        return text

    return read


def _precision(name: str, text: str) -> Precision:
    if text == "fp16":
        raise ConfigurationError(
            "Z-Image gives black pictures in fp16 (its activations overflow); use precision=bf16, or fp32 where the "
            "card has no bf16."
        )
    return cast("Precision", _one_of(*get_args(Precision))(name, text))


def _whole(least: int, most: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise _wrong(name, text, f"a whole number from {least} to {most}")
        return int(text)

    return read


def _number(least: float, most: float) -> Callable[[str, str], float]:
    def read(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise _wrong(name, text, f"a number from {least:g} to {most:g}") from None
        if not least <= value <= most:
            raise _wrong(name, text, f"a number from {least:g} to {most:g}")
        return value

    return read


def _adapters(name: str, text: str) -> tuple[Adapter, ...]:
    """Read `file.safetensors:0.8,other.safetensors`; a weight left out is 1.0."""
    adapters = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        path, colon, weight = part.rpartition(":")
        if not colon or not path or weight.startswith(("/", "\\")):  # C:/ is a drive, not a weight
            adapters.append(Adapter(Path(part), 1.0))
            continue
        adapters.append(Adapter(Path(path), _number(-4.0, 4.0)(f"{name} ({path})", weight)))
    return tuple(adapters)


_READERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "model": _text,
    "base": _text,
    "variant": _one_of(*get_args(Variant)),
    "steps": _whole(1, 200),
    "guidance": _number(0.0, 20.0),
    "precision": _precision,
    "profile": _one_of("auto", *get_args(ProfileName)),
    "quantization": _one_of(*get_args(Quantization)),
    "path": _one_of(*get_args(SamplerPath)),
    "compile": _one_of(*get_args(Switch)),
    "device": _text,
    "lora": _adapters,
    "controlnet": _path,
    "control": _one_of("canny", "depth"),
    "control_scale": _number(0.0, 2.0),
    "detail": _yes_no,
    "detail_strength": _number(0.05, 0.9),
    "long_prompt": _one_of("refuse", "cut"),
    "max_prompt_tokens": _whole(32, MAX_MAX_PROMPT_TOKENS),
    "batch_limit": _whole(1, 64),
    "bad_frames_limit": _whole(1, 100),
    "megapixels": _number(0.05, 4.0),
    "packshots": _yes_no,
    "offline": _yes_no,
    "rent_usd_per_hour": _number(0.0, 1000.0),
    "cache": _path,
}
