"""Read prompts/ from disk into `PromptFiles`: parsed, merged per category, and versioned by content.

All files are read before anything is said, so that one PromptError names everything that has to be repaired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from zimage_core.domain import Category, SceneName
from zimage_core.errors import PromptError
from zimage_core.prompting.blocklist import Blocklist
from zimage_core.prompting.shapes import (
    CATEGORIES,
    BlocklistFile,
    BrandFile,
    FileModel,
    PromotionFile,
    SceneFile,
    SceneShape,
    VersionedFile,
)

BLOCKLIST_FILE = "blocklist.yaml"


@dataclass(frozen=True, slots=True)
class Source:
    """Which file something came from (relative to prompts/) and its version: declared number + hash of its bytes."""

    file: str
    version: str


@dataclass(frozen=True, slots=True)
class SceneSource:
    """A scene file with its shape for every category."""

    source: Source
    head: SceneFile
    by_category: Mapping[Category, SceneShape]


@dataclass(frozen=True, slots=True)
class PromptFiles:
    """Everything under prompts/, valid in structure. Keys are slugs: the file names without their ending."""

    scenes: Mapping[SceneName, SceneSource]
    brands: Mapping[str, tuple[Source, BrandFile]]
    promotions: Mapping[str, tuple[Source, PromotionFile]]
    blocklist: Blocklist
    overlay_blocklist: Blocklist
    fingerprint: str


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which plain YAML would settle in silence by taking the last."""


def _mapping_without_doubles(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands here twice", key_node.start_mark
            )
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_doubles)

_Model = TypeVar("_Model", bound=FileModel)
_File = TypeVar("_File", bound=VersionedFile)


class _Reader:
    """Reads one folder once, keeping every complaint until the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.complaints: list[str] = []
        self.hashes: dict[str, str] = {}

    def parse(self, file: str) -> dict[str, object] | None:
        """Return a file's top-level mapping; on failure note a complaint and return None."""
        try:
            data = (self.root / file).read_bytes()
            content = yaml.load(data, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
        except OSError as error:
            self.complaints.append(f"{file}: cannot be read ({error.strerror})")
            return None
        except (yaml.YAMLError, ValueError) as error:
            self.complaints.append(f"{file}: is not valid YAML ({' '.join(str(error).split())})")
            return None
        self.hashes[file] = hashlib.sha256(data).hexdigest()
        if not isinstance(content, dict):
            self.complaints.append(f"{file}: must be a mapping of keys to values")
            return None
        return content

    def model(self, file: str, kind: type[_Model], content: object, under: str = "") -> _Model | None:
        """Return `content` as a model; on failure note each wrong key and return None."""
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                key = ".".join([*([under] if under else []), *map(str, found["loc"])])
                if found["type"] == "extra_forbidden":
                    sentence = "this key is not known here"
                elif found["type"] == "missing":
                    sentence = "this key is missing"
                else:
                    sentence = f"{found['msg']}; it is {found['input']!r:.60}"
                self.complaints.append(f"{file}: {key}: {sentence}")
            return None

    def source(self, file: str, version: int) -> Source:
        """Return provenance: `<declared>+<8 hex digits of the bytes>`, so a forgotten version bump is still visible."""
        return Source(file=file, version=f"{version}+{self.hashes[file][:8]}")

    def files_of(self, folder: str) -> list[str]:
        """Return the YAML files of a sub-folder in order of name, and complain about the other ending."""
        found = sorted((self.root / folder).glob("*.y*ml"))
        self.complaints.extend(f"{folder}/{p.name}: must end in .yaml" for p in found if p.suffix != ".yaml")
        if not found:
            self.complaints.append(f"{folder}/: has no .yaml file")
        return [f"{folder}/{p.name}" for p in found if p.suffix == ".yaml"]

    def scene(self, file: str) -> SceneSource | None:
        """Return a scene with every category resolved."""
        content = self.parse(file)
        head = self.model(file, SceneFile, content) if content is not None else None
        if head is None:
            return None
        if head.scene != Path(file).stem:
            self.complaints.append(f"{file}: scene: says {head.scene!r} but the file is named {Path(file).name}")
            return None
        shapes: dict[Category, SceneShape] = {}
        default = self.model(file, SceneShape, head.default, "default")
        if default is None:
            return None
        for category in CATEGORIES:
            override = head.categories.get(category)
            if override is None:
                shapes[category] = default
                continue
            shape = self.model(file, SceneShape, merged(head.default, override), f"categories.{category}")
            if shape is not None:
                shapes[category] = shape
        return SceneSource(self.source(file, head.version), head, shapes)

    def shelf(self, folder: str, kind: type[_File]) -> dict[str, tuple[Source, _File]]:
        """Return the files of a sub-folder by slug."""
        shelf: dict[str, tuple[Source, _File]] = {}
        for file in self.files_of(folder):
            content = self.parse(file)
            model = self.model(file, kind, content) if content is not None else None
            if model is not None:
                shelf[Path(file).stem] = (self.source(file, model.version), model)
        return shelf


def merged(base: Mapping[str, object], override: Mapping[str, object]) -> dict[str, object]:
    """Return `base` with `override` over it: mappings merge key by key, all else (lists too) is replaced."""
    result = dict(base)
    for key, value in override.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def read_prompt_files(root: Path) -> PromptFiles:
    """Return everything under `root`.

    Raises PromptError, in one sentence per wrong key, when a file is missing, is not YAML or has the wrong shape.
    """
    if not root.is_dir():
        raise PromptError(f"There is no folder {root} to read scenes, brands and promotions from.")
    reader = _Reader(root)
    scenes = {s.head.scene: s for s in map(reader.scene, reader.files_of("scenes")) if s is not None}
    brands = reader.shelf("brands", BrandFile)
    promotions = reader.shelf("promotions", PromotionFile)
    content = reader.parse(BLOCKLIST_FILE)
    blocked = reader.model(BLOCKLIST_FILE, BlocklistFile, content) if content is not None else None
    if reader.complaints or blocked is None:
        raise PromptError(f"The prompts in {root} cannot be used. " + "; ".join(reader.complaints) + ".")
    return PromptFiles(
        scenes=scenes,
        brands=brands,
        promotions=promotions,
        blocklist=Blocklist.of(blocked.blocked),
        overlay_blocklist=Blocklist.of((*blocked.blocked, *blocked.blocked_in_overlays)),
        fingerprint=hashlib.sha256(repr(sorted(reader.hashes.items())).encode()).hexdigest()[:16],
    )
