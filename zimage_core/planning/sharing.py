"""How many shots a shard takes, so that every device has its share and none is left with a large one at the end."""

from __future__ import annotations

import math
from typing import Final

SHARDS_PER_DEVICE: Final = 4
"""The last device is then left alone for an eighth of its work on average."""

WORTH_A_SHARD: Final = 32
"""Shots. Between two shards a device waits about a second for ledger and server: a thirtieth of the time these take on
a card that draws one a second."""


def shard_size_for(shots: int, devices: int, *, at_most: int, together: int = 1) -> int:
    """Return how many of about `shots` shots a shard takes when `devices` devices share them; never above `at_most`.

    `together`: how many shots one SKU has; those stay in one shard. Every device has as many shards as the others: of
    18 shards on four devices two would make a fifth while two stand still. A device of its own shares with nobody: its
    shards are as large as they may be, and even.
    """
    largest = max(1, at_most // together) * together
    wanted = SHARDS_PER_DEVICE if devices > 1 else 1
    turns = max(1, min(wanted, shots // (devices * WORTH_A_SHARD)), math.ceil(shots / (devices * largest)))
    size = math.ceil(shots / (devices * turns))
    return max(1, min(at_most, math.ceil(size / together) * together))
