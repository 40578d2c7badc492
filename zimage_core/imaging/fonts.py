"""The fonts that overlay text is set in: Noto Sans and Noto Serif CJK, simplified Chinese forms.

They are looked for in the folders where distributions put them, then by asking fontconfig. A substitute is never
taken in silence: another font means other pixels and other line breaks, so its absence is an error that names the
package. `FontFile.fingerprint` names all that decides glyph pixels.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import PIL
from PIL import ImageFont, features

from zimage_core.errors import ConfigurationError

Family = Literal["sans", "serif"]

DEBIAN_PACKAGE = "fonts-noto-cjk"

# Family names whose glyphs are the same design: Google's Noto CJK and its Adobe twin Source Han.
_NAMES: dict[Family, tuple[str, ...]] = {
    "sans": ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    "serif": ("Noto Serif CJK SC", "Noto Serif SC", "Source Han Serif SC", "Source Han Serif CN"),
}
_FOLDERS = (
    "/usr/share/fonts/opentype/noto",  # Debian, Ubuntu
    "/usr/share/fonts/noto-cjk",  # Arch, Alpine
    "/usr/share/fonts/google-noto-sans-cjk-fonts",  # Fedora
    "/usr/share/fonts/google-noto-serif-cjk-fonts",
    "/usr/local/share/fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "~/.local/share/fonts",
)
_FACES_PER_FILE = 16  # a Noto CJK collection holds ten

# Latin families of unlike design that distributions and makers install: what printed letters are compared with
_LATIN_FOLDERS = ("/usr/share/fonts/truetype", "/usr/share/fonts/TTF", "/System/Library/Fonts/Supplemental")
_LATIN_FILES = frozenset(
    f"{family}{style}".lower()
    for families, styles in (
        (("DejaVuSans", "DejaVuSerif"), ("", "-Bold")),
        (("DejaVuSansCondensed", "DejaVuSansMono"), ("-Bold",)),
        (("DejaVuSans",), ("-Oblique", "-BoldOblique")),
        (("DejaVuSerif",), ("-Italic", "-BoldItalic")),
        (("LiberationSans", "LiberationSerif", "LiberationSansNarrow"), ("-Regular", "-Bold", "-BoldItalic")),
        (("Arial", "Georgia", "Times New Roman", "Impact", "Futura", "Verdana"), ("", " Bold")),
    )
    for family in families
    for style in styles
)


@dataclass(frozen=True, slots=True)
class FontFile:
    """One face: the file, its index inside a collection, its name, and what decides its pixels."""

    path: Path
    index: int
    name: str
    fingerprint: str


@lru_cache(maxsize=8)
def find_font(family: Family, bold: bool) -> FontFile:
    """Return the face for a family and weight, found once per process.

    Raises ConfigurationError naming the package to install when it is not on this machine.
    """
    style = "Bold" if bold else "Regular"
    for path in (*_known_files(family), *_asked_of_fontconfig(family, style)):
        for index, face in enumerate(_faces(path)):
            if face in {(name, style) for name in _NAMES[family]}:
                return FontFile(path, index, f"{face[0]} {style}", _fingerprint(path, index))
    raise ConfigurationError(
        f"The font {_NAMES[family][0]} {style}, which badges and prices are set in, is not on this machine. "
        f"Install it: `apt-get install {DEBIAN_PACKAGE}` (Debian, Ubuntu) or `brew install --cask "
        f"font-noto-{family}-cjk-sc` (macOS)."
    )


@lru_cache(maxsize=256)
def load_font(family: Family, bold: bool, size_px: int) -> ImageFont.FreeTypeFont:
    """Return the face at an em size in pixels, with basic layout: the same glyph positions with and without raqm."""
    font = find_font(family, bold)
    return ImageFont.truetype(str(font.path), size_px, index=font.index, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def printed_faces() -> tuple[FontFile, ...]:
    """Return the faces on this machine that printed text is compared with: the four Noto CJK, then Latin ones found.

    Raises ConfigurationError when Noto CJK is not installed; a missing Latin family is only a design less to compare.
    """
    faces = [find_font(family, bold) for family in ("sans", "serif") for bold in (True, False)]
    for folder in map(Path, _LATIN_FOLDERS):
        for path in sorted(folder.glob("**/*.ttf")) if folder.is_dir() else ():
            if path.stem.lower() in _LATIN_FILES:
                faces += [FontFile(path, 0, f"{name} {style}", path.name) for name, style in list(_faces(path))[:1]]
    return tuple(faces)


def missing_glyphs(text: str, family: Family, bold: bool) -> str:
    """Return the characters of `text` that the face cannot draw (they would come out as boxes), each once, in order."""
    font = load_font(family, bold, 32)
    blank = bytes(font.getmask("\uffff"))  # a noncharacter: always the .notdef box
    return "".join(c for c in dict.fromkeys(text) if not c.isspace() and bytes(font.getmask(c)) in (blank, b""))


def _known_files(family: Family) -> Iterator[Path]:
    stems = tuple(name.replace(" ", "").lower() for name in _NAMES[family])
    wanted = (*stems, f"noto{family}cjk", f"sourcehan{family}")
    for folder in map(Path, _FOLDERS):
        files = sorted(folder.expanduser().glob("**/*.[ot]t[cf]")) if folder.expanduser().is_dir() else []
        yield from (path for path in files if path.name.lower().startswith(wanted))


def _asked_of_fontconfig(family: Family, style: str) -> Iterator[Path]:
    program = shutil.which("fc-match")
    if program is None:
        return
    for name in _NAMES[family]:
        command = [program, "-f", "%{file}", f"{name}:style={style}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - no shell
        if answer.returncode == 0 and Path(answer.stdout).is_file():
            yield Path(answer.stdout)  # fc-match always answers something: the caller looks at the name


def _faces(path: Path) -> Iterator[tuple[str | None, str | None]]:
    for index in range(_FACES_PER_FILE):
        try:
            yield ImageFont.truetype(str(path), 16, index=index).getname()
        except OSError:  # FreeType's way of saying that the collection has no further face
            return


def _fingerprint(path: Path, index: int) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return f"{path.name}#{index}:{digest}:freetype-{features.version('freetype2')}:pillow-{PIL.__version__}"
