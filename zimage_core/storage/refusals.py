"""What an S3 service answers when it does not do what we asked, as sentences for the person on call."""

from __future__ import annotations

from typing import Final, Literal

from zimage_core.errors import ObjectMissing, ObjectRefused, StorageError, StoreRefused
from zimage_core.storage.providers import BucketAddress

Act = Literal["written", "read", "listed", "deleted"]

_PERMISSIONS: Final[dict[Act, str]] = {
    "written": "s3:PutObject",
    "read": "s3:GetObject",
    "listed": "s3:ListBucket",
    "deleted": "s3:DeleteObject",
}
_ELSEWHERE = "the bucket is in another region than ZIMAGE_PUBLISH_REGION or the endpoint says"
_TEMPORARY_KEYS = "the temporary credentials have expired or are not valid; fetch new ones"
_REFUSALS: Final[dict[str, str]] = {
    "NoSuchBucket": "there is no such bucket; create it, or correct ZIMAGE_PUBLISH_TO and ZIMAGE_PUBLISH_REGION",
    "InvalidBucketName": "that is no name for a bucket; correct ZIMAGE_PUBLISH_TO",
    "InvalidAccessKeyId": "the service does not know this access key; is ZIMAGE_PUBLISH_ACCESS_KEY_ID another's?",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key (or a proxy changes what is sent); "
    "correct ZIMAGE_PUBLISH_SECRET_ACCESS_KEY",
    "ExpiredToken": _TEMPORARY_KEYS,
    "InvalidToken": _TEMPORARY_KEYS,
    "TokenRefreshRequired": _TEMPORARY_KEYS,
    "RequestTimeTooSkewed": "the clock of this machine is too far off (services allow 15 minutes); set it, by NTP",
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "301": _ELSEWHERE,
    "307": _ELSEWHERE,
    "SecondLevelDomainForbidden": "it takes no bucket in the path; name the provider in ZIMAGE_PUBLISH_PROVIDER",
    "AllAccessDisabled": "the account or bucket is closed; ask the provider",
    "UserDisable": "the account is closed or in arrears; ask the provider",
}
_AGAIN: Final = frozenset(
    ("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "BadDigest",
     "BandwidthLimitExceeded", "XAmzContentSHA256Mismatch", "IncompleteBody", "OperationAborted",
     "ConditionalRequestConflict", "408", "429")
)  # fmt: skip
_MISSING: Final = frozenset(("NoSuchKey", "404", "NotFound"))
_DENIED: Final = frozenset(("AccessDenied", "Forbidden", "403", "401", "Unauthorized"))


def refusal(address: BucketAddress, act: Act, key: str, *, code: str, status: int, message: str = "") -> StorageError:
    """Return the error for an answer of the service: its S3 error code ('' if none), HTTP status and own words.

    StoreRefused where no object would fare better, ObjectMissing, ObjectRefused for other 4xx, else StorageError.
    """
    code, key = code or str(status), address.short_key(key)
    if code in _MISSING:
        return ObjectMissing(f"{address.where} holds nothing under the key {key}.")
    begin = f"{key} could not be {act} in {address.where}"
    if code in _REFUSALS:
        return StoreRefused(f"{begin}: {_REFUSALS[code]}.")
    if code in _DENIED:
        return StoreRefused(
            f"{begin}: access denied. Let the access key do {_PERMISSIONS[act]} there"
            f"{' (and s3:ListBucket, without which a missing key is denied too)' if act == 'read' else ''}."
        )
    if "aws-chunked" in message:
        return StoreRefused(f"{begin}: it takes no aws-chunked bodies; name the provider in ZIMAGE_PUBLISH_PROVIDER.")
    if code in _AGAIN or status >= 500:
        return StorageError(f"{begin}, after every retry: the service answered {code}{_said(message)}.")
    return ObjectRefused(f"{begin}: the service answered {code}{_said(message)}.")


def unreachable(address: BucketAddress, act: Act, key: str, why: str) -> StorageError:
    """Return the error for a service that did not answer at all, or not to the end."""
    return StorageError(
        f"{address.short_key(key)} could not be {act} in {address.where}: {why}. Is ZIMAGE_PUBLISH_ENDPOINT right, and "
        "the network up?"
    )


def untrusted(address: BucketAddress, act: Act, key: str) -> StorageError:
    """Return the error for a server whose certificate this machine does not trust."""
    return StoreRefused(
        f"{address.short_key(key)} could not be {act} in {address.where}: its TLS certificate is not trusted here. "
        "Correct ZIMAGE_PUBLISH_ENDPOINT, or give the authority's certificate in AWS_CA_BUNDLE."
    )


def not_s3(address: BucketAddress, act: Act, key: str) -> StorageError:
    """Return the error for an answer that looks like success and is none: a gateway's page, say."""
    return StorageError(
        f"{address.short_key(key)} could not be {act} in {address.where}: the answer is none of an S3 service (a "
        "gateway's page?)."
    )


def _said(message: str) -> str:
    words = " ".join(message.split()).rstrip(".")
    return f" ({words[:200]})" if words else ""
