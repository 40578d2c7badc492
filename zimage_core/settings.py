"""The only reader of the environment: `ZIMAGE_*` variables, then `.env`, then the defaults written here.

What it is:       two frozen models, the pipeline's and the server's; secrets are masked wherever they are printed.
May import:       errors.
May touch:        the environment and `.env`.
Never:            is read twice: the caller who starts a job loads it once and hands it on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from zimage_core.errors import ConfigurationError

MIN_SECRET_CHARS: Final = 16
Loaded = TypeVar("Loaded", bound=BaseSettings)
_PACKAGE = Path(__file__).resolve().parent


def _data_dir(name: str) -> Path:
    """Return the folder of that name beside the package (a checkout), else the copy shipped inside a wheel."""
    beside = _PACKAGE.parent / name
    return beside if beside.is_dir() else _PACKAGE / "_data" / name


class Settings(BaseSettings):
    """Where things are and how hard to work. Every field can be set as ZIMAGE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="ZIMAGE_", env_file=".env", extra="ignore", frozen=True)

    work_dir: Path = Field(Path("work"), description="Ledger, cut-outs, masters: what makes a run resumable.")
    out_dir: Path = Field(Path("out"), description="The CDN origin: renditions, manifests, pointers; and reports.")
    prompts_dir: Path = Field(default_factory=lambda: _data_dir("prompts"), description="Scenes, brands, promotions.")
    examples_dir: Path = Field(default_factory=lambda: _data_dir("examples"), description="Catalogue of the demo.")
    rubric: Path | None = Field(None, description="rubric.yaml to grade by; none = the one shipped.")
    ledger_url: SecretStr | None = Field(None, description="SQLAlchemy URL; none = SQLite in work_dir.")
    catalogue_password: SecretStr | None = Field(None, description="Password for a catalogue that is a database URL.")
    engine: str = Field("studio", description="Which engine makes the images.")
    engine_options: dict[str, str] = Field(default_factory=dict, description="Handed to the engine as they are.")
    engine_api_key: SecretStr | None = Field(None, description="The key a remote engine asks for; never an option.")
    engine_signing_secret: SecretStr | None = Field(
        None, description="Signs requests to `zimage serve` where its ZIMAGE_SERVE_SIGNING_SECRETS asks for that."
    )
    engine_devices: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="auto: whatever the engine finds. Or a list such as 0,1 (CUDA cards) or cpu,cpu: a process each.",
    )
    max_attempts: int = Field(3, ge=1, le=10, description="How many times a shot may be tried because of its grade.")
    batch_size: int = Field(8, ge=1, le=256, description="Requests handed to the engine in one call.")
    shard_size: int = Field(200, ge=1, le=10_000, description="The most shots one subflow run answers for.")
    lease_s: float = Field(60.0, ge=1, description="A shard whose owner is silent for this long may be taken over.")
    moderation_url: str | None = Field(
        None, description="Where each accepted picture is asked about before it is published; none = nobody is asked."
    )
    moderation_key: SecretStr | None = Field(None, description="The key of the moderation service.")
    moderation_auth: Literal["bearer", "hmac"] = Field(
        "bearer", description="bearer: the key is sent; hmac: each request is signed with it and it is not sent."
    )
    moderation_timeout_s: float = Field(20.0, gt=0, le=300, description="How long one moderation answer may take.")
    cutout: str = Field("builtin", description="Which tool cuts products out: builtin, rembg, or a registered one.")
    cutout_options: dict[str, str] = Field(default_factory=dict, description="Handed to that tool as they are.")
    max_photo_megapixels: float = Field(80.0, gt=0, description="Larger photos are refused before they are decoded.")

    @field_validator("engine_devices", mode="before")
    @classmethod
    def _devices(cls, value: object) -> object:
        """Read `auto` as none named, `[0, 1]` and `0,1` as lists, and a bare number as the CUDA card of that number."""
        if isinstance(value, str):
            text = value.strip()
            if text in ("", "auto"):
                return ()
            value = json.loads(text) if text.startswith("[") else text.split(",")
        if not isinstance(value, list | tuple):
            raise ValueError("it is auto, or a list of devices such as 0,1 or cpu,cpu")  # noqa: TRY004 - for pydantic
        named = [str(device).strip() for device in value]
        if not all(named):
            raise ValueError("a device in the list has no name")
        return tuple(f"cuda:{name}" if name.isdigit() else name for name in named)

    def resolved_ledger_url(self) -> str:
        """Return the ledger's URL, the default one inside `work_dir`. It may hold a password: never print it."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.work_dir.resolve() / 'ledger.sqlite'}"


class ServeSettings(BaseSettings):
    """How `zimage serve` guards its door and keeps its work. Every field can be set as ZIMAGE_SERVE_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix="ZIMAGE_SERVE_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    dir: Path | None = Field(None, description="Tasks and pictures; none = serve/<port> in ZIMAGE_WORK_DIR.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Keys of callers, separated by commas, 16 characters or more each; none = loopback only."
    )
    signing_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="With any, every request must be signed with one of them (HMAC-SHA256)."
    )
    signature_window_s: float = Field(300.0, gt=0, le=3600, description="How old or new a signed request may be.")
    requests_per_s: float | None = Field(
        None, gt=0, description="Drawing requests per second of a key; none = any number."
    )
    burst: int = Field(20, ge=1, description="How many requests a key may save up.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call, separated by commas; none = no page may."
    )
    open_metrics: bool = Field(False, description="Whether /metrics needs no key where keys are configured.")
    blocklist: bool = Field(True, description="Whether prompts with words of prompts/blocklist.yaml are refused.")
    queue_limit: int = Field(256, ge=1, le=100_000, description="Requests that may wait; more are told to come back.")
    queue_bytes: int = Field(2**31, ge=2**20, description="Bytes of decoded product photos that may wait.")
    batch_limit: int = Field(8, ge=1, le=256, description="The most requests in one call of the engine.")
    batch_window_ms: float = Field(5.0, ge=0, le=1000, description="How long a request waits for others of its shape.")
    aging_s: float = Field(30.0, gt=0, description="Waiting this long is worth one step of priority.")
    result_ttl_s: float = Field(86_400.0, gt=0, description="How long a picture is kept and answered from.")
    result_bytes: int = Field(2**31, ge=2**20, description="Bytes of pictures kept; the least used go first.")
    task_ttl_s: float = Field(604_800.0, gt=0, description="How long the record of a finished task is kept.")
    redraw: bool = Field(True, description="Whether what was being drawn when the server was killed is drawn again.")
    max_body_bytes: int = Field(2**25, ge=1024, description="Larger request bodies are refused while they are read.")
    body_timeout_s: float = Field(30.0, gt=0, description="A body must have arrived after so many seconds.")
    max_side_px: int = Field(4096, ge=16, description="Larger pictures are refused, whatever the engine could do.")
    max_prompt_chars: int = Field(4000, ge=1, le=20_000, description="Longer prompts are refused.")
    max_reference_megapixels: float = Field(16.0, gt=0, description="Larger product photos are refused.")
    request_timeout_s: float = Field(300.0, gt=0, description="A synchronous request is answered 504 after this.")
    drain_timeout_s: float = Field(120.0, gt=0, description="How long SIGTERM waits for what is being drawn.")
    stall_s: float = Field(900.0, gt=0, description="An engine call that takes longer makes the server not ready.")
    warm_up: bool = Field(True, description="Draw one small picture before the server is ready, so that weights load.")

    @field_validator("api_keys", "signing_secrets", "cors_origins", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Read `a,b` and `["a", "b"]` as lists."""
        if isinstance(value, str):
            text = value.strip()
            value = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
            return tuple(part for part in value if part)
        return value

    @field_validator("api_keys", "signing_secrets")
    @classmethod
    def _hard_to_guess(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            text = secret.get_secret_value()
            if len(text) < MIN_SECRET_CHARS or not text.isascii() or not text.isprintable() or " " in text:
                raise ValueError(f"each needs {MIN_SECRET_CHARS} printable ASCII characters or more, no blanks")
        return secrets


def load_settings(**overrides: object) -> Settings:
    """Return the settings from environment, `.env` and `overrides` (a flag given on the command line wins).

    Raises ConfigurationError naming each variable that is wrong and why.
    """
    return _loaded(Settings, "ZIMAGE", overrides)


def load_serve_settings(**overrides: object) -> ServeSettings:
    """Return the server's settings, as `load_settings` does. Raises ConfigurationError in the same way."""
    return _loaded(ServeSettings, "ZIMAGE_SERVE", overrides)


def _loaded(kind: type[Loaded], prefix: str, overrides: Mapping[str, object]) -> Loaded:
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return kind(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(
            f"{prefix}_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        )
        raise ConfigurationError(f"These settings cannot be used: {wrong}.") from None


def set_environment(**values: str) -> None:
    """Set variables for libraries that read the environment on import, whatever they were."""
    os.environ.update(values)  # noqa: TID251 - this is the one place


def set_environment_defaults(**defaults: str) -> None:
    """Set variables for libraries that read the environment on import, unless the user has set them already."""
    for name, value in defaults.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - this is the one place
