"""Which store the settings name: a folder, or a bucket through one of two clients."""

from __future__ import annotations

from pathlib import Path

from zimage_core.settings import PublishSettings
from zimage_core.storage.base import Store
from zimage_core.storage.local import LocalStore
from zimage_core.storage.obstore_store import ObstoreStore
from zimage_core.storage.providers import address_of
from zimage_core.storage.s3 import S3Store


def open_store(settings: PublishSettings, out_dir: Path) -> Store:
    """Return the store that releases go to: the bucket of `settings.to`, or the folder `cdn` in `out_dir`.

    Asks nothing of a service. Raises ConfigurationError for settings that cannot work, a client that is not installed
    and missing credentials.
    """
    if settings.to is None:
        return LocalStore(out_dir / "cdn")
    address = address_of(settings)
    return ObstoreStore(address) if settings.client == "obstore" else S3Store(address)
