"""Which tools may cut products out: our own, rembg, and those that other packages register.

A third party names its tool in its own pyproject:

    [project.entry-points."zimage.cutouts"]
    my_cutter = "my_package.cutter:create"        # create(options: Mapping[str, str]) -> Cutter

`ZIMAGE_CUTOUT` says which is used, `builtin` unless it is set. A name can be taken once; a second package that claims
it is refused, whoever comes first. A tool only says what is product; colours, trimming and checks are the same for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol, runtime_checkable

import numpy as np

from zimage_core.errors import ConfigurationError, ImageError, ZImageError
from zimage_core.imaging.cutout import CutOut, CutOutFailure, brings_its_own, cut_out
from zimage_core.imaging.given_matte import cut_out_by
from zimage_core.imaging.pixels import Photo, Plane, Rgb

GROUP: Final = "zimage.cutouts"
BUILTIN: Final = "builtin"
SHIPPED: Final[Mapping[str, str]] = {"rembg": "zimage_core.imaging.rembg_cutter:create"}


@runtime_checkable
class Cutter(Protocol):
    """A tool that tells product from backdrop. `fingerprint` names all that decides its answers (weights, version)."""

    @property
    def fingerprint(self) -> str:
        """Part of a kept cut-out's key: another fingerprint, another cut-out."""
        ...

    def alpha(self, rgb: Rgb) -> Plane:
        """Return (H, W) uint8, 255 = product, for a photo (H, W, 3) uint8 sRGB. The photo is not written to."""
        ...


def known_cutters(found: Iterable[EntryPoint] | None = None) -> dict[str, str]:
    """Return `module:function` of every tool by name, sorted, without importing any; `builtin` has none.

    Raises ConfigurationError when two packages claim the same name.
    """
    targets = {BUILTIN: "", **SHIPPED}
    for point in entry_points(group=GROUP) if found is None else found:
        if targets.setdefault(point.name, point.value) != point.value:
            package = point.dist.name if point.dist is not None else "an unnamed package"
            raise ConfigurationError(
                f"Package {package} registers a cut-out tool named '{point.name}' ({point.value}), but that name is "
                f"taken by {targets[point.name] or 'our own'}; rename or uninstall one of them."
            )
    return dict(sorted(targets.items()))


def create_cutter(name: str, options: Mapping[str, str]) -> Cutter | None:
    """Return the tool of that name, built with its options; None for `builtin`, which is a function (`cut_out`).

    Raises ConfigurationError: unknown name (the known ones are listed), a tool that cannot be imported or is none, or
    options that it refuses.
    """
    known = known_cutters()
    if name not in known:
        raise ConfigurationError(f"There is no cut-out tool named '{name}'; the known ones are {', '.join(known)}.")
    if name == BUILTIN:
        if options:
            raise ConfigurationError(
                f"The built-in cut-out takes no options, but ZIMAGE_CUTOUT_OPTIONS has {', '.join(sorted(options))}."
            )
        return None
    module_name, _, function = known[name].partition(":")
    try:
        create = getattr(importlib.import_module(module_name), function, None)
    except ImportError as error:
        raise ConfigurationError(f"The cut-out tool '{name}' cannot be loaded from {module_name}: {error}.") from error
    if not callable(create):
        raise ConfigurationError(f"The cut-out tool '{name}' names {known[name]}, which is not a function.")
    cutter = create(dict(options))
    if not isinstance(cutter, Cutter) or not isinstance(cutter.fingerprint, str):
        raise ConfigurationError(
            f"What {known[name]} creates is not a cut-out tool: it needs fingerprint (text) and alpha(rgb)."
        )
    return cutter


def cut_out_with(cutter: Cutter | None, photo: Photo) -> CutOut | CutOutFailure:
    """Return the product of a photo as that tool cuts it out, or why it cannot be had; None is our own.

    A photo that brings its own transparency is taken at its word whatever the tool. Raises ImageError where the tool
    fails on the photo or answers with something else than a matte of the photo's size.
    """
    if cutter is None or brings_its_own(photo):
        return cut_out(photo)
    try:
        alpha = cutter.alpha(photo.rgb.copy())
    except ZImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"The cut-out tool {cutter.fingerprint} failed on this photo: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(alpha, np.ndarray) or alpha.dtype != np.uint8 or alpha.shape != photo.rgb.shape[:2]:
        what = f"{alpha.dtype} {alpha.shape}" if isinstance(alpha, np.ndarray) else type(alpha).__name__
        raise ImageError(
            f"The cut-out tool {cutter.fingerprint} answered {what} instead of uint8 {photo.rgb.shape[:2]}."
        )
    return cut_out_by(photo, alpha)
