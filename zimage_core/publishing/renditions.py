"""One picture to one channel file: crop, scale down, label, encode within the limit, seal, sign, and read it all back.

A channel that allows no overlay gets the bare attempt. Transparency is kept where the channel takes it and the format
holds it; elsewhere the picture is laid over white. The channel's rules are held against the decoded bytes, not against
what we meant to write.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Channel, content_id
from zimage_core.domain.planning import AiLabel
from zimage_core.errors import ImageError, PublishError
from zimage_core.imaging.encode import FORMATS, Encoded, encode, encoder_fingerprint
from zimage_core.publishing.credentials import Credential, CredentialSigner, read_credential
from zimage_core.publishing.frames import Frame, RenditionRefusal, frame_of
from zimage_core.publishing.lint import broken_file_rules
from zimage_core.publishing.opened import opened
from zimage_core.publishing.seal import SealFacts, expected_seal, read_seal, seal_packet
from zimage_core.publishing.visible_label import Labelled, draw_visible_label, label_fingerprint
from zimage_core.publishing.white_ground import (
    FILL_TOLERANCE,
    MIN_WHITE_RATIO,
    WHITE_LEVEL,
    fill_ratio,
    white_background,
)

__all__ = ["RenditionBytes", "RenditionRefusal", "make_rendition", "rendition_id_of"]

_LATER = {"visible_label": False, "source_type": "exact", "signed_by": ""}  # facts that ids from before did not hold
# Levels, on average over the label's plate. At the formats' lowest quality photos differ by up to 7 and pure noise by
# 16; a label that is not there differs by 38 on the ground it shows least on (level 22), by 130 on a photo or on white.
_LABEL_TOLERANCE = 24.0


@dataclass(frozen=True, slots=True)
class RenditionBytes:
    """A finished channel file. `overlay_drawn` says whether it shows the finished picture or the bare attempt.

    `frame` is what of the master it shows; `label_box` hugs the letters of the visible AI label, in pixels of the file;
    `credential` is the C2PA credential as read back. Both are None where there is none.
    """

    channel: str
    data: bytes
    sha256: str
    media_type: str
    extension: str
    width_px: int
    height_px: int
    quality: int
    overlay_drawn: bool
    frame: Frame
    label_box: Box | None = None
    credential: Credential | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """What the file must turn out to be: pixels before encoding, the facts its labels tell, the label people see."""

    pixels: NDArray[np.uint8]
    channel: Channel
    facts: SealFacts
    label: Labelled | None
    required: frozenset[AiLabel]
    signer: CredentialSigner | None


def rendition_id_of(finished_key: str, channel: Channel, seal: SealFacts) -> str:
    """Return the id of a rendition before it is made: the pixels, the channel's rules, the labels, the encoder.

    Where and when the rules were looked up is not part of it; an encoder update is, and so is who signs
    (`seal.signed_by`). Signed bytes differ each time they are made: two files of one id show and say the same.
    """
    facts = dataclasses.asdict(seal)
    told = {name: fact for name, fact in facts.items() if name not in _LATER or fact != _LATER[name]}
    more = ([label_fingerprint()] if seal.visible_label else []) + (["alpha"] if channel.alpha_allowed else [])
    rules = channel.drawing_rules
    return content_id("rendition", finished_key, rules, told, encoder_fingerprint(channel.format), *more)


def make_rendition(
    attempt_rgb: NDArray[np.uint8],
    finished_rgb: NDArray[np.uint8],
    channel: Channel,
    *,
    seal: SealFacts,
    product_alpha: NDArray[np.uint8] | None = None,
    text_boxes: Sequence[Box] = (),
    required_labels: Collection[AiLabel] = (),
    signer: CredentialSigner | None = None,
) -> RenditionBytes | RenditionRefusal:
    """Return the channel's file of a picture, or why it gets none. Both arrays are sRGB uint8 masters of one size.

    They are (H, W, 3), or (H, W, 4) with straight alpha. `seal.text_drawn` is set here, from whether the channel gets
    the finished picture and that differs from the attempt. With `seal.visible_label` the label stands clear of
    `product_alpha` (H, W; None = not known) and of `text_boxes`, what the finished picture's texts cover; both are in
    pixels of the master. `required_labels` are those the file must turn out to carry, whatever `seal` says: without one
    of them it is refused. `signer` is the one whose fingerprint is `seal.signed_by`.

    Raises PublishError when the file cannot be signed, ConfigurationError when the label's font is missing.
    """
    overlay_drawn = channel.overlay_allowed and not np.array_equal(attempt_rgb, finished_rgb)
    facts = dataclasses.replace(seal, text_drawn=overlay_drawn)
    master = finished_rgb if channel.overlay_allowed else attempt_rgb
    frame = frame_of(master.shape[1], master.shape[0], channel)
    if isinstance(frame, RenditionRefusal):
        return frame
    pixels, label = _fit_for(frame.cut(master), channel), None
    if facts.visible_label:
        alpha = None if product_alpha is None else frame.cut(product_alpha)
        taken = [frame.map(box) for box in text_boxes] if overlay_drawn else ()
        label = draw_visible_label(pixels, language=channel.language, product_alpha=alpha, taken=taken)
        if label is None:
            reason = f"{channel.slug} wants an AI label people see, and product or texts reach into every corner."
            return RenditionRefusal(channel.slug, "no_free_corner", reason)
        pixels = label.pixels
    wanted = _Wanted(pixels, channel, facts, label, frozenset(required_labels), signer)
    try:
        encoded = _written(wanted)
    except ImageError as error:
        return RenditionRefusal(channel.slug, "too_many_bytes", error.sentence)
    credential = _broken_rule(encoded, wanted) or _kept_credential(encoded, wanted)
    if isinstance(credential, RenditionRefusal):
        return credential
    return RenditionBytes(
        channel=channel.slug,
        data=encoded.data,
        sha256=hashlib.sha256(encoded.data).hexdigest(),
        media_type=encoded.media_type,
        extension=encoded.extension,
        width_px=frame.width_px,
        height_px=frame.height_px,
        quality=encoded.quality,
        overlay_drawn=overlay_drawn,
        frame=frame,
        label_box=None if label is None else label.box,
        credential=credential,
    )


def _fit_for(pixels: NDArray[np.uint8], channel: Channel) -> NDArray[np.uint8]:
    """Return the pixels without alpha where all is opaque, and over white where the file may show no transparency."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    if int(alpha.min()) == 255:
        return np.ascontiguousarray(pixels[..., :3])
    if channel.alpha_allowed and channel.format != "jpeg" and channel.background != "white":
        return pixels
    over = pixels[..., :3].astype(np.uint16) * alpha + np.uint16(255) * (255 - alpha)
    return np.asarray((over + 127) // 255, dtype=np.uint8)


def _written(wanted: _Wanted) -> Encoded:
    """Return the sealed and, where somebody signs, signed file within the channel's limit. Raises ImageError."""
    channel, packet = wanted.channel, seal_packet(wanted.facts)
    encoded = encode(wanted.pixels, channel.format, max_bytes=channel.max_bytes, xmp=packet)
    if wanted.signer is None:
        return encoded
    signed = wanted.signer.sign(encoded.data, encoded.media_type, wanted.facts)
    grown = len(signed) - len(encoded.data)
    if len(signed) > channel.max_bytes:  # the signature's room is known now; a tenth more, for a longer time stamp
        room = channel.max_bytes - grown - grown // 10
        encoded = encode(wanted.pixels, channel.format, max_bytes=room, xmp=packet)
        signed = wanted.signer.sign(encoded.data, encoded.media_type, wanted.facts)
        if len(signed) > channel.max_bytes:
            raise ImageError(f"The signed file has {len(signed)} bytes; the limit is {channel.max_bytes} bytes.")
    return dataclasses.replace(encoded, data=signed)


def _broken_rule(encoded: Encoded, wanted: _Wanted) -> RenditionRefusal | None:
    """Return the first rule that the bytes break, read as if they were anybody's."""
    channel = wanted.channel
    height, width, depth = wanted.pixels.shape
    try:
        found = opened(encoded.data)
    except ImageError as error:
        return RenditionRefusal(channel.slug, "unreadable", f"The encoded file cannot be read again: {error.sentence}")
    photo = found.photo
    written = found.header.format, found.size_px, photo.alpha is not None
    meant = channel.format, (width, height), depth == 4
    if written != meant or FORMATS[channel.format].media_type != encoded.media_type:
        return RenditionRefusal(
            channel.slug, "unreadable", f"A {width} x {height} px {channel.format} was written, but {written} was read."
        )
    if not found.header.tagged_srgb:
        return RenditionRefusal(channel.slug, "not_srgb", "The file does not carry the sRGB profile that was written.")
    lost = _lost_label(encoded, wanted)
    if lost is not None:
        return RenditionRefusal(channel.slug, "label_lost", lost)
    decoded = photo.rgb
    if wanted.label is not None:
        box = wanted.label.plate
        shown, meant_rgb = (
            pixels[box.y_px : box.bottom_px, box.x_px : box.right_px, :3].astype(np.float32)
            for pixels in (decoded, wanted.pixels)
        )
        if float(np.abs(shown - meant_rgb).mean()) > _LABEL_TOLERANCE:
            return RenditionRefusal(channel.slug, "label_lost", "The visible AI label does not show in the file.")
        decoded = decoded.copy()
        decoded[box.y_px : box.bottom_px, box.x_px : box.right_px] = 255  # neither product nor a stain on white
    broken = next(broken_file_rules(encoded.data, found, channel, name=f"file.{encoded.extension}"), None)
    if broken is not None:
        return RenditionRefusal(channel.slug, broken.code, broken.sentence)
    return _broken_white_rule(decoded, channel) if channel.background == "white" else None


def _lost_label(encoded: Encoded, wanted: _Wanted) -> str | None:
    """Return a sentence about labels that were not written, do not read back, or are required and not there."""
    try:
        seal = read_seal(encoded.data)
    except PublishError as error:
        return error.sentence
    if seal != expected_seal(wanted.facts):
        return "The labels read back from the file are not those that were written."
    found = {
        "digital_source_type": bool(seal.digital_source_type),
        "aigc": bool(seal.aigc),
        "visible": wanted.label is not None,
    }
    missing = [label for label in sorted(wanted.required) if not found[label]]
    if missing:
        return f"{wanted.channel.slug} requires the label {', '.join(missing)}, which this file does not carry."
    return None


def _kept_credential(encoded: Encoded, wanted: _Wanted) -> Credential | RenditionRefusal | None:
    if wanted.signer is None:
        return None
    try:
        credential = read_credential(encoded.data, encoded.media_type)
    except PublishError as error:
        return RenditionRefusal(wanted.channel.slug, "label_lost", error.sentence)
    meant = expected_seal(wanted.facts).digital_source_type
    if credential is None or credential.state == "invalid" or credential.digital_source_type != meant:
        problems = ", ".join(credential.problems) if credential is not None else "it is not there"
        return RenditionRefusal(
            wanted.channel.slug,
            "label_lost",
            f"The content credential does not read back: {problems or 'other words'}.",
        )
    return credential


def _broken_white_rule(decoded: NDArray[np.uint8], channel: Channel) -> RenditionRefusal | None:
    border_level, share = white_background(decoded)
    if border_level < WHITE_LEVEL or share < MIN_WHITE_RATIO:
        return RenditionRefusal(
            channel.slug,
            "not_white",
            f"{channel.slug} wants pure white: the border's darkest level is {border_level:.0f} (at least "
            f"{WHITE_LEVEL}), and {share:.2%} of the background is white (at least {MIN_WHITE_RATIO:.1%}).",
        )
    filled = fill_ratio(decoded)
    if filled < channel.min_fill_ratio - FILL_TOLERANCE:
        return RenditionRefusal(
            channel.slug,
            "too_little_fill",
            f"The product fills {filled:.1%} of the frame; {channel.slug} wants at least {channel.min_fill_ratio:.0%}.",
        )
    return None
