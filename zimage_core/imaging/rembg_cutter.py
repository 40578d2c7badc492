"""rembg (github.com/danielgatis/rembg) as a cut-out tool, on a model file that is already on this machine.

    ZIMAGE_CUTOUT=rembg
    ZIMAGE_CUTOUT_OPTIONS={"model_path": "/models/isnet-general-use.onnx", "model": "dis_custom"}

`model` says how the file is to be fed: `u2net_custom` (the default; U2-Net and its kin, 320 px), `dis_custom` (IS-Net,
1024 px) or `ben_custom` (BEN2, 1024 px). rembg's other names fetch a file over the network, so they are not taken.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from zimage_core.errors import ConfigurationError
from zimage_core.imaging.pixels import Plane, Rgb

MODELS: Final = ("u2net_custom", "dis_custom", "ben_custom")
_OPTIONS: Final = ("model", "model_path")
_CHUNK_BYTES: Final = 1 << 20


class RembgCutter:
    """rembg with one model, loaded once. Its session is not shared between processes."""

    def __init__(self, rembg: Any, session: Any, fingerprint: str) -> None:
        self._rembg, self._session, self._fingerprint = rembg, session, fingerprint

    @property
    def fingerprint(self) -> str:
        """rembg's version, how the model is fed, and the model file's sha256."""
        return self._fingerprint

    def alpha(self, rgb: Rgb) -> Plane:
        """Return (H, W) uint8, 255 = product."""
        mask = self._rembg.remove(Image.fromarray(rgb), session=self._session, only_mask=True)
        return np.array(mask.convert("L"), dtype=np.uint8)


def create(options: Mapping[str, str]) -> RembgCutter:
    """Return rembg on the model file of `options`.

    Raises ConfigurationError: unknown options, no or no such model file, rembg not installed, a model it cannot load.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(f"rembg takes {' and '.join(_OPTIONS)} as options, not {', '.join(unknown)}.")
    model = options.get("model", MODELS[0])
    if model not in MODELS:
        raise ConfigurationError(f"rembg's model is '{model}'; it can be {', '.join(MODELS)}, which download nothing.")
    if not options.get("model_path"):
        raise ConfigurationError(
            "rembg needs a model file on this machine, because nothing is downloaded: give its path as model_path in "
            "ZIMAGE_CUTOUT_OPTIONS."
        )
    path = Path(options["model_path"]).expanduser()
    if not path.is_file():
        raise ConfigurationError(
            f"There is no model file {path} for rembg; correct model_path in ZIMAGE_CUTOUT_OPTIONS."
        )
    try:
        rembg = importlib.import_module("rembg")
    except ImportError as error:
        raise ConfigurationError(
            f"ZIMAGE_CUTOUT is rembg, but rembg cannot be imported ({error}); install zimage with its extra 'cutout'."
        ) from error
    try:
        session = rembg.new_session(model, model_path=str(path))
    except Exception as error:
        raise ConfigurationError(f"rembg cannot load {path} as {model}: {type(error).__name__}: {error}.") from error
    return RembgCutter(rembg, session, f"rembg-{version('rembg')}-{model}-{_sha256_of(path)[:16]}")


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
