"""Feeds: the files by which a shop's products travel, with a release's pictures put into them.

`fill` is the door; `shopify`, `google`, `google_xml` know one form each; `delimited_text` changes cells and nothing
else; `pictures` says which pictures there are and in what order. Nothing here reads or writes files.
"""

from zimage_core.publishing.feeds.fill import fill_feed, kind_of_feed
from zimage_core.publishing.feeds.filled import FeedKind, Filled
from zimage_core.publishing.feeds.pictures import FeedPicture, FeedPictures, feed_pictures, require_no_overlay

__all__ = [
    "FeedKind",
    "FeedPicture",
    "FeedPictures",
    "Filled",
    "feed_pictures",
    "fill_feed",
    "kind_of_feed",
    "require_no_overlay",
]
