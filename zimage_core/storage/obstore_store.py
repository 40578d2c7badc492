"""A bucket through obstore (Rust): the same contract, five times less CPU per object than boto3."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zimage_core.errors import ConfigurationError, StorageError
from zimage_core.storage.base import ObjectFacts
from zimage_core.storage.bucket import BucketStore, Fetched, Headers, Sent
from zimage_core.storage.providers import BucketAddress
from zimage_core.storage.refusals import Act, not_s3, refusal, unreachable, untrusted

if TYPE_CHECKING:
    from obstore.store import S3Store as Rust

TRIES = 5  # as through boto3
FIRST_PAUSE_S = 0.1
WHOLE_REQUEST_S = 600.0
RETRYING_FOR = timedelta(seconds=180)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_RETRIED = re.compile(r"after [1-9]\d* retries")
_STATUS = re.compile(r"\b([1-5]\d\d) (?:[A-Z][A-Za-z]+)")


class ObstoreStore(BucketStore):
    """A bucket as a Store, through obstore (the extra `obstore`). Opening it asks nothing of the service.

    Raises ConfigurationError when obstore is not installed, or no credentials can be found.
    """

    def __init__(self, address: BucketAddress) -> None:
        super().__init__(address, ObstoreWire(address))


class ObstoreWire:
    """The calls of obstore that a bucket needs, its errors as sentences."""

    def __init__(self, address: BucketAddress) -> None:
        try:
            import obstore
        except ImportError as error:
            raise ConfigurationError(
                "ZIMAGE_PUBLISH_CLIENT=obstore needs obstore, which is not installed: pip install 'zimage[obstore]'."
            ) from error
        self._address = address
        self._obstore = obstore
        self._rust = _rust(address)

    def write(self, key: str, data: bytes, headers: Headers, *, absent: bool = False, match: str | None = None) -> Sent:
        """PUT an object. What obstore does not try again by itself, a broken conditional write, is tried again here."""
        attributes = {"Content-Type": headers.content_type, "sha256": headers.sha256}
        if headers.cache_control is not None:
            attributes["Cache-Control"] = headers.cache_control
        mode: Any = "create" if absent else {"e_tag": f'"{match}"'} if match else "overwrite"
        number = 0
        while True:
            try:
                answer = self._obstore.put(self._rust, key, data, attributes=attributes, mode=mode, use_multipart=False)
            except (self._obstore.exceptions.AlreadyExistsError, self._obstore.exceptions.PreconditionError):
                return Sent(None, retried=number > 0)
            except Exception as error:
                if mode != "overwrite" and (refused := _condition(error)) is not None:
                    return refused
                if mode == "overwrite" or number + 1 == TRIES or not _broke_off(error):
                    raise self._sentence(error, "written", key) from error
                time.sleep(FIRST_PAUSE_S * 2**number)
                number += 1
            else:
                if not answer["e_tag"]:
                    raise not_s3(self._address, "written", key)
                return Sent(answer["e_tag"].strip('"'), retried=number > 0)

    def read(self, key: str) -> Fetched:
        """GET an object."""
        try:
            answer = self._obstore.get(self._rust, key)
            meta, attributes = answer.meta, answer.attributes
        except Exception as error:
            raise self._sentence(error, "read", key) from error
        if not meta["e_tag"]:
            raise not_s3(self._address, "read", key)
        etag, sha256 = meta["e_tag"].strip('"'), attributes.get("sha256")
        try:
            return Fetched(bytes(answer.bytes()), etag, sha256)
        except self._obstore.exceptions.BaseError:
            return Fetched(b"", etag, sha256, whole=False)

    def head(self, key: str) -> tuple[ObjectFacts, str]:
        """HEAD an object."""
        try:
            answer = self._obstore.get(self._rust, key, options={"head": True})
            meta, attributes = answer.meta, answer.attributes
        except Exception as error:
            raise self._sentence(error, "read", key) from error
        if not meta["e_tag"]:
            raise not_s3(self._address, "read", key)
        facts = ObjectFacts(
            key, meta["size"], attributes.get("sha256"), attributes.get("Content-Type"), attributes.get("Cache-Control")
        )
        return facts, meta["e_tag"].strip('"')

    def keys(self, prefix: str) -> Iterator[str]:
        """List by the folder of the prefix, since obstore knows prefixes of whole segments only."""
        try:
            for page in self._obstore.list(self._rust, prefix.rpartition("/")[0] or None, chunk_size=1000):
                for found in page:
                    if found["path"].startswith(prefix):
                        yield found["path"]
        except Exception as error:
            raise self._sentence(error, "listed", prefix or "The bucket") from error

    def remove(self, key: str) -> None:
        """DELETE an object."""
        try:
            self._obstore.delete(self._rust, key)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._sentence(error, "deleted", key) from error

    def sign(self, key: str, valid_s: int) -> str:
        """Sign a GET by the client's own credentials."""
        try:
            return self._obstore.sign(self._rust, "GET", key, timedelta(seconds=valid_s))
        except Exception as error:
            raise self._sentence(error, "read", key) from error

    def close(self) -> None:
        """Do nothing: connections end with the object."""

    def _sentence(self, error: Exception, act: Act, key: str) -> StorageError:
        """Return what went wrong as our error; raise again what is none of obstore's."""
        if not isinstance(error, self._obstore.exceptions.BaseError | FileNotFoundError | PermissionError):
            raise error
        text = str(error)
        code, status = _seen(error)
        message = found.group(1) if (found := _MESSAGE.search(text)) else ""
        if code or status:
            return refusal(self._address, act, key, code=code, status=status, message=message)
        if "certificate" in text:
            return untrusted(self._address, act, key)
        return unreachable(self._address, act, key, "it could not be reached, or stopped answering")


def _condition(error: Exception) -> Sent | None:
    """Read an error of a conditional write: nothing there to match, or such conditions are not known there."""
    code, status = _seen(error)
    if status == 501 or code == "NotImplemented":
        return Sent(None, supported=False)
    return Sent(None) if code == "NoSuchKey" else None


def _broke_off(error: Exception) -> bool:
    """Tell whether a call ended without an answer and obstore did not try it again."""
    return _seen(error) == ("", 0) and _RETRIED.search(str(error)) is None


def _seen(error: Exception) -> tuple[str, int]:
    """Return the S3 code and HTTP status that obstore put into an error's words, ('', 0) for none."""
    text = str(error)
    code = found.group(1) if (found := _CODE.search(text)) else ""
    status = int(found.group(1)) if (found := _STATUS.search(text)) else 0
    if not code and isinstance(error, FileNotFoundError):
        code = "NoSuchKey"
    return code, status


def _rust(address: BucketAddress) -> Rust:
    from obstore.store import S3Store as Rust

    config: Any = {"bucket": address.bucket, "disable_bulk_delete": True, "region": address.region or "us-east-1"}
    config["virtual_hosted_style_request"] = in_host = _is_in_host(address)
    if address.endpoint is not None:
        parts = urlsplit(address.endpoint)
        config["endpoint"] = f"{parts.scheme}://{address.bucket}.{parts.netloc}" if in_host else address.endpoint
    if address.provider.checksums == "when_supported":
        config["checksum_algorithm"] = "sha256"
    options: Any = {
        "allow_http": (address.endpoint or "").startswith("http://"),
        "connect_timeout": timedelta(seconds=min(10.0, address.timeout_s)),
        "read_timeout": timedelta(seconds=address.timeout_s),
        "timeout": timedelta(seconds=max(WHOLE_REQUEST_S, address.timeout_s)),
        "pool_max_idle_per_host": str(address.threads),
    }
    if address.access_key_id is not None and address.secret_access_key is not None:
        config["access_key_id"] = address.access_key_id.get_secret_value()
        config["secret_access_key"] = address.secret_access_key.get_secret_value()
        if address.session_token is not None:
            config["session_token"] = address.session_token.get_secret_value()
    retrying: Any = {"max_retries": TRIES - 1, "retry_timeout": RETRYING_FOR}
    return Rust(config=config, client_options=options, retry_config=retrying, credential_provider=_chain(address))


def _is_in_host(address: BucketAddress) -> bool:
    """Tell whether the bucket goes into the host name, as boto3 decides it: not where a certificate would not fit."""
    host = urlsplit(address.endpoint or "").hostname or ""
    is_number = re.fullmatch(r"[\d.]+|[0-9a-f]*:.*", host) is not None
    return address.provider.addressing != "path" and not is_number and "." not in address.bucket


def _chain(address: BucketAddress) -> Any:
    """Return the AWS chain of profiles and roles where no keys are given; it is boto3's."""
    if address.access_key_id is not None:
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            "There are no credentials for the bucket: set ZIMAGE_PUBLISH_ACCESS_KEY_ID and "
            "ZIMAGE_PUBLISH_SECRET_ACCESS_KEY (profiles and roles are read through boto3: pip install 'zimage[s3]')."
        ) from error
