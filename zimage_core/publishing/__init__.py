"""Publishing: accepted pictures become channel files with labels, and files become a release with one pointer.

What it is:       `channels` (rules as dated data), `renditions` (size, encode, check), `frames` (where a file lies in
                  the master, srcset), `seal` and `xmp` (disclosure labels, written last, read back), `visible_label`,
                  `credentials` (C2PA), `inspection` (what any file carries), `alt_text`, `manifest` (what a release
                  holds), `release` (switch and roll back), `history` (what a store says of releases), `overview`,
                  `held` (going live later), `canary` (the look before a switch), `purge` (telling a cache), `expiry`
                  (prices come down), `retention` and `doomed` (what is deleted, and what is not), `moderation` (a
                  service that is asked about a picture before it is published), `webhooks`, `webhook_delivery` and
                  `addresses` (who is told, how, and where nothing is sent), `feeds` (its pictures in a shop's file).
May import:       domain, errors, settings, clock, storage, imaging, catalogue, prompting, ledger, engines.wire;
                  pydantic, PyYAML, defusedxml, c2pa, standardwebhooks; boto3, only when CloudFront is told.
May touch:        the Store it is handed, channels.yaml beside it, the moderation service, the receivers, the
                  public address and the caches that settings name, the outbox of the ledger it is handed.
Never:            decides what is good; overwrites an object; switches to a release whose files it has not checked.
"""

from zimage_core.publishing.alt_text import alt_text
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.manifest import (
    Manifest,
    ManifestEntry,
    build_manifest,
    parse_manifest,
    rendition_key,
)
from zimage_core.publishing.release import (
    current_release,
    list_releases,
    previous_release,
    publish_release,
    read_manifest,
    rollback,
)
from zimage_core.publishing.renditions import RenditionBytes, RenditionRefusal, make_rendition, rendition_id_of
from zimage_core.publishing.seal import Seal, SealFacts, digital_source_type, read_seal, seal_packet

__all__ = [
    "Manifest",
    "ManifestEntry",
    "RenditionBytes",
    "RenditionRefusal",
    "Seal",
    "SealFacts",
    "alt_text",
    "build_manifest",
    "current_release",
    "digital_source_type",
    "list_releases",
    "load_channels",
    "make_rendition",
    "parse_manifest",
    "previous_release",
    "publish_release",
    "read_manifest",
    "read_seal",
    "rendition_id_of",
    "rendition_key",
    "rollback",
    "seal_packet",
]
