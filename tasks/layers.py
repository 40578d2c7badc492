"""The layers of a picture: reference photo → cut-out → attempt → finished. Each is kept under its content's key.

A layer that is already in the work store is read, not made again; a changed photo, overlay or attempt has another key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks.order import ProductionOrder
from tasks.runtime import Rooms, photo_root
from zimage_core.domain import Attempt, Overlay, PlacedText, Promise, content_id
from zimage_core.errors import ImageError
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CUTOUT_VERSION, CutOut, CutOutFailure, cutout_from_png, cutout_to_png
from zimage_core.imaging.cutters import Cutter, create_cutter, cut_out_with
from zimage_core.imaging.fonts import find_font
from zimage_core.imaging.given_matte import GIVEN_MATTE_VERSION, cut_out_by, matte_of
from zimage_core.imaging.overlay import OVERLAY_VERSION, paint_overlay
from zimage_core.imaging.pixels import Rgb, Rgba, decode_png, encode_png, read_photo, sha256_hex
from zimage_core.prompting import overlay_for

PNG = "image/png"


@dataclass(frozen=True, eq=False)
class Finished:
    """An attempt with its overlay drawn: the pixels before and after, where each text stands, the key of it all.

    `placed` is the product as it stands in the picture, where it had to be known: grading need not make it again.
    `overlay` is the layer the texts were painted on, premultiplied; None when there are none.
    """

    attempt_rgb: Rgb
    rgb: Rgb
    texts: tuple[PlacedText, ...]
    key: str
    placed: Rgba | None = None
    overlay: Rgba | None = None


def cutout_of(rooms: Rooms, promise: Promise, order: ProductionOrder) -> CutOut | CutOutFailure | None:
    """Return the cut-out of the promise's reference photo, from the store or made now; None when it has no photo.

    A matte that the catalogue brings is taken at its word; else the tool of the settings cuts out. Raises ImageError
    when the photo or the matte is gone, or is no longer the one that was promised from; ConfigurationError when the
    tool cannot be used here.
    """
    shot = promise.shot
    if shot.reference is None or shot.reference_sha256 is None:
        return None
    cutter = None if shot.matte_sha256 else _cutter(rooms.settings.cutout, tuple(rooms.settings.cutout_options.items()))
    key = f"cutouts/{shot.reference_sha256[:16]}-{_how(shot.matte_sha256, cutter)}"
    if rooms.work.exists(f"{key}.png"):
        return _kept_cutout(rooms, f"{key}.png")
    if rooms.work.exists(f"{key}.json"):
        kept = json.loads(rooms.work.get(f"{key}.json"))
        return CutOutFailure(kept["code"], kept["reason"])
    megapixels, sku, folder = rooms.settings.max_photo_megapixels, promise.product.sku, photo_root(order)
    photo = read_photo(_photo_bytes(folder / shot.reference, shot.reference_sha256, sku), max_megapixels=megapixels)
    if shot.matte is not None and shot.matte_sha256 is not None:
        matte = _photo_bytes(folder / shot.matte, shot.matte_sha256, sku, "matte")
        made = cut_out_by(photo, matte_of(matte, photo, max_megapixels=megapixels))
    else:
        made = cut_out_with(cutter, photo)
    if isinstance(made, CutOutFailure):
        kept_failure = json.dumps({"code": made.code, "reason": made.reason}, ensure_ascii=False).encode()
        rooms.work.put(f"{key}.json", kept_failure, content_type="application/json")
    else:
        rooms.work.put(f"{key}.png", cutout_to_png(made), content_type=PNG)
    return made


def _how(matte_sha256: str | None, cutter: Cutter | None) -> str:
    """Return what names a way of cutting out: our own by its version, another by its matte or tool and ours."""
    if matte_sha256 is not None:
        return content_id("matte", matte_sha256, GIVEN_MATTE_VERSION)
    if cutter is not None:
        return content_id("cutter", cutter.fingerprint, GIVEN_MATTE_VERSION)
    return CUTOUT_VERSION


@lru_cache(maxsize=1)
def _cutter(name: str, options: tuple[tuple[str, str], ...]) -> Cutter | None:
    """A tool may hold a model, so it is built once per process."""
    return create_cutter(name, dict(options))


@lru_cache(maxsize=16)
def _kept_cutout(rooms: Rooms, key: str) -> CutOut:
    """A product's scenes follow each other, so a few decoded cut-outs are kept in memory."""
    return cutout_from_png(rooms.work.get(key))


def _photo_bytes(path: Path, sha256: str, sku: str, kind: str = "photo") -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The {kind} {path.name} cannot be read any more: {error.strerror}.", sku=sku) from error
    if sha256_hex(data) != sha256:
        raise ImageError(f"The {kind} {path.name} was changed since the catalogue was read; run again.", sku=sku)
    return data


def keep_attempt(rooms: Rooms, attempt_id: str, rgb: Rgb) -> tuple[str, str]:
    """Store an attempt's pixels as PNG and return its key and sha256. Bytes first, then the ledger's row."""
    data = encode_png(rgb)
    key = f"attempts/{attempt_id[:2]}/{attempt_id}.png"
    rooms.work.put(key, data, content_type=PNG)
    return key, sha256_hex(data)


def attempt_pixels(rooms: Rooms, attempt: Attempt) -> Rgb:
    """Return the kept pixels (height_px, width_px, 3) of an attempt that was made, proved to be the ones it made.

    Raises ImageError when they are not; ObjectMissing when they are gone.
    """
    if attempt.object_key is None:
        raise ImageError("This attempt has no pixels: its engine failed.", shot_id=attempt.shot_id)
    data = rooms.work.get(attempt.object_key)
    if sha256_hex(data) != attempt.sha256:
        raise ImageError(
            f"The kept picture {attempt.object_key} is damaged: its bytes are not the ones the ledger recorded. "
            "Put the file back from a backup of the work folder.",
            shot_id=attempt.shot_id,
            attempt=attempt.number,
        )
    return decode_png(data)


def overlay_of(rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> Overlay:
    """Return what the promotion writes over this attempt; nothing where no channel of the shot or no room allows it."""
    wanted = rooms.library.promotion(promotion)
    overlay = overlay_for(
        promise.product,
        wanted,
        rooms.library.brand(wanted.brand),
        language=wanted.language,
        layout=attempt.change.layout,
    )
    allowed = any(rooms.channels[slug].overlay_allowed for slug in promise.channels)
    if allowed and promise.shot.scene.stage.text_room != "none":
        return overlay
    return Overlay((), overlay.badge_color, overlay.badge_text_color, overlay.price_color, overlay.font)


def finished_key_of(attempt: Attempt, overlay: Overlay) -> str:
    """Return the key of an attempt under an overlay, without drawing it."""
    if not overlay.texts:
        return content_id("finished", attempt.sha256)
    return content_id("finished", attempt.sha256, overlay, OVERLAY_VERSION, *_fonts(overlay))


def _fonts(overlay: Overlay) -> tuple[str, str]:
    """The font files decide pixels, so they are part of the key."""
    return find_font(overlay.font, bold=True).fingerprint, find_font(overlay.font, bold=False).fingerprint


def finish(rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str, cutout: CutOut | None) -> Finished:
    """Draw the promotion's overlay over an attempt's pixels, beside the product wherever the scene leaves room."""
    rgb = attempt_pixels(rooms, attempt)
    overlay = overlay_of(rooms, promise, attempt, promotion)
    key = finished_key_of(attempt, overlay)
    if not overlay.texts:
        return Finished(rgb, rgb, (), key)
    placed = None
    if cutout is not None and attempt.placement is not None:
        placed = placed_premultiplied(cutout, attempt.placement, rgb.shape[1], rgb.shape[0])
    alpha = None if placed is None else placed[..., 3].copy()
    layer, texts = paint_overlay(
        rgb.shape[1], rgb.shape[0], overlay, product_alpha=alpha, text_room=promise.shot.scene.stage.text_room
    )
    return Finished(rgb, paste_premultiplied(rgb, layer), texts, key, placed, layer)
