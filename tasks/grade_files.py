"""Grade files: any picture, judged by the rubric as a shot would be, in as many processes as are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from zimage_core.domain import Category, Channel, Grade, SceneName
from zimage_core.errors import ConfigurationError, ImageError
from zimage_core.imaging.cutout import CutOut, CutOutFailure, cut_out
from zimage_core.imaging.pixels import read_photo
from zimage_core.quality.files import Claims, given_file
from zimage_core.quality.grade import grade
from zimage_core.quality.opinions import scorers_of
from zimage_core.quality.rubric import Rubric
from zimage_core.reporting.annotated import annotated_png
from zimage_core.settings import set_environment_defaults

_CHUNK = 4
"""Files handed to a process at once: the reference's pixels travel once with each such hand-over."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp")
"""What is taken from a folder; a file named singly is tried whatever its name."""


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What to judge files by. `annotate`: the folder for annotated PNGs; None = none are made."""

    rubric: Rubric
    reference: Path | None = None
    expected_texts: tuple[str, ...] = ()
    channel: Channel | None = None
    category: Category = "default"
    scene: SceneName | None = None
    palette: tuple[str, ...] = ()
    annotate: Path | None = None


@dataclass(frozen=True, slots=True)
class FileGrade:
    """One file's answer: its grade, or the sentence why there is none. `notes` say what was done to read it."""

    file: Path
    width_px: int | None = None
    height_px: int | None = None
    grade: Grade | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    annotated: Path | None = None


def pictures_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that these paths mean: a folder stands for the pictures in it and below, by name.

    Raises ConfigurationError: a path is not there, or a folder holds no pictures.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"There is no file {path}.")
        if path.is_dir():
            found = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURES and one.is_file())
            if not found:
                raise ConfigurationError(f"The folder {path} holds no pictures ({', '.join(PICTURES)}).")
            files += found
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def grade_files(files: Sequence[Path], order: FileOrder, *, processes: int = 1) -> Iterator[FileGrade]:
    """Yield the grade of each file, in order; a file that cannot be read is an answer with a sentence, not an error.

    Raises ConfigurationError when the reference photo cannot be cut out: every answer would rest on it.
    """
    claims = _claims(order)
    scorers_of(order.rubric)  # one that cannot be made is refused once, not once per file
    if processes <= 1 or len(files) <= 1:
        yield from (_graded(file, order, claims) for file in files)
        return
    set_environment_defaults(OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="1")  # one thread each, or they spin at each other
    with ProcessPoolExecutor(min(processes, len(files)), get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(_graded, files, repeat(order), repeat(claims), chunksize=_CHUNK)


def _claims(order: FileOrder) -> Claims:
    return Claims(
        reference=None if order.reference is None else _reference(order.reference),
        expected_texts=order.expected_texts,
        channel=order.channel,
        category=order.category,
        scene=order.scene,
        palette=order.palette,
    )


def _reference(path: Path) -> CutOut:
    try:
        found = cut_out(read_photo(path))
    except ImageError as error:
        raise ConfigurationError(f"The reference photo cannot be used: {error.sentence}") from error
    if isinstance(found, CutOutFailure):
        raise ConfigurationError(f"The reference photo {path.name} cannot be cut out: {found.reason}")
    return found


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _graded(file: Path, order: FileOrder, claims: Claims) -> FileGrade:
    try:
        photo = read_photo(file)
    except ImageError as error:
        return FileGrade(file, error=error.sentence)
    height_px, width_px = photo.rgb.shape[:2]
    given = given_file(photo, file.name, claims)
    judged = grade(given, order.rubric)
    annotated = None
    if order.annotate is not None:
        annotated = order.annotate / f"{file.stem}.{photo.sha256[:8]}.graded.png"
        annotated.parent.mkdir(parents=True, exist_ok=True)
        annotated.write_bytes(annotated_png(given.finished_rgb, judged))
    return FileGrade(file, width_px, height_px, judged, photo.notes, annotated=annotated)


def to_json(answer: FileGrade) -> dict[str, object]:
    """Return an answer as plain JSON values: file, size, letter, score, reasons and every finding with its numbers."""
    grade_of = answer.grade
    return {
        "file": str(answer.file),
        "width_px": answer.width_px,
        "height_px": answer.height_px,
        "letter": None if grade_of is None else grade_of.letter,
        "score": None if grade_of is None else grade_of.score,
        "rubric_hash": None if grade_of is None else grade_of.rubric_hash,
        "reasons": [] if grade_of is None else list(grade_of.reasons),
        "findings": [] if grade_of is None else [dataclasses.asdict(finding) for finding in grade_of.findings],
        "notes": list(answer.notes),
        "error": answer.error,
        "annotated": None if answer.annotated is None else str(answer.annotated),
    }
