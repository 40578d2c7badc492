"""An S3 service over a socket that believes nobody: it checks every signature, date and checksum, and fails on demand.

It is written from AWS's description of Signature V4, not from botocore, so that the two can disagree. What it leaves
out (multipart uploads, versions, ACLs) is tested on moto.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import numpy as np
from s3_on_moto import ACCESS_KEY, SECRET_KEY
from small_servers import Answer, Seen, SmallServer

Fault = Literal["slow_down", "drop_before", "drop_after", "stall"]
FAULTS: Final[tuple[Fault, ...]] = ("slow_down", "slow_down", "drop_before", "drop_after", "stall")
BUCKET: Final = "shop"
_CODES: Final = {
    "AccessDenied": 403,
    "BadDigest": 400,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "XAmzContentSHA256Mismatch": 400,
}


@dataclass
class Kept:
    """An object as it was stored."""

    data: bytes
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


@dataclass
class Manners:
    """How the service behaves. `share` of calls are spoilt by one of `faults`, drawn from `seed`.

    `conditions`: whether If-None-Match and If-Match are honoured, ignored, or answered 501. `clock_off`: what its clock
    is ahead of ours. `denied`: methods nobody may use. `damages`: how many of the next PUTs are stored with a bit off.
    `cuts`: how many of the next GETs break off. `page`: keys per listing. `host`: the name callers
    know it by, where a proxy that gives another stands before it.
    """

    share: float = 0.0
    faults: tuple[Fault, ...] = FAULTS
    seed: int = 0
    conditions: Literal["honoured", "ignored", "refused"] = "honoured"
    clock_off: timedelta = timedelta()
    denied: frozenset[str] = frozenset()
    damages: int = 0
    cuts: int = 0
    page: int = 1000
    host: str | None = None
    done: Counter[str] = field(default_factory=Counter)


class S3Server(SmallServer):
    """One bucket, `shop`. `created` and `sent` count by key: objects that came to be, and bodies that arrived whole."""

    def __init__(self, manners: Manners | None = None, **tls: object) -> None:
        super().__init__(self._answer, **tls)  # type: ignore[arg-type]
        self.manners = manners or Manners()
        self.objects: dict[str, Kept] = {}
        self.created: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self._rng = np.random.default_rng(self.manners.seed)
        self._storing = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------ one call

    def _answer(self, seen: Seen) -> Answer:
        fault = self._drawn()
        if fault == "slow_down":
            return refused("SlowDown")
        if fault == "drop_before":
            return Answer(drop=True)
        if fault == "stall":
            return Answer(stall=True)
        answer = self._kept_or_refused(seen)
        return Answer(drop=True) if fault == "drop_after" else answer

    def _drawn(self) -> Fault | None:
        with self._storing:
            if self._rng.random() >= self.manners.share:
                return None
            fault = self.manners.faults[int(self._rng.integers(len(self.manners.faults)))]
            self.manners.done[fault] += 1
            return fault

    def _kept_or_refused(self, seen: Seen) -> Answer:
        if self.manners.host is not None:
            seen.headers["host"] = self.manners.host
        code = signature_problem(seen, datetime.now(UTC) + self.manners.clock_off) or body_problem(seen)
        if code:
            return refused(code, seen.method)
        if seen.method in self.manners.denied:
            return refused("AccessDenied", seen.method)
        parts = urlsplit(seen.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return refused("NoSuchBucket", seen.method)
        if not key:
            return self._listing(dict(parse_qsl(parts.query, keep_blank_values=True)))
        with self._storing:
            return {"PUT": self._put, "GET": self._get, "HEAD": self._get, "DELETE": self._delete}[seen.method](
                seen, key
            )

    def _put(self, seen: Seen, key: str) -> Answer:
        self.sent[key] += 1
        there = self.objects.get(key)
        if_none, if_match = seen.headers.get("if-none-match"), seen.headers.get("if-match")
        if (if_none or if_match) and self.manners.conditions == "refused":
            return refused("NotImplemented")
        if self.manners.conditions == "honoured":
            if if_match and there is None:
                return refused("NoSuchKey")
            if (if_none and there) or (if_match and there and there.etag != if_match):
                return refused("PreconditionFailed")
        data = seen.body
        if self.manners.damages:
            self.manners.damages -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        kept = ("content-type", "cache-control")
        self.objects[key] = Kept(
            data, {k: v for k, v in seen.headers.items() if k in kept or k.startswith("x-amz-meta-")}
        )
        self.created[key] += 1
        return Answer(200, b"", {"ETag": self.objects[key].etag})

    def _get(self, seen: Seen, key: str) -> Answer:
        there = self.objects.get(key)
        if there is None:
            return refused("NoSuchKey", seen.method)
        headers = {**there.headers, "ETag": there.etag, "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
        if seen.method == "HEAD":
            return Answer(200, b"", {**headers, "Content-Length": str(len(there.data))})
        if "range" in seen.headers:
            first, _, last = seen.headers["range"].removeprefix("bytes=").partition("-")
            part = there.data[int(first) : int(last) + 1 if last else None]
            end = int(first) + len(part) - 1
            return self._cut(Answer(206, part, {**headers, "Content-Range": f"bytes {first}-{end}/{len(there.data)}"}))
        return self._cut(Answer(200, there.data, headers))

    def _cut(self, answer: Answer) -> Answer:
        if not self.manners.cuts:
            return answer
        self.manners.cuts -= 1
        return replace(answer, cut_bytes=len(answer.body) // 2)

    def _delete(self, seen: Seen, key: str) -> Answer:
        self.objects.pop(key, None)
        return Answer(204)

    def _listing(self, asked: dict[str, str]) -> Answer:
        after = asked.get("continuation-token", "")
        found = sorted((k for k in list(self.objects) if k.startswith(asked.get("prefix", ""))), key=str.encode)
        left = [key for key in found if key.encode() > after.encode()]
        page = left[: self.manners.page]
        more = len(left) > len(page)
        listed = "".join(
            f"<Contents><Key>{escape(quote(k) if 'encoding-type' in asked else k)}</Key>"
            f"<LastModified>2026-11-21T10:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag>"
            f"<Size>{len(self.objects[k].data)}</Size></Contents>"
            for k in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        encoding = "<EncodingType>url</EncodingType>" if "encoding-type" in asked else ""
        return _xml(
            200,
            f"<ListBucketResult><Name>{BUCKET}</Name>{encoding}<KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>",
        )


def refused(code: str, method: str = "PUT") -> Answer:
    """Return S3's error document for this code; a HEAD has the status alone."""
    if method == "HEAD":
        return Answer(_CODES[code], b"")
    return _xml(_CODES[code], f"<Error><Code>{code}</Code><Message>{code} it is.</Message></Error>")


def _xml(status: int, body: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>{body}'
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})


# ---------------------------------------------------------------- Signature V4


def body_problem(seen: Seen) -> str:
    """Return the S3 code for a body that is not what its checksums say; '' for none."""
    if "aws-chunked" in seen.headers.get("content-encoding", ""):
        return "InvalidArgument"
    said = seen.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if said != "UNSIGNED-PAYLOAD" and said != hashlib.sha256(seen.body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    crc = seen.headers.get("x-amz-checksum-crc32")
    if crc is not None and base64.b64decode(crc) != zlib.crc32(seen.body).to_bytes(4, "big"):
        return "BadDigest"
    return ""


def signature_problem(seen: Seen, now: datetime) -> str:
    """Return the S3 code for a call that is not signed by the one key there is, or not now; '' for none."""
    path, query = urlsplit(seen.path).path, parse_qsl(urlsplit(seen.path).query, keep_blank_values=True)
    asked = dict(query)
    presigned = "X-Amz-Signature" in asked
    if presigned:
        credential, signed, signature = (asked[f"X-Amz-{n}"] for n in ("Credential", "SignedHeaders", "Signature"))
        stamp, payload = asked["X-Amz-Date"], "UNSIGNED-PAYLOAD"
        query = [pair for pair in query if pair[0] != "X-Amz-Signature"]
    else:
        fields = dict(
            part.strip().split("=", 1)
            for part in seen.headers.get("authorization", "").removeprefix("AWS4-HMAC-SHA256").split(",")
            if "=" in part
        )
        if len(fields) != 3:
            return "AccessDenied"
        credential, signed, signature = fields["Credential"], fields["SignedHeaders"], fields["Signature"]
        stamp, payload = seen.headers["x-amz-date"], seen.headers["x-amz-content-sha256"]
    key_id, *scope = credential.split("/")
    if key_id != ACCESS_KEY:
        return "InvalidAccessKeyId"
    signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    valid = timedelta(seconds=int(asked["X-Amz-Expires"])) if presigned else timedelta(minutes=15)
    if now - signed_at > valid or signed_at - now > timedelta(minutes=15):
        return "AccessDenied" if presigned else "RequestTimeTooSkewed"
    canonical = "\n".join(
        (
            seen.method,
            path,
            "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query)),
            *(f"{name}:{' '.join(seen.headers.get(name, '').split())}" for name in signed.split(";")),
            "",
            signed,
            payload,
        )
    )
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    secret = f"AWS4{SECRET_KEY}".encode()
    for word in scope:
        secret = hmac.digest(secret, word.encode(), "sha256")
    expected = hmac.digest(secret, text.encode(), "sha256").hex()
    return "" if hmac.compare_digest(expected, signature) else "SignatureDoesNotMatch"
