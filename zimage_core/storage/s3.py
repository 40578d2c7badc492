"""A bucket through boto3: one shared client, a pool as large as the threads, five tries per call.

Never a transfer manager: its CRT client ignores `endpoint_url` and would send to AWS what was meant for another
service. Retries are botocore's standard mode; adaptive mode takes 25 times as long at 10 % of faults.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from zimage_core.errors import ConfigurationError, StorageError
from zimage_core.storage.base import ObjectFacts
from zimage_core.storage.bucket import PART_BYTES, BucketStore, Fetched, Headers, Sent
from zimage_core.storage.providers import BucketAddress
from zimage_core.storage.refusals import Act, not_s3, refusal, unreachable, untrusted

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger("zimage_core.storage")

TRIES = 5
CONNECT_TIMEOUT_S = 10.0
PARTS_AT_A_TIME = 4
_CONDITIONS = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))
_UNSUPPORTED = frozenset(("NotImplemented", "501"))


class S3Store(BucketStore):
    """A bucket as a Store, through boto3 (the extra `s3`). Opening it asks nothing of the service.

    Raises ConfigurationError when boto3 is not installed, or no credentials can be found.
    """

    def __init__(self, address: BucketAddress) -> None:
        super().__init__(address, BotoWire(address))


class BotoWire:
    """The calls of boto3 that a bucket needs, its answers checked, its errors as sentences."""

    def __init__(self, address: BucketAddress) -> None:
        self._address = address
        self._client = _client(address)

    def write(self, key: str, data: bytes, headers: Headers, *, absent: bool = False, match: str | None = None) -> Sent:
        """PUT an object, in parts where it is large."""
        conditions: dict[str, Any] = {"IfNoneMatch": "*"} if absent else {"IfMatch": f'"{match}"'} if match else {}
        described: dict[str, Any] = {"ContentType": headers.content_type, "Metadata": {"sha256": headers.sha256}}
        if headers.cache_control is not None:
            described["CacheControl"] = headers.cache_control
        where: dict[str, Any] = {"Bucket": self._address.bucket, "Key": key}
        try:
            if len(data) > PART_BYTES:
                answer = self._write_parts(where, data, described, conditions)
            else:
                answer = self._client.put_object(Body=data, **where, **described, **conditions)
        except Exception as error:
            sent = _condition(error) if conditions else None
            if sent is None:
                raise self._sentence(error, "written", key) from error
            return sent
        if not answer.get("ETag"):
            raise not_s3(self._address, "written", key)
        return Sent(_bare(answer["ETag"]), _retried(answer))

    def read(self, key: str) -> Fetched:
        """GET an object."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        try:
            answer = self._client.get_object(Bucket=self._address.bucket, Key=key)
        except Exception as error:
            raise self._sentence(error, "read", key) from error
        if not answer.get("ETag"):
            answer["Body"].close()
            raise not_s3(self._address, "read", key)
        etag, sha256 = _bare(answer["ETag"]), answer["Metadata"].get("sha256")
        try:
            return Fetched(answer["Body"].read(), etag, sha256)
        except (HTTPClientError, IncompleteReadError, OSError):
            return Fetched(b"", etag, sha256, whole=False)
        finally:
            answer["Body"].close()

    def head(self, key: str) -> tuple[ObjectFacts, str]:
        """HEAD an object."""
        try:
            answer = self._client.head_object(Bucket=self._address.bucket, Key=key)
        except Exception as error:
            raise self._sentence(error, "read", key) from error
        if not answer.get("ETag"):
            raise not_s3(self._address, "read", key)
        facts = ObjectFacts(
            key,
            answer["ContentLength"],
            answer["Metadata"].get("sha256"),
            answer.get("ContentType"),
            answer.get("CacheControl"),
        )
        return facts, _bare(answer["ETag"])

    def keys(self, prefix: str) -> Iterator[str]:
        """List, a thousand keys per request."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._address.bucket, Prefix=prefix)
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"]
        except Exception as error:
            raise self._sentence(error, "listed", prefix or "The bucket") from error

    def remove(self, key: str) -> None:
        """DELETE an object."""
        try:
            answer = self._client.delete_object(Bucket=self._address.bucket, Key=key)
        except Exception as error:
            raise self._sentence(error, "deleted", key) from error
        http = answer["ResponseMetadata"]
        if http["HTTPStatusCode"] == 200 and http["HTTPHeaders"].get("content-type", "").startswith("text/html"):
            raise not_s3(self._address, "deleted", key)

    def sign(self, key: str, valid_s: int) -> str:
        """Sign a GET by the client's own credentials; temporary ones end the URL with themselves."""
        where = {"Bucket": self._address.bucket, "Key": key}
        try:
            return self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=valid_s)
        except Exception as error:
            raise self._sentence(error, "read", key) from error

    def close(self) -> None:
        """Close the pool."""
        self._client.close()

    def _write_parts(
        self, where: dict[str, Any], data: bytes, described: dict[str, Any], conditions: dict[str, Any]
    ) -> Any:
        """Send a large object in parts, a few at a time; what is left of a failed one is removed from the service."""
        upload = self._client.create_multipart_upload(**where, **described)["UploadId"]
        view = memoryview(data)

        def part(number: int) -> CompletedPartTypeDef:
            piece = bytes(view[(number - 1) * PART_BYTES : number * PART_BYTES])
            sent = self._client.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        try:
            with ThreadPoolExecutor(PARTS_AT_A_TIME, "part") as pool:
                parts = list(pool.map(part, range(1, -(-len(data) // PART_BYTES) + 1)))
            return self._client.complete_multipart_upload(
                **where, UploadId=upload, MultipartUpload={"Parts": parts}, **conditions
            )
        except BaseException:
            self._abort(where, upload)
            raise

    def _abort(self, where: dict[str, Any], upload: str) -> None:
        try:
            self._client.abort_multipart_upload(**where, UploadId=upload)
        except Exception:
            log.warning(
                "Parts of %s stay in %s until its lifecycle rule for unfinished uploads removes them.",
                where["Key"],
                self._address.where,
                exc_info=True,
            )

    def _sentence(self, error: Exception, act: Act, key: str) -> StorageError:
        """Return what went wrong as our error; raise again what is none of botocore's."""
        from botocore import exceptions as botocore_errors

        if isinstance(error, botocore_errors.ClientError):
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            said = error.response.get("Error", {})
            return refusal(
                self._address, act, key, code=said.get("Code", ""), status=status, message=said.get("Message", "")
            )
        if isinstance(error, botocore_errors.SSLError):
            return untrusted(self._address, act, key)
        if isinstance(error, botocore_errors.BotoCoreError):
            return unreachable(self._address, act, key, _WHY.get(type(error).__name__, type(error).__name__))
        raise error


_WHY = {
    "EndpointConnectionError": "nobody answers there, or the name is unknown",
    "ConnectTimeoutError": "nobody answers there in time",
    "ReadTimeoutError": "it stopped answering",
    "ConnectionClosedError": "it closed the connection",
    "ProxyConnectionError": "the proxy cannot be reached",
    "ResponseParserError": "its answer is none of an S3 service",
    "NoCredentialsError": "there are no credentials",
}


def _client(address: BucketAddress) -> S3Client:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise ConfigurationError(
            "Publishing to a bucket needs boto3, which is not installed: pip install 'zimage[s3]'."
        ) from error
    _keep_secrets_out_of_logs()
    try:
        session = boto3.session.Session(
            aws_access_key_id=_plain(address.access_key_id),
            aws_secret_access_key=_plain(address.secret_access_key),
            aws_session_token=_plain(address.session_token),
            region_name=address.region,
        )
        if session.get_credentials() is None:
            raise ConfigurationError(
                "There are no credentials for the bucket: set ZIMAGE_PUBLISH_ACCESS_KEY_ID and "
                "ZIMAGE_PUBLISH_SECRET_ACCESS_KEY, or give this machine an AWS profile or role."
            )
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": address.provider.addressing},
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=address.threads + PARTS_AT_A_TIME,
            connect_timeout=min(CONNECT_TIMEOUT_S, address.timeout_s),
            read_timeout=address.timeout_s,
            request_checksum_calculation=address.provider.checksums,
            response_checksum_validation="when_required",
            tcp_keepalive=True,
        )
        client: S3Client = session.client("s3", endpoint_url=address.endpoint, config=config)
        client.meta.events.register_last("before-call.s3", _send_at_once)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"{address.where} cannot be opened: {error}.") from error
    return client


def _send_at_once(params: dict[str, Any], **_: object) -> None:
    """Send bodies without asking first: `Expect: 100-continue` costs a round trip, or a second where nobody answers."""
    params["headers"].pop("Expect", None)


def _keep_secrets_out_of_logs() -> None:
    """At level DEBUG botocore logs every header, signatures and session tokens among them: no lower than INFO here."""
    for name in ("boto3", "botocore", "s3transfer"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _bare(etag: str) -> str:
    return etag.strip('"')


def _retried(answer: Any) -> bool:
    return bool(answer["ResponseMetadata"].get("RetryAttempts", 0))


def _condition(error: Exception) -> Sent | None:
    """Read an error of a conditional write: the condition did not hold, or such conditions are not known there."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return None
    code = error.response.get("Error", {}).get("Code", "")
    status = str(error.response["ResponseMetadata"].get("HTTPStatusCode", ""))
    if {code, status} & _UNSUPPORTED:
        return Sent(None, supported=False)
    if {code, status} & _CONDITIONS or code == "NoSuchKey":
        return Sent(None, _retried(error.response))
    return None
