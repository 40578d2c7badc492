"""Where bytes are kept: one small protocol, a folder on disk that keeps it, and buckets that do.

What it is:       `Store`, the seam through which masters, cut-outs, renditions, manifests and pointers pass;
                  `LocalStore`, a folder that a web server or CDN can use as its origin as it stands; `S3Store` and
                  `ObstoreStore`, a bucket at AWS or anybody who speaks S3; `open_store`, which opens what the settings
                  name; `upload`, many objects at once.
May import:       errors, settings, clock, processes; boto3 and obstore, each only when its store is opened.
May touch:        the folder or the bucket it is handed.
Never:            shows half a file, overwrites an object by `put`, leaves anything beside the objects, logs a secret.

Three verbs write. `put` creates: it is idempotent for equal bytes and refuses different bytes under a key that is
taken, so content-hashed objects can be written by any number of processes. `replace` moves a pointer: readers see the
old bytes or the new ones, never a mixture. `swap` moves it only while it holds what the caller has seen. A plain folder
has no place for a content type or a cache policy; a web server derives the first from the extension, which every store
therefore holds against what the caller says, and the second from the path (`img/` never changes, `current/` changes
with every release).
"""

from zimage_core.storage.base import IMMUTABLE, LONGEST_PRESIGNED_S, POINTER, ObjectFacts, Store
from zimage_core.storage.bucket import BucketStore
from zimage_core.storage.files import sweep, unfinished, write_whole
from zimage_core.storage.keys import MAX_KEY_BYTES, MAX_SEGMENT_BYTES, check_key, content_type_of
from zimage_core.storage.local import LocalStore
from zimage_core.storage.obstore_store import ObstoreStore
from zimage_core.storage.opening import open_store
from zimage_core.storage.providers import PROVIDERS, BucketAddress, Provider, address_of
from zimage_core.storage.s3 import S3Store
from zimage_core.storage.upload import Upload, UploadAnswer, at_once, upload

__all__ = [
    "IMMUTABLE",
    "LONGEST_PRESIGNED_S",
    "MAX_KEY_BYTES",
    "MAX_SEGMENT_BYTES",
    "POINTER",
    "PROVIDERS",
    "BucketAddress",
    "BucketStore",
    "LocalStore",
    "ObjectFacts",
    "ObstoreStore",
    "Provider",
    "S3Store",
    "Store",
    "Upload",
    "UploadAnswer",
    "address_of",
    "at_once",
    "check_key",
    "content_type_of",
    "open_store",
    "sweep",
    "unfinished",
    "upload",
    "write_whole",
]
