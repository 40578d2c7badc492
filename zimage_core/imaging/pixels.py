"""Reading photos safely, and the few pixel operations that every other module of this room stands on.

A photo is foreign data: its header is checked (format, size) before anything is decoded, and whatever is wrong with it
becomes one ImageError sentence. After `read_photo` there is only one kind of picture: upright, sRGB, 8 bit, RGB, with
any transparency beside it.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from zimage_core.errors import ImageError
from zimage_core.imaging.jpeg_scans import MAX_SCANS, scan_count

cv2.setNumThreads(1)  # parallelism is one process per core; OpenCV's own threads would only fight over them

Rgb = NDArray[np.uint8]
"""(H, W, 3) uint8, sRGB, RGB order."""
Rgba = NDArray[np.uint8]
"""(H, W, 4) uint8, sRGB, straight (not premultiplied) alpha last."""
Plane = NDArray[np.uint8]
"""(H, W) uint8: an alpha matte, 255 = opaque."""
Float = NDArray[np.float32]
"""float32 pixels or planes, of the shape and range the function says."""

FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP")
MAX_SIDE_PX: Final = 32_000
"""OpenCV's geometry works with 16-bit coordinates (SHRT_MAX = 32767)."""
MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_PNG_MEGAPIXELS: Final = 100.0
_DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,
    struct.error,
    UserWarning,
)
"""What Pillow's decoders raise at damaged or hostile bytes (found by damaging files on purpose; a UserWarning where
warnings are errors)."""
_SAVE_AGAIN: Final = "open it in an image program and save it again"
_REDUCE: Final = "reduce it first"
_EXIF_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag 0x0112: what turns each stored orientation upright."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo: `rgb` (H, W, 3), `alpha` (H, W) or None where opaque; `sha256` names the file's bytes.

    `notes` are sentences about what was done to read it (turned upright, profile converted, first frame taken).
    """

    rgb: Rgb
    alpha: Plane | None
    sha256: str
    notes: tuple[str, ...] = ()


def sha256_hex(data: bytes) -> str:
    """Return the sha256 of the bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- reading


def read_photo(source: Path | bytes, *, max_megapixels: float = 80.0) -> Photo:
    """Return a product photo from a file or its bytes: upright, sRGB, 8 bit, transparency apart.

    The header is read first: unknown formats and pictures above `max_megapixels` are refused before they are decoded.
    JPEG, PNG, WebP, AVIF, TIFF and BMP are taken, in grey, palette, RGB, CMYK and 16 bit; of several frames the first.

    Raises ImageError: unreadable, damaged, too large, or in a form that has no one meaning (floating point, Lab).
    """
    data = _bytes_of(source)
    name = source.name if isinstance(source, Path) else "the photo"
    if scan_count(data) > MAX_SCANS:
        raise ImageError(f"{name} is a JPEG of more than {MAX_SCANS} scans and was not decoded; {_SAVE_AGAIN}.")
    notes: list[str] = []
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_size(opened.size, max_megapixels, name)
            _note_frames(opened, notes)
            opened.load()
            upright = _upright(opened, notes)
            rgb, alpha = _to_srgb(upright, name, notes)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name} is far above {max_megapixels:g} megapixels and was not decoded; {_REDUCE}.") from None
    except UnidentifiedImageError:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ImageError(f"{name} is not a readable {known} picture; save it as one of these.") from None
    except _DAMAGED as error:
        what = str(error).rstrip(".") or type(error).__name__
        raise ImageError(f"{name} is damaged and cannot be decoded: {what}; ask for the file again.") from error
    return Photo(rgb=rgb, alpha=alpha, sha256=sha256_hex(data), notes=tuple(notes))


def _bytes_of(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        if source.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{source.name} is larger than {MAX_FILE_BYTES >> 20} MiB and was not read; {_REDUCE}.")
        return source.read_bytes()
    except OSError as error:
        raise ImageError(f"{source.name} cannot be read: {error.strerror or error}.") from error


def _check_size(size: tuple[int, int], max_megapixels: float, name: str) -> None:
    width_px, height_px = size
    megapixels = width_px * height_px / 1e6
    if megapixels > max_megapixels:
        raise ImageError(
            f"{name} is {width_px} x {height_px} ({megapixels:.1f} megapixels), above the limit of "
            f"{max_megapixels:g}; it was not decoded; {_REDUCE}."
        )
    if max(size) > MAX_SIDE_PX:
        raise ImageError(
            f"{name} is {width_px} x {height_px}: a side is above {MAX_SIDE_PX} px; it was not decoded; {_REDUCE}."
        )


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    """Note that there are more frames than the one that is used.

    The frames of a TIFF are a chain that Pillow walks to its end to count them, in quadratic time: so only the next one
    is looked for. Nothing that is wrong with later frames matters.
    """
    if image.format != "TIFF":
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            notes.append(f"It has {frames} frames; only the first is used.")
        return
    try:
        image.seek(1)
    except _DAMAGED:
        more = False
    else:
        more = True
    image.seek(0)
    if more:
        notes.append("It has several pages; only the first is used.")


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation (JPEG, WebP, PNG, AVIF; Pillow's TIFF reader has already applied its own)."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except _DAMAGED:
        notes.append("Its EXIF block is damaged and was ignored.")
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    notes.append(f"Turned upright (EXIF orientation {orientation}).")
    return image.transpose(turn)


def _to_srgb(image: Image.Image, name: str, notes: list[str]) -> tuple[Rgb, Plane | None]:
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_rounded_16_bit(image), mode=None)
        notes.append("16-bit grey was rounded to 8 bits.")
    if image.mode in {"I", "F", "LAB", "HSV"}:
        raise ImageError(
            f"{name} is stored as {image.mode} pixels, which have no one meaning as colour; save it as RGB."
        )
    profile = image.info.get("icc_profile")
    alpha: Plane | None = None
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        plane = np.array(with_alpha.getchannel("A"), dtype=np.uint8)
        alpha = plane if int(plane.min(initial=255)) < 255 else None
        image = with_alpha.convert("RGB")
    elif image.mode not in {"L", "RGB", "CMYK"}:
        image = image.convert("RGB")
    converted = _apply_profile(image, profile, notes) if profile else None
    if converted is None:
        if image.mode == "CMYK":
            notes.append("CMYK without a usable profile was converted by the plain formula; colours may differ.")
        converted = image
    return rgb_of(converted), alpha


def rgb_of(image: Image.Image) -> Rgb:
    """Return the (H, W, 3) pixels of a Pillow image; transparency, if any, is dropped.

    Pillow keeps four bytes per pixel: they are taken as they lie, three times as fast as asking for three.
    """
    whole = image if image.mode == "RGB" else image.convert("RGB")
    stored = np.frombuffer(whole.tobytes("raw", "RGBX"), dtype=np.uint8).reshape(whole.height, whole.width, 4)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def _rounded_16_bit(image: Image.Image) -> Plane:
    deep = np.asarray(image).astype(np.float32)
    return np.asarray(np.rint(deep / np.float32(257.0)), dtype=np.uint8)


_SPACE_OF_MODE: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}


def _apply_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """Return the image in sRGB (relative colorimetric, black point compensated), None where the profile is of no use.

    A profile whose effect is at most one level anywhere is sRGB under another name: the pixels stay as they are.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space != _SPACE_OF_MODE[image.mode]:
            notes.append(f"Its colour profile is for {space}, not for its {image.mode} pixels, and was ignored.")
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode == "RGB" and _is_identity(transform):
            return image
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("Its colour profile is damaged and was ignored; the pixels are taken as sRGB.")
        return None
    notes.append(f"Converted to sRGB from '{ImageCms.getProfileDescription(source).strip()}'.")
    return converted


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
    answer = ImageCms.applyTransform(Image.fromarray(cube), transform)
    if answer is None:
        return False
    return int(np.abs(np.asarray(answer).astype(np.int16) - cube.astype(np.int16)).max()) <= 1


# ---------------------------------------------------------------- PNG, our own format between rooms


def encode_png(rgb: Rgb) -> bytes:
    """Return lossless PNG bytes of an (H, W, 3) image: the same pixels give the same bytes."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ImageError(f"encode_png takes (H, W, 3) uint8 pixels, not {rgb.shape} {rgb.dtype}.")
    done, buffer = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 2])
    if not done:
        raise ImageError("The picture could not be encoded as PNG.")
    return bytes(buffer.tobytes())


def decode_png(data: bytes) -> Rgb:
    """Return the (H, W, 3) pixels of a PNG; transparency, if any, is dropped. Raises ImageError if it is damaged."""
    return rgb_of(open_png(data))


def open_png(data: bytes) -> Image.Image:
    """Return a PNG decoded by Pillow, with its text chunks in `.info`. Raises ImageError."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
            _check_size(opened.size, _PNG_MEGAPIXELS, "the PNG")
            opened.load()
            return opened
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("The PNG is too large and was not decoded.") from None
    except UnidentifiedImageError:
        raise ImageError("These bytes are not a PNG.") from None
    except _DAMAGED as error:
        raise ImageError(f"The PNG is damaged: {error}.") from error


# ---------------------------------------------------------------- size


def resize(image: NDArray[Any], width_px: int, height_px: int) -> NDArray[Any]:
    """Return an (H, W) or (H, W, C) image at a new size, dtype kept (uint8 or float32).

    Shrinking averages areas, enlarging is Lanczos (uint8) or cubic (float32), each axis by its own direction: OpenCV's
    Lanczos and cubic do not filter before they shrink and alias (measured 12 dB on a zone plate), area does not.
    Straight alpha must not pass through here: see `resize_rgba`.
    """
    if width_px < 1 or height_px < 1:
        raise ImageError(f"A picture cannot be resized to {width_px} x {height_px}.")
    height, width = image.shape[:2]
    if (width, height) == (width_px, height_px):
        return image.copy()
    smaller = (min(width, width_px), min(height, height_px))
    if smaller != (width, height):
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (width_px, height_px):
        up = cv2.INTER_LANCZOS4 if image.dtype == np.uint8 else cv2.INTER_CUBIC
        image = cv2.resize(image, (width_px, height_px), interpolation=up)
    return image


def resize_rgba(rgba: Rgba, width_px: int, height_px: int) -> Rgba:
    """Return straight-alpha RGBA at a new size; colours are weighted by alpha so that no backdrop bleeds in."""
    alpha = rgba[..., 3:].astype(np.float32) / np.float32(255.0)
    premultiplied = np.concatenate([rgba[..., :3].astype(np.float32) * alpha, alpha], axis=-1)
    sized = resize(premultiplied, width_px, height_px)
    cover = np.clip(sized[..., 3:], 0.0, 1.0)
    colour = sized[..., :3] / np.maximum(cover, np.float32(1e-4))
    straight = np.concatenate([np.clip(colour, 0, 255), cover * np.float32(255.0)], axis=-1)
    rounded = np.asarray(np.rint(straight), dtype=np.uint8)
    return rounded * (rounded[..., 3:] > 0)


# ---------------------------------------------------------------- colour


def _decode_curve() -> Float:
    """IEC 61966-2-1 (sRGB), eq. 5 and 6: the 256 levels as linear light 0..1."""
    level = np.arange(256, dtype=np.float64) / 255.0
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def _encode_curve() -> Plane:
    """The inverse, for 65536 steps of linear light: the steepest part has 20 steps to a level."""
    linear = np.arange(65_536, dtype=np.float64) / 65_535.0
    level = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(level * 255.0), dtype=np.uint8)


_TO_LINEAR: Final = _decode_curve()
_FROM_LINEAR: Final = _encode_curve()


def to_linear(levels: NDArray[np.uint8]) -> Float:
    """Return sRGB levels (any shape) as linear light 0..1, float32."""
    return _TO_LINEAR[levels]


def from_linear(linear: Float) -> NDArray[np.uint8]:
    """Return linear light (any shape; clipped to 0..1) as sRGB levels."""
    steps = np.clip(linear, 0.0, 1.0) * np.float32(65_535.0) + np.float32(0.5)
    return _FROM_LINEAR[steps.astype(np.uint16)]


def to_lab(rgb: Rgb) -> Float:
    """Return CIELAB (D65; L 0..100, a and b about -127..127) of an (H, W, 3) sRGB image, float32."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB), dtype=np.float32)
