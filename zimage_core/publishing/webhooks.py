"""What receivers are told of a release, and how it is signed: Standard Webhooks 1.0 (standardwebhooks.com).

An event holds as many images as fit into 20 kB, which is what the standard advises as the most; a release of more
images is several events, each with its part and with the URL of the manifest that holds all of them. An event's id is
the same for the same switch of the same release, so it is the receivers' idempotency key over retries, killed senders
and replays alike.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from standardwebhooks import Webhook

from zimage_core.domain import content_id
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import OutboxEvent
from zimage_core.publishing.manifest import Manifest, ManifestEntry, public_file_url

MAX_BODY_BYTES: Final = 20_000
"""The standard asks for less than 20 kB: "Payload size", https://github.com/standard-webhooks/standard-webhooks."""
SECRET_BYTES: Final = (24, 64)
"""Between 192 and 512 bits, as the standard says of symmetric secrets."""
_PREFIX: Final = "whsec_"
_TOKEN: Final = re.compile(r"(?!v\d+$)(?=.*\d).{4,}|.{20,}")
"""Parts of a path that services hand out as keys (`/services/T024BE7LD/B01…`): with a digit, or long; not `v1`."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told. `receiver_id` stands for the URL in the ledger; `name` is the URL without what may be secret: its
    query, and what looks like a token in its path.
    """

    receiver_id: str
    name: str
    url: SecretStr = field(repr=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """A release becoming the live one of its promotion, at a moment.

    `kind` is what the ledger calls it (published, rolled_back); the event's type is `images.` and that.
    """

    release_id: str
    promotion: str
    kind: str
    at: datetime


def receivers_of(urls: Sequence[str], *, private: bool) -> tuple[Receiver, ...]:
    """Return the receivers at these URLs, each once.

    Raises ConfigurationError for a URL that is not https (http is taken where `private` networks are allowed), and for
    one with a user or password in it, which would not be sent.
    """
    found: dict[str, Receiver] = {}
    for url in urls:
        try:
            parts = urlsplit(url)
            host, port, user = parts.hostname, parts.port, parts.username
        except ValueError:
            raise ConfigurationError("ZIMAGE_PUBLISH_WEBHOOK_URLS holds an address that cannot be read.") from None
        path = "/".join("***" if _TOKEN.fullmatch(part) else part for part in parts.path.split("/"))
        name = f"{parts.scheme}://{host or ''}{f':{port}' if port else ''}{path}"
        if not host or parts.scheme not in (("https", "http") if private else ("https",)):
            raise ConfigurationError(
                f"ZIMAGE_PUBLISH_WEBHOOK_URLS names {name}, which is no https address (http is taken only with "
                "ZIMAGE_PUBLISH_WEBHOOK_PRIVATE=true)."
            )
        if user is not None:
            raise ConfigurationError(
                f"ZIMAGE_PUBLISH_WEBHOOK_URLS names a user for {name}; leave it out, we are known by our signature."
            )
        receiver = Receiver(content_id("receiver", url), name, SecretStr(url))
        found.setdefault(receiver.receiver_id, receiver)
    return tuple(found.values())


def without_secrets(text: str, url: str) -> str:
    """Return a text without the parts of a receiver's URL that may be secret, should it repeat them."""
    parts = urlsplit(url)
    values = {parts.query, *(part.partition("=")[2] for part in parts.query.split("&"))}
    found = {value for value in values if len(value) > 3} | {p for p in parts.path.split("/") if _TOKEN.fullmatch(p)}
    for value in sorted(found, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def signers_of(secret: SecretStr) -> tuple[Webhook, ...]:
    """Return what signs with each of the secrets, which blanks part: the new one and the old one while they change.

    Raises ConfigurationError for a secret that is not `whsec_` and 24 to 64 bytes in base64.
    """
    signers = []
    for text in secret.get_secret_value().split():
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith(_PREFIX) or not SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]:
            raise ConfigurationError(
                f"ZIMAGE_PUBLISH_WEBHOOK_SECRET must be {_PREFIX} and {SECRET_BYTES[0]} to {SECRET_BYTES[1]} random "
                "bytes in base64; several are parted by blanks."
            )
        signers.append(Webhook(key))
    if not signers:
        raise ConfigurationError("ZIMAGE_PUBLISH_WEBHOOK_SECRET is empty: unsigned webhooks can be forged.")
    return tuple(signers)


def signed_headers(signers: Sequence[Webhook], event_id: str, body: str, at: datetime) -> dict[str, str]:
    """Return the headers of one try: the id of the event, the moment of this try, a signature for each secret."""
    moment = at.astimezone(UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signer.sign(event_id, moment, body) for signer in signers),
        "content-type": "application/json",
    }


def events_of(
    switch: Switch,
    manifest: Manifest,
    *,
    public_url: str | None,
    generated_at: Mapping[str, datetime] | None = None,
    passthrough: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[OutboxEvent, ...]:
    """Return the events that tell of a switch: every image of the manifest in one of them.

    `generated_at`: when the picture under a key was made, else the moment of the switch. `passthrough`: by SKU, what
    goes with each of its images as it is. An image that alone would be too large goes without it, marked `partial`.

    Raises ConfigurationError without a `public_url`: receivers could not fetch anything; PublishError for one that
    is no address.
    """
    if public_url is None:
        raise ConfigurationError(
            "Webhooks need ZIMAGE_PUBLISH_PUBLIC_URL: without it nobody can be told where images are."
        )
    images = [_image(switch, entry, public_url, generated_at or {}, passthrough or {}) for entry in manifest.entries]
    frame = {
        "promotion": switch.promotion,
        "releaseId": switch.release_id,
        "manifestUrl": public_file_url(public_url, manifest.key),
    }
    # `parts` is known only when all are packed; as many digits as there can be images are kept free for it
    room = MAX_BODY_BYTES - 2 * len(str(len(images)))
    batches = list(_packed(images, room - len(_body(switch, frame, 0, 0, []).encode())))
    return tuple(
        OutboxEvent(
            event_id=f"evt_{content_id(switch.promotion, switch.release_id, switch.kind, switch.at, part)}",
            release_id=switch.release_id,
            promotion=switch.promotion,
            body=_body(switch, frame, part, len(batches), batch),
        )
        for part, batch in enumerate(batches, 1)
    )


def _body(switch: Switch, frame: Mapping[str, str], part: int, parts: int, images: Sequence[object]) -> str:
    data = {**frame, "part": part, "parts": parts, "images": images}
    return _text({"type": f"images.{switch.kind}", "timestamp": _moment(switch.at), "data": data})


def _image(
    switch: Switch,
    entry: ManifestEntry,
    public_url: str,
    generated_at: Mapping[str, datetime],
    passthrough: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    image: dict[str, Any] = {
        "productId": entry.sku,
        "imageUrl": public_file_url(public_url, entry.key),
        "type": entry.scene,
        "generatedAt": _moment(generated_at.get(entry.key, switch.at)),
        "sku": entry.sku,
        "scene": entry.scene,
        "channel": entry.channel,
        "releaseId": switch.release_id,
        "alt": entry.alt_text,
        "sha256": entry.sha256,
        "width": entry.width_px,
        "height": entry.height_px,
        "mediaType": entry.media_type,
    }
    if entry.labels is not None:
        image["digitalSourceType"] = entry.labels.digital_source_type
    given = passthrough.get(entry.sku)
    return image | {"passthrough": dict(given)} if given else image


def _packed(images: Sequence[dict[str, Any]], room_bytes: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the images in as few lists as fit into `room_bytes` of JSON each, in order."""
    batch: list[dict[str, Any]] = []
    taken = 0
    for whole in images:
        image, size = whole, _bytes_of(whole)
        if size > room_bytes:
            image = {k: v for k, v in whole.items() if k not in ("passthrough", "alt")} | {"partial": True}
            size = _bytes_of(image)
        if batch and taken + size > room_bytes:
            yield batch
            batch, taken = [], 0
        batch.append(image)
        taken += size
    if batch:
        yield batch


def _bytes_of(image: Mapping[str, Any]) -> int:
    return len(_text(image).encode()) + 1  # and the comma


def _text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
