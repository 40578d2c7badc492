"""What a store says about a promotion's releases: the pointer, the notes of its switches, the releases that wait.

releases/{promotion}/history/{number}.json      one note per switch, written *before* it, never changed
releases/{promotion}/held/{release_id}.json     a release that was prepared and waits for its time
current/{promotion}.json                        the pointer: release_id and manifest_key, nothing else
current/{promotion}/{channel}.json              the same for one channel
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core.domain import Release
from zimage_core.errors import ObjectMissing, ObjectRefused, PublishError, StorageError
from zimage_core.publishing.manifest import Manifest, parse_manifest
from zimage_core.storage import IMMUTABLE, POINTER, Store

JSON: Final = "application/json"
THREADS: Final = 8
"""Objects asked about at a time where nobody says otherwise."""

SwitchKind = Literal["published", "rolled_back", "went_live", "expired"]
Read = TypeVar("Read")


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Pointer:
    """What is live."""

    release_id: str
    manifest_key: str


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Note:
    """One switch: to which release, standing on which earlier note (None = on nothing); when, by whom and why.

    The last four are None in notes written before they were kept.
    """

    release_id: str
    manifest_key: str
    before: int | None
    kind: SwitchKind | None = None
    files: int | None = None
    at: AwareDatetime | None = None
    by: str | None = None

    def is_switch_of(self, other: Note) -> bool:
        """Tell whether both notes are of one switch, whoever wrote them when."""
        return (self.release_id, self.manifest_key, self.before) == (
            other.release_id,
            other.manifest_key,
            other.before,
        )


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Held:
    """A release that was prepared and checked, and is not live yet; `not_before` None = whenever a person says so."""

    release_id: str
    manifest_key: str
    promotion: str
    files: int
    not_before: AwareDatetime | None
    prepared_at: AwareDatetime
    by: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The notes by number, in order. Notes that no kept release needs are removed in time, so numbers have gaps."""

    promotion: str
    notes: dict[int, Note]

    @property
    def last(self) -> int:
        """The number of the latest note; 0 = there is none."""
        return max(self.notes, default=0)

    def last_of(self, release_id: str) -> int | None:
        """Return the number of the latest note that switched to this release."""
        return max((number for number, note in self.notes.items() if note.release_id == release_id), default=None)

    def before(self, release_id: str) -> int | None:
        """Return the number of the note that this release stands on; None where nothing stood before, or is kept."""
        number = self.last_of(release_id)
        below = None if number is None else self.notes[number].before
        return below if below in self.notes else None

    def newest_first(self) -> list[Note]:
        """Return the latest note of every release, the newest first."""
        latest = {note.release_id: number for number, note in self.notes.items()}
        return [self.notes[number] for number in sorted(latest.values(), reverse=True)]


def pointer_key(promotion: str, channel: str | None = None) -> str:
    """Return where the pointer of a promotion, or of one of its channels, stands."""
    return f"current/{promotion}.json" if channel is None else f"current/{promotion}/{channel}.json"


def history_prefix(promotion: str) -> str:
    """Return what the keys of a promotion's notes start with."""
    return f"releases/{promotion}/history/"


def held_prefix(promotion: str) -> str:
    """Return what the keys of a promotion's waiting releases start with."""
    return f"releases/{promotion}/held/"


def promotions_in(store: Store) -> tuple[str, ...]:
    """Return the promotions that have a pointer, a release or a note in the store, sorted."""
    pointers = {key.removeprefix("current/") for key in store.list_keys("current/")}
    found = {name.partition("/")[0] if "/" in name else name.removesuffix(".json") for name in pointers}
    found |= {key.split("/")[1] for key in store.list_keys("releases/") if key.count("/") > 1}
    return tuple(sorted(found))


def pointed_channels(store: Store, promotion: str) -> tuple[str, ...]:
    """Return the channels that have a pointer of their own, sorted."""
    prefix = f"current/{promotion}/"
    return tuple(key.removeprefix(prefix).removesuffix(".json") for key in store.list_keys(prefix))


def read_bytes(store: Store, key: str) -> bytes | None:
    """Return an object's bytes, None when there is none."""
    try:
        return store.get(key)
    except ObjectMissing:
        return None


def read_pointer(store: Store, promotion: str, channel: str | None = None) -> Pointer | None:
    """Return what a pointer says, None where there is none. Raises PublishError when somebody else wrote it."""
    key = pointer_key(promotion, channel)
    data = read_bytes(store, key)
    return None if data is None else pointer_of(key, data)


def pointer_of(key: str, data: bytes) -> Pointer:
    """Return a pointer from its bytes. Raises PublishError when they are not what a release writes."""
    try:
        return _POINTER.validate_json(data)
    except ValidationError as error:
        raise PublishError(f"The pointer {key} is not what a release writes: {error}.") from error


def move_pointer(store: Store, key: str, seen: bytes | None, pointer: Pointer) -> bool:
    """Replace a pointer while it holds what was `seen`; False when somebody else moved it meanwhile."""
    data = to_bytes(_POINTER, pointer)
    try:
        store.swap(key, seen, data, content_type=JSON, cache_control=POINTER)
    except ObjectRefused:
        return read_bytes(store, key) == data  # an answer that was lost: it was us
    return True


def read_history(store: Store, promotion: str) -> History:
    """Return the notes of a promotion. Raises PublishError when one is not what a switch writes."""
    prefix = history_prefix(promotion)

    def read(key: str) -> tuple[int, Note] | None:
        data = read_bytes(store, key)
        if data is None:
            return None  # retention removed it between the list and the look
        try:
            return int(key.removeprefix(prefix).removesuffix(".json")), _NOTE.validate_json(data)
        except ValueError as error:  # pydantic's ValidationError is one
            raise PublishError(f"{key} is not a note of a switch: {error}.") from error

    found = in_parallel(read, list(store.list_keys(prefix)))
    return History(promotion, dict(sorted(note for note in found if note is not None)))


def write_note(store: Store, history: History, note: Note) -> int:
    """Write the note of a switch that is about to be made and return its number.

    A switch that was noted last, and then killed, is not noted again. Raises PublishError when another publisher was
    faster.
    """
    last = history.notes.get(history.last)
    if last is not None and last.is_switch_of(note):
        return history.last
    number = history.last + 1
    key = f"{history_prefix(history.promotion)}{number:06d}.json"
    try:
        store.put(key, to_bytes(_NOTE, note), content_type=JSON, cache_control=IMMUTABLE)
    except StorageError as error:
        if not store.exists(key):
            raise
        raise another_publisher(history.promotion) from error
    return number


def another_publisher(promotion: str) -> PublishError:
    """Return the error for a switch that came second."""
    return PublishError(
        f"Another publisher is switching {promotion} at this moment; look at what is live, then try again."
    )


def read_held(store: Store, promotion: str | None = None) -> tuple[Held, ...]:
    """Return the releases that wait, of one promotion or of all, the one due first first; those without a time last."""
    promotions = promotions_in(store) if promotion is None else (promotion,)
    found: list[Held] = []
    for key in [key for name in promotions for key in store.list_keys(held_prefix(name))]:
        data = read_bytes(store, key)
        if data is None:
            continue  # it went live between the list and the look
        try:
            found.append(_HELD.validate_json(data))
        except ValidationError as error:
            raise PublishError(f"{key} is not a release that waits: {error}.") from error
    return tuple(sorted(found, key=lambda h: (h.not_before is None, h.not_before or h.prepared_at, h.prepared_at)))


def write_held(store: Store, held: Held) -> None:
    """Write down that a release waits; the same release again replaces when and by whom."""
    key = f"{held_prefix(held.promotion)}{held.release_id}.json"
    store.replace(key, to_bytes(_HELD, held), content_type=JSON, cache_control=POINTER)


def forget_held(store: Store, held: Held) -> None:
    """Take a release off the list of those that wait; nothing happens when it is not on it."""
    store.delete(f"{held_prefix(held.promotion)}{held.release_id}.json")


def read_manifest(store: Store, key: str) -> Manifest:
    """Return a stored manifest. Raises PublishError when it is missing, changed, or not stored under its own hash."""
    try:
        manifest = parse_manifest(store.get(key))
    except ObjectMissing as error:
        raise PublishError(f"The manifest {key} is not in the store.") from error
    if manifest.key != key:
        raise PublishError(f"The manifest under {key} belongs under {manifest.key}: it was changed or moved.")
    return manifest


def release_of(manifest: Manifest) -> Release:
    """Return the release that a manifest is."""
    return Release(manifest.release_id, manifest.promotion, manifest.key, len(manifest.entries))


def in_parallel(act: Callable[[str], Read], keys: list[str], threads: int = THREADS) -> list[Read]:
    """Return what `act` returns for each key, in their order, so many at a time; the first error ends it."""
    if len(keys) < 2 or threads < 2:
        return [act(key) for key in keys]
    pool = ThreadPoolExecutor(min(threads, len(keys)), thread_name_prefix="releases")
    try:
        return list(pool.map(act, keys))
    finally:
        pool.shutdown(cancel_futures=True)


def to_bytes(adapter: TypeAdapter[Read], record: Read) -> bytes:
    """Return a record as one line of JSON in UTF-8."""
    return adapter.dump_json(record) + b"\n"


_POINTER = TypeAdapter(Pointer)
_NOTE = TypeAdapter(Note)
_HELD = TypeAdapter(Held)
