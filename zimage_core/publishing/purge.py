"""Telling a cache in front of the store that pointers have moved. Files never change, so only pointers are purged.

A purge comes after the switch and never undoes it: pointers may be cached for a minute anyway (see `storage.POINTER`),
so a purge that failed makes a release late, not wrong. It is told, and can be repeated.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from zimage_core import clock
from zimage_core.engines.wire.client import EngineLocked, Limits, Wire
from zimage_core.errors import ConfigurationError, EngineError, PublishError
from zimage_core.publishing.addresses import guarded
from zimage_core.publishing.history import read_history, read_pointer
from zimage_core.settings import PublishSettings
from zimage_core.storage import Store

if TYPE_CHECKING:
    from types_boto3_cloudfront import CloudFrontClient

log = logging.getLogger("zimage_core.publishing")

MAX_PATHS: Final = 3000
"""Paths in one invalidation, and in progress at a time (CloudFront's documentation, looked up 2026-11-21)."""
TRIES: Final = 4
PAUSE_S: Final = 5.0
MAX_PAUSE_S: Final = 30.0
_NAME: Final = "purge"
_PASSING: Final = (408, 425, 429)
_BUSY: Final = ("TooManyInvalidationsInProgress", "Throttling", "ServiceUnavailable")

Sleep = Callable[[float], object]


class Purge(Protocol):
    """Whoever forgets cached answers when told."""

    def purge(self, reference: str, paths: Sequence[str]) -> None:
        """Have these paths forgotten. A path starts with a slash; one that ends in * stands for all that start so.

        The same reference again is the same purge. Raises PublishError when it was not taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class PurgeOutcome:
    """Whether a cache was told, and the sentence for the person who published."""

    is_done: bool
    sentence: str


class NoPurge:
    """No cache in front of the store, or one that may be late by a minute."""

    def purge(self, reference: str, paths: Sequence[str]) -> None:
        """Do nothing."""


class CloudFrontPurge:
    """A CloudFront distribution. At most 3,000 paths go into one invalidation; a wildcard counts and costs as one."""

    def __init__(self, distribution: str, client: CloudFrontClient, *, sleep: Sleep | None = None) -> None:
        self._distribution, self._client = distribution, client
        self._sleep = sleep or threading.Event().wait

    def purge(self, reference: str, paths: Sequence[str]) -> None:
        """Create the invalidations; they take effect within minutes and are not waited for. Raises PublishError."""
        batches = [paths[start : start + MAX_PATHS] for start in range(0, len(paths), MAX_PATHS)]
        for number, batch in enumerate(batches, 1):
            self._invalidate(reference if len(batches) == 1 else f"{reference}-{number}", list(batch))

    def _invalidate(self, reference: str, paths: list[str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        for pause_s in _pauses_s():
            try:
                self._client.create_invalidation(
                    DistributionId=self._distribution,
                    InvalidationBatch={
                        "CallerReference": reference,
                        "Paths": {"Quantity": len(paths), "Items": paths},
                    },
                )
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "an error")
                if pause_s is None or code not in _BUSY:
                    raise PublishError(
                        f"CloudFront refused the invalidation of {self._distribution}: {code}."
                    ) from None
                self._sleep(pause_s)
            except BotoCoreError as error:
                raise PublishError(f"CloudFront cannot be asked: {type(error).__name__}.") from None
            else:
                return


class HttpPurge:
    """Any cache with a door of its own: JSON is posted to a URL, with a key as bearer token.

    The body is {"reference": ..., "paths": [...]}; the reference is the Idempotency-Key too. Any 2xx is success.
    """

    def __init__(self, url: str, key: SecretStr | None, *, timeout_s: float = 20.0, sleep: Sleep | None = None) -> None:
        """Raise ConfigurationError for a URL that is neither https nor on this machine."""
        parts = urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or parts.scheme not in (("http", "https") if local else ("https",)):
            raise ConfigurationError(
                "ZIMAGE_PUBLISH_PURGE_TARGET must be an https address (http only on this machine), so that its key is "
                "not sent in the clear."
            )
        self._url, self._sleep = url, sleep or threading.Event().wait
        self._headers = {} if key is None else {"Authorization": SecretStr(f"Bearer {key.get_secret_value()}")}
        self._limits = Limits(min(10.0, timeout_s), timeout_s, timeout_s, max_bytes=64 * 1024, max_redirects=0)
        try:
            self._wire().close()
        except ConfigurationError as error:
            raise ConfigurationError(
                "ZIMAGE_PUBLISH_PURGE_KEY cannot be sent: it holds a line break, a space at its ends or a character "
                "beyond ASCII."
            ) from error

    def purge(self, reference: str, paths: Sequence[str]) -> None:
        """Post the paths, a few times where that may help. Raises PublishError."""
        wire = self._wire()
        try:
            for number, start in enumerate(range(0, len(paths), MAX_PATHS), 1):
                name = reference if len(paths) <= MAX_PATHS else f"{reference}-{number}"
                self._post(wire, name, {"reference": name, "paths": list(paths[start : start + MAX_PATHS])})
        finally:
            wire.close()

    def _wire(self) -> Wire:
        return Wire(
            _NAME,
            self._limits,
            self._headers,
            addresses_of=guarded(private=True, within_s=self._limits.connect_s),
        )

    def _post(self, wire: Wire, reference: str, body: dict[str, Any]) -> None:
        for pause_s in _pauses_s():
            asked_s: float | None = None
            try:
                reply = wire.call("POST", self._url, json=body, headers={"Idempotency-Key": reference})
            except EngineError as error:
                why = error.sentence.replace(f"Engine '{_NAME}'", "The cache", 1)
                passing = not isinstance(error, EngineLocked)
            else:
                if reply.is_ok:
                    return
                why = f"The cache answered {reply.status} at {reply.endpoint}: {reply.message() or reply.sniffed()}."
                passing, asked_s = reply.status >= 500 or reply.status in _PASSING, reply.retry_after_s()
            if pause_s is None or not passing:
                raise PublishError(why)
            self._sleep(min(MAX_PAUSE_S, pause_s if asked_s is None else asked_s))


def purge_of(settings: PublishSettings) -> Purge:
    """Return who is told of switches by these settings; nothing is called yet. Raises ConfigurationError."""
    target = settings.purge_target or ""
    if settings.purge == "http":
        return HttpPurge(target, settings.purge_key, timeout_s=min(settings.timeout_s, 60.0))
    return CloudFrontPurge(target, _cloudfront(settings)) if settings.purge == "cloudfront" else NoPurge()


def paths_of(keys: Sequence[str], public_url: str | None) -> tuple[str, ...]:
    """Return the paths under which readers find these keys; a * at the end of a key stays a wildcard."""
    start = "" if public_url is None else urlsplit(public_url).path.rstrip("/")
    return tuple(f"{start}/{quote(key, safe='/*')}" for key in keys)


def purge_switch(
    purge: Purge, store: Store, promotion: str, *, public_url: str | None = None, again: bool = False
) -> PurgeOutcome:
    """Have the pointers of a promotion forgotten after a switch. A failure is told and logged, never raised.

    The reference names release and switch, so that the same call again is the same purge, and going back to a release
    is another one; with `again` it is a new purge in any case.
    """
    pointer = read_pointer(store, promotion)
    if pointer is None:
        return PurgeOutcome(True, f"Nothing of {promotion} is live, so there is nothing to purge.")
    number = read_history(store, promotion).last_of(pointer.release_id) or 0
    reference = f"{pointer.release_id}-{number}" + (f"-{clock.fresh_id()}" if again else "")
    paths = paths_of((f"current/{promotion}.json", f"current/{promotion}/*"), public_url)
    try:
        purge.purge(reference, paths)
    except PublishError as error:
        sentence = (
            f"Release {pointer.release_id} of {promotion} is live, but its cache was not told: {error.sentence} "
            f"Readers see it when cached pointers run out; repeat with `zimage releases {promotion} --purge`."
        )
        log.warning("%s", sentence)
        return PurgeOutcome(False, sentence)
    return PurgeOutcome(True, f"{', '.join(paths)} purged for release {pointer.release_id}.")


def _pauses_s() -> Iterator[float | None]:
    """Yield, for each try, how long to wait when it fails; None = it was the last."""
    for number in range(TRIES - 1):
        yield min(MAX_PAUSE_S, PAUSE_S * 2.0**number)
    yield None


def _cloudfront(settings: PublishSettings) -> CloudFrontClient:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise ConfigurationError("purge = cloudfront needs boto3: install zimage[s3].") from error

    def revealed(secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()

    keys = settings if settings.provider == "aws" else PublishSettings.model_construct()
    try:
        client: CloudFrontClient = boto3.client(
            "cloudfront",
            region_name=settings.region or "us-east-1",  # CloudFront is global and signs for this region
            aws_access_key_id=revealed(keys.access_key_id),
            aws_secret_access_key=revealed(keys.secret_access_key),
            aws_session_token=revealed(keys.session_token),
            config=Config(
                connect_timeout=10,
                read_timeout=min(settings.timeout_s, 60.0),
                retries={"mode": "standard", "total_max_attempts": 5},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"CloudFront cannot be asked with these settings: {error}.") from error
    return client
