"""Every error this project raises on purpose, drawn as a tree.

    ZImageError                     something we can say in a sentence
    ├── ConfigurationError          settings or a command that cannot work as given
    ├── CatalogueError              the catalogue as a whole cannot be read (a bad *row* is a Refusal, not an error)
    ├── PromptError                 a file under prompts/ is wrong, or a prompt cannot be composed
    ├── PlanError                   what was asked for cannot be done; nothing was spent
    ├── BudgetReached               what was asked for would cost more than may be spent; what is made is kept
    ├── EngineError                 an engine did not make the image
    │   ├── EngineBusy              ... it is busy or rate limited            (retryable)
    │   ├── EngineUnavailable       ... it cannot be reached or died          (retryable)
    │   ├── EngineTimeout           ... it took too long                      (retryable)
    │   ├── EngineOutOfMemory       ... it ran out of memory                  (retryable)
    │   ├── EngineRefused           ... it does not do this kind of request
    │   │   └── ContentRefused      ...... its content filter objects: other words may pass
    │   └── BadImage                ... it answered with something unusable   (retryable: another call may do better)
    ├── ImageError                  a photo cannot be decoded or is not safe to decode
    ├── QualityError                grading itself could not be done (never the same as a poor grade)
    ├── StorageError                bytes could not be stored or read back    (retryable)
    │   ├── ObjectMissing           ... the key is not there
    │   ├── ObjectRefused           ... this object cannot be stored as asked: other bytes are there, it is too large
    │   └── StoreRefused            ... the store lets us in for nothing: wrong key, no such bucket, a clock that is off
    ├── LedgerError                 the ledger refused or is not what we expect
    │   ├── LedgerBusy              ... another process holds it              (retryable)
    │   └── LeaseLost               ... another worker now answers for this shard
    └── PublishError                a release could not be made; the old one stands

The class says whether the same call may be made again (`retryable`): tasks ask the class, never the message.
An error is a sentence for the person on call and carries where it happened: `sku`, `shot_id`, `attempt`, `engine`.
"""

from __future__ import annotations

from typing import ClassVar


class ZImageError(Exception):
    """Something we can say in a sentence; `retryable` says whether the same call may be made again."""

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        sentence: str,
        *,
        sku: str | None = None,
        shot_id: str | None = None,
        attempt: int | None = None,
        engine: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.sku = sku
        self.shot_id = shot_id
        self.attempt = attempt
        self.engine = engine
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        """The class name: stable across wordings, used in the ledger and in reports."""
        return type(self).__name__

    def __str__(self) -> str:
        """Return the sentence, then whatever is known of where it happened."""
        known = [
            f"{name}={value}"
            for name, value in (
                ("sku", self.sku),
                ("shot", self.shot_id),
                ("attempt", self.attempt),
                ("engine", self.engine),
            )
            if value is not None
        ]
        return f"{self.sentence} [{', '.join(known)}]" if known else self.sentence

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle whole, so that an error keeps what it carries across processes and Prefect results."""
        return (_rebuild, (type(self), self.sentence, dict(self.__dict__)))


def _rebuild(kind: type[ZImageError], sentence: str, state: dict[str, object]) -> ZImageError:
    error = kind(sentence)
    error.__dict__.update(state)
    return error


class ConfigurationError(ZImageError):
    """Settings or a command that cannot work as given."""


class CatalogueError(ZImageError):
    """The catalogue as a whole cannot be read; a bad row is a Refusal, not an error."""


class PromptError(ZImageError):
    """A file under prompts/ is wrong, or a prompt cannot be composed from it."""


class PlanError(ZImageError):
    """What was asked for cannot be done; raised before anything is spent."""


class BudgetReached(ZImageError):
    """More pictures would cost more than the run may spend; a person raises the budget or takes what is there."""


class EngineError(ZImageError):
    """An engine did not make the image."""


class EngineBusy(EngineError):
    """The engine is busy or rate limited; `retry_after_s` says how long to wait where it told us."""

    retryable = True


class EngineUnavailable(EngineError):
    """The engine cannot be reached, or its process died."""

    retryable = True


class EngineTimeout(EngineError):
    """The engine took longer than it was allowed to."""

    retryable = True


class EngineOutOfMemory(EngineError):
    """The engine ran out of memory."""

    retryable = True


class EngineRefused(EngineError):
    """The engine does not do this kind of request; asking again will not help."""


class ContentRefused(EngineRefused):
    """The engine's content filter objects to the words, or to what was drawn from them; other words may pass."""


class BadImage(EngineError):
    """The engine answered with something that is not the image asked for; another call may do better."""

    retryable = True


class ImageError(ZImageError):
    """A photo cannot be decoded, or is not safe to decode."""


class QualityError(ZImageError):
    """Grading itself could not be done; never the same as a poor grade."""


class StorageError(ZImageError):
    """Bytes could not be stored or read back."""

    retryable = True


class ObjectMissing(StorageError):
    """The store has nothing under this key."""

    retryable = False


class ObjectRefused(StorageError):
    """This object cannot be stored or read as asked (its key holds other bytes, say); others can."""

    retryable = False


class StoreRefused(StorageError):
    """The store answers nobody like us: wrong credentials, no such bucket, a clock that is off. A person must act."""

    retryable = False


class LedgerError(ZImageError):
    """The ledger refused, or is not what we expect."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger."""

    retryable = True


class LeaseLost(LedgerError):
    """Another worker now answers for this shard; stop, and write nothing more for it."""


class PublishError(ZImageError):
    """A release could not be made; the one before it still stands."""
