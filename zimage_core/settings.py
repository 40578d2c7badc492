"""The only reader of the environment: `ZIMAGE_*` variables, then `.env`, then the defaults written here.

What it is:       frozen models of the pipeline, of publishing, of the server and of what is seen from outside; secrets
                  are masked when printed.
May import:       errors.
May touch:        the environment and `.env`.
Never:            is read twice while nothing of it has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, cast

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from zimage_core.errors import ConfigurationError

MIN_SECRET_CHARS: Final = 16
Loaded = TypeVar("Loaded", bound=BaseSettings)
Runner = Literal["here", "pool", "ray"]
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
    home: Path | None = Field(None, description="Workers of a Prefect server: where relative paths start from.")
    rubric: Path | None = Field(None, description="rubric.yaml to grade by; none = the one shipped.")
    channels: Path | None = Field(None, description="A file of channels beside the shipped ones, or in their place.")
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
    runner: Runner = Field(
        "here", description="Where shards are made: this machine, workers of the gpu work pool, or a Ray cluster."
    )
    max_attempts: int = Field(3, ge=1, le=10, description="How many times a shot may be tried because of its grade.")
    batch_size: int = Field(8, ge=1, le=256, description="Requests handed to the engine in one call.")
    shard_size: int = Field(256, ge=1, le=10_000, description="The most shots one subflow run answers for.")
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


class PublishSettings(BaseSettings):
    """Where releases go and what they carry. Every field can be set as ZIMAGE_PUBLISH_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix="ZIMAGE_PUBLISH_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    to: str | None = Field(None, description="s3://bucket/prefix; none = the folder cdn in ZIMAGE_OUT_DIR.")
    provider: Literal["aws", "oss", "cos", "obs", "r2", "minio", "generic"] = Field(
        "aws", description="Whose S3 it is: decides addressing, checksums and how an object is never overwritten."
    )
    endpoint: str | None = Field(None, description="URL of the S3 service; none = AWS's own for the region.")
    region: str | None = Field(None, description="Region of the bucket; none = what the AWS configuration says.")
    access_key_id: SecretStr | None = Field(None, description="None = the usual AWS chain: profile, role, variables.")
    secret_access_key: SecretStr | None = Field(None, description="Belongs to access_key_id.")
    session_token: SecretStr | None = Field(None, description="Of temporary credentials.")
    client: Literal["boto3", "obstore"] = Field("boto3", description="obstore is faster and an extra of its own.")
    threads: int = Field(32, ge=1, le=256, description="Objects on their way to or from the store at a time.")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="How long the store may be silent within one request.")
    public_url: str | None = Field(
        None,
        description="Where readers find the store's keys over HTTP; with it a release is looked at before it is live.",
    )
    purge: Literal["none", "cloudfront", "http"] = Field("none", description="Whose cache is told of a new release.")
    purge_target: str | None = Field(None, description="CloudFront's distribution id, or the URL that is posted to.")
    purge_key: SecretStr | None = Field(None, description="Sent as bearer token with purge = http.")
    keep_releases: int = Field(20, ge=2, le=10_000, description="Releases of a promotion kept to roll back to.")
    producer: str = Field(
        "zimage", min_length=1, max_length=200, description="Who answers for AI-made pictures (TC260)."
    )
    visible_label: Literal["auto", "always", "never"] = Field(
        "auto", description="A visible AI label: auto = where the channel's market asks for one."
    )
    c2pa_certificate: Path | None = Field(
        None, description="PEM chain to sign content credentials with; none = unsigned."
    )
    c2pa_key: Path | None = Field(None, description="PEM private key of that certificate.")
    c2pa_algorithm: Literal["es256", "es384", "ps256", "ed25519"] = Field("es256", description="The key's algorithm.")
    c2pa_timestamp_url: str | None = Field(
        None, description="RFC 3161 service that dates the signature; none = undated."
    )
    webhook_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Who is told of published pictures, separated by commas."
    )
    webhook_secret: SecretStr | None = Field(None, description="whsec_...: signs what is sent (Standard Webhooks).")
    webhook_timeout_s: float = Field(20.0, gt=0, le=60, description="How long a receiver may take to answer.")
    webhook_private: bool = Field(False, description="Whether a receiver may be in a private or link-local network.")

    @field_validator("webhook_urls", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Read `a,b` and `["a", "b"]` as lists."""
        return _list_of(value)

    @model_validator(mode="after")
    def _agree(self) -> PublishSettings:
        """Refuse halves: a key without its other half, a purge without its target, C2PA without its key."""
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("c2pa_certificate and c2pa_key belong together")
        if self.purge != "none" and not self.purge_target:
            raise ValueError(f"purge = {self.purge} needs purge_target")
        if self.webhook_urls and self.webhook_secret is None:
            raise ValueError("webhook_urls needs webhook_secret: unsigned webhooks can be forged")
        if self.to is not None and not self.to.startswith("s3://"):
            raise ValueError("to is s3://bucket/prefix, or left out for the local folder")
        return self


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
        return _list_of(value)

    @field_validator("api_keys", "signing_secrets")
    @classmethod
    def _hard_to_guess(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            text = secret.get_secret_value()
            if len(text) < MIN_SECRET_CHARS or not text.isascii() or not text.isprintable() or " " in text:
                raise ValueError(f"each needs {MIN_SECRET_CHARS} printable ASCII characters or more, no blanks")
        return secrets


class SeeingSettings(BaseSettings):
    """How a run is seen from outside, and who is called. Every field can be set as ZIMAGE_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix="ZIMAGE_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    log_format: Literal["text", "json"] = Field("text", description="json: one object per line on standard error.")
    metrics_dir: Path | None = Field(
        None, description="A folder of node_exporter's textfile collector: each run keeps a .prom file there."
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="The process of a run answers Prometheus there while it lasts."
    )
    alert_webhook_url: SecretStr | None = Field(None, description="Is posted to when an automation fires.")
    alert_block: str | None = Field(
        None,
        pattern="^[a-z0-9-]+/[a-z0-9-]+$",
        description="A notification block of the Prefect server, as type/name: slack-webhook/operations.",
    )
    alert_failure_rate: float = Field(0.10, gt=0, lt=1, description="More shots without a picture raise an alert.")
    alert_c_rate: float = Field(0.30, gt=0, lt=1, description="A larger share of grade C raises an alert.")
    alert_min_shots: int = Field(20, ge=1, description="Fewer shots say nothing about a rate yet.")
    automations_dir: Path = Field(
        default_factory=lambda: _data_dir("automations"), description="The automations `zimage setup` applies."
    )


def _list_of(value: object) -> object:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
        return tuple(part for part in value if part)
    return value


def load_settings(**overrides: object) -> Settings:
    """Return the settings from environment, `.env` and `overrides` (a flag given on the command line wins).

    Raises ConfigurationError naming each variable that is wrong and why.
    """
    return _loaded(Settings, "ZIMAGE", overrides)


def load_serve_settings(**overrides: object) -> ServeSettings:
    """Return the server's settings, as `load_settings` does. Raises ConfigurationError in the same way."""
    return _loaded(ServeSettings, "ZIMAGE_SERVE", overrides)


def load_publish_settings(**overrides: object) -> PublishSettings:
    """Return what is set for publishing, as `load_settings` does. Raises ConfigurationError in the same way."""
    return _loaded(PublishSettings, "ZIMAGE_PUBLISH", overrides)


def load_seeing_settings(**overrides: object) -> SeeingSettings:
    """Return what is set for logs, metrics and alerts, as `load_settings` does. Raises ConfigurationError alike."""
    return _loaded(SeeingSettings, "ZIMAGE", overrides)


_kept: dict[object, BaseSettings] = {}
"""Settings already read, by all that they were read from: every task run asks for its own, and reading takes 3 ms."""


def _loaded(kind: type[Loaded], prefix: str, overrides: Mapping[str, object]) -> Loaded:
    given = {name: value for name, value in overrides.items() if value is not None}
    key = (kind, repr(sorted(given.items())), _read_from())
    try:
        if key not in _kept:
            _kept[key] = kind(**given)  # type: ignore[arg-type]
        return cast("Loaded", _kept[key])
    except ValidationError as error:
        wrong = "; ".join(
            f"{'_'.join((prefix, *map(str, e['loc']))).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        )
        raise ConfigurationError(f"These settings cannot be used: {wrong}.") from None


def _read_from() -> tuple[object, ...]:
    """Return what settings are read from, as it is now: our variables, and which `.env` of which content."""
    ours = sorted(item for item in os.environ.items() if item[0].upper().startswith("ZIMAGE_"))  # noqa: TID251
    file = Path(".env")
    return (*ours, Path.cwd(), file.read_bytes() if file.is_file() else None)


def set_environment(**values: str) -> None:
    """Set variables for libraries that read the environment on import, whatever they were."""
    os.environ.update(values)  # noqa: TID251 - this is the one place


def set_environment_defaults(**defaults: str) -> None:
    """Set variables for libraries that read the environment on import, unless the user has set them already."""
    for name, value in defaults.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - this is the one place
