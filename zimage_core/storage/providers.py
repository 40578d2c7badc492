"""Who speaks S3 and how: addresses, checksums and conditions that differ from one provider to the next.

Sources, read 2026-11: the providers' own pages on S3 compatibility, and what boto3 1.44 puts on the wire. AWS and R2
document If-None-Match and If-Match on PutObject; what the others do is found out once, by writing a small object twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from zimage_core.errors import ConfigurationError
from zimage_core.settings import PublishSettings
from zimage_core.storage.keys import MAX_KEY_BYTES, check_key


@dataclass(frozen=True, slots=True)
class Provider:
    """What is particular to one provider.

    `addressing`: bucket in the host name or in the path. `checksums`: over https boto3 otherwise sends checksums as
    trailers of `aws-chunked` bodies, which OSS, COS and OBS refuse; `when_required` sends a signed SHA-256 instead.
    `conditional`: True = documented to refuse to overwrite, None = find out. `endpoint`: None = must be given, or AWS.
    """

    name: str
    addressing: Literal["virtual", "path", "auto"]
    checksums: Literal["when_supported", "when_required"]
    conditional: bool | None
    region: str | None = None
    endpoint: str | None = None


PROVIDERS: dict[str, Provider] = {
    "aws": Provider("aws", "auto", "when_supported", conditional=True),
    "oss": Provider("oss", "virtual", "when_required", None, endpoint="https://s3.oss-{region}.aliyuncs.com"),
    "cos": Provider("cos", "virtual", "when_required", None, endpoint="https://cos.{region}.myqcloud.com"),
    "obs": Provider("obs", "virtual", "when_required", None, endpoint="https://obs.{region}.myhuaweicloud.com"),
    "r2": Provider("r2", "path", "when_required", conditional=True, region="auto"),
    "minio": Provider("minio", "path", "when_required", None, region="us-east-1"),
    "generic": Provider("generic", "path", "when_required", None, region="us-east-1"),
}


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket, where it is, and how to get in. `prefix` is '' or ends without a slash; times in seconds."""

    bucket: str
    prefix: str
    provider: Provider
    endpoint: str | None = None
    region: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    threads: int = 32
    timeout_s: float = 60.0

    @property
    def where(self) -> str:
        """Name bucket and service for people: never with a secret."""
        return f"s3://{'/'.join(filter(None, (self.bucket, self.prefix)))} ({self.endpoint or 'AWS'})"

    def short_key(self, full: str) -> str:
        """Return the key as the store's callers know it."""
        return full.removeprefix(f"{self.prefix}/") if self.prefix else full

    def full_key(self, key: str) -> str:
        """Return the key inside the bucket. Raises StorageError for a key that no store takes."""
        full = f"{self.prefix}/{check_key(key)}" if self.prefix else check_key(key)
        return full if len(full.encode()) <= MAX_KEY_BYTES else check_key(full)


def address_of(settings: PublishSettings) -> BucketAddress:
    """Return the address that the settings name.

    Raises ConfigurationError when `to` names no bucket, or endpoint or region are missing or cannot be.
    """
    target = urlsplit(settings.to or "")
    bucket, prefix = target.netloc, target.path.strip("/")
    if target.scheme != "s3" or not bucket or "@" in bucket or target.query or target.fragment:
        raise ConfigurationError("ZIMAGE_PUBLISH_TO is s3://bucket or s3://bucket/prefix, without keys or a query.")
    if prefix:
        check_key(prefix)
    provider = PROVIDERS[settings.provider]
    region = settings.region or provider.region
    return BucketAddress(
        bucket=bucket,
        prefix=prefix,
        provider=provider,
        endpoint=_endpoint(provider, settings.endpoint, region),
        region=region,
        access_key_id=settings.access_key_id,
        secret_access_key=settings.secret_access_key,
        session_token=settings.session_token,
        threads=settings.threads,
        timeout_s=settings.timeout_s,
    )


def _endpoint(provider: Provider, endpoint: str | None, region: str | None) -> str | None:
    if endpoint is None:
        if provider.endpoint is not None and region is not None:
            return provider.endpoint.format(region=region)
        if provider.name == "aws":
            return None
        wanted = "REGION (or ENDPOINT)" if provider.endpoint else "ENDPOINT"
        raise ConfigurationError(f"ZIMAGE_PUBLISH_PROVIDER={provider.name} needs ZIMAGE_PUBLISH_{wanted}.")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("ZIMAGE_PUBLISH_ENDPOINT is a URL such as https://s3.example.com.")
    if parts.username or parts.password or parts.query:
        raise ConfigurationError(
            "ZIMAGE_PUBLISH_ENDPOINT must hold no user, password or query; keys have settings of their own."
        )
    if parts.path.strip("/"):
        raise ConfigurationError(
            "ZIMAGE_PUBLISH_ENDPOINT ends after the host; bucket and prefix belong into ZIMAGE_PUBLISH_TO."
        )
    return endpoint.rstrip("/")
