"""Whether a machine is fit: what the doctor asks, one function a question, each answered in sentences.

A check yields what it found, `Advice` where something works and could be better, and raises an error of ours whose
sentence says what to do where something does not work.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zimage_core.errors import ConfigurationError, PromptError, StorageError
from zimage_core.settings import Settings

OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 13)
"""What the package is made for; a newer one may lack wheels of onnxruntime or torch."""

MIN_FREE_GIB: Final = 2.0
"""About 1,500 shots with their layers and renditions (1.4 MB each as measured on the examples)."""

MIN_TEMP_GIB: Final = 0.5
"""Renditions of a batch and uploads on their way; a small tmpfs fills up and every task fails at once."""

KNOWN_GLYPHS: Final = "到手价满减限时包邮 ¥€$0123456789"
"""What badges and prices are made of; a font without Chinese draws boxes for the first nine."""

KNOWN_PRICE: Final = "59"


class Advice(str):
    """A sentence about something that works and could be better."""

    __slots__ = ()


def check_python(settings: Settings, version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Iterator[str]:
    """Say which Python this is. Raises ConfigurationError for one that is too old."""
    shown = ".".join(map(str, version[:3]))
    wanted = f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} to {NEWEST_PYTHON[0]}.{NEWEST_PYTHON[1]}"
    if version[:2] < OLDEST_PYTHON:
        raise ConfigurationError(f"This is Python {shown}; zimage needs {wanted}: make its environment anew with one.")
    if version[:2] > NEWEST_PYTHON:
        yield Advice(f"{shown} is newer than what zimage is tested with ({wanted})")
    else:
        yield shown


def check_disk(settings: Settings) -> Iterator[str]:
    """Say how much room there is where files are written. Raises StorageError for a folder that is full or not ours."""
    for folder, needed_gib in (
        (settings.work_dir, MIN_FREE_GIB),
        (settings.out_dir, MIN_FREE_GIB),
        (Path(tempfile.gettempdir()), MIN_TEMP_GIB),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"zimage")
        except OSError as error:
            raise StorageError(
                f"Nothing can be written to {folder} ({error.strerror}): give this account the right to, or choose "
                "another folder with ZIMAGE_WORK_DIR, ZIMAGE_OUT_DIR or TMPDIR."
            ) from error
        free_gib = shutil.disk_usage(folder).free / 2**30
        if free_gib < needed_gib:
            raise StorageError(
                f"{folder} has {free_gib:.1f} GiB free and a run needs {needed_gib:g} GiB or more: make room "
                "(`zimage releases --help` prunes old releases) or choose a larger disk."
            )
        yield f"{folder} ({free_gib:.0f} GiB free)"


def check_prompts(settings: Settings) -> Iterator[str]:
    """Say how many scenes and promotions there are. Raises PromptError when a file is wrong."""
    from zimage_core.prompting import PromptLibrary

    library = PromptLibrary.load(settings.prompts_dir)
    errors = [problem for problem in library.lint() if problem.severity == "error"]
    if errors:
        raise PromptError(f"{len(errors)} errors under {settings.prompts_dir}; run `zimage prompts lint`.")
    yield f"{len(library.scene_names)} scenes, {len(library.promotion_slugs)} promotions"


def check_fonts(settings: Settings) -> Iterator[str]:
    """Say which fonts texts are set in, after drawing what they must have. Raises ConfigurationError."""
    from zimage_core.imaging.fonts import DEBIAN_PACKAGE, find_font, missing_glyphs

    for family in ("sans", "serif"):
        for bold in (True, False):
            found = find_font(family, bold)
            if missing := missing_glyphs(KNOWN_GLYPHS, family, bold):
                raise ConfigurationError(
                    f"The font file {found.path} has no {missing}: it is damaged or cut down; install it again "
                    f"(`apt-get install --reinstall {DEBIAN_PACKAGE}`)."
                )
        yield found.name.rpartition(" ")[0]


def check_reading(settings: Settings) -> Iterator[str]:
    """Say which readers read a known price. Raises QualityError when the first cannot; the second is advised."""
    from zimage_core.quality.self_test import prove_readers

    first, _, second = prove_readers().partition("; ")
    yield first
    if KNOWN_PRICE in second:
        yield second
        return
    yield Advice(
        f"the second reader does not help: {second}; install it for doubtful prices (`apt-get install tesseract-ocr "
        "tesseract-ocr-chi-sim`), or look at TESSDATA_PREFIX"
    )
