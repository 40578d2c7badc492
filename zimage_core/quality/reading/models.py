"""The reading models: PP-OCRv6 small, which lies inside the installed rapidocr package; no network is needed.

One session each per process, loaded when first used, one thread: a worker per core is faster than threads (1.9x slower
with two of each).
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.errors import QualityError
from zimage_core.imaging.pixels import Rgb

Kind = Literal["rec", "det"]


class Models:
    """Opens each model once, on first use; may be shared between threads."""

    def __init__(self, models_dir: Path | None = None) -> None:
        self._models_dir = models_dir
        self._lock = threading.Lock()
        self._sessions: dict[Kind, Any] = {}

    def run(self, kind: Kind, rgb: Rgb) -> NDArray[np.float32]:
        """Return the model's first output for one picture (H, W, 3), without the batch axis.

        Raises QualityError when the model is not on this machine.
        """
        session = self.session(kind)
        output = session.run(None, {session.get_inputs()[0].name: _as_input(rgb)})
        first: NDArray[np.float32] = np.asarray(output[0], dtype=np.float32)[0]
        return first

    def session(self, kind: Kind) -> Any:
        """Return the onnxruntime session of a model, opened once."""
        with self._lock:
            if kind not in self._sessions:
                self._sessions[kind] = open_session(self._models_dir or _installed_models(), kind)
            return self._sessions[kind]


def open_session(models_dir: Path, kind: Kind) -> Any:
    """Return a new onnxruntime session of one thread. Raises QualityError when the folder holds no such model."""
    found = sorted(models_dir.glob(f"PP-OCR*_{kind}_small.onnx"))
    if not found:
        raise QualityError(f"Text cannot be read back: {models_dir} holds no PP-OCR {kind} model.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(found[-1]), options, providers=["CPUExecutionProvider"])


def _installed_models() -> Path:
    """Return the model folder of the installed rapidocr package, found without importing it."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        raise QualityError("Text cannot be read back: the package rapidocr, which holds the models, is not installed.")
    return Path(next(iter(spec.submodule_search_locations))) / "models"


def _as_input(rgb: Rgb) -> NDArray[np.float32]:
    """Return (1, 3, H, W) float32 in -1..1, blue first: how PP-OCR was trained."""
    scaled = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)
