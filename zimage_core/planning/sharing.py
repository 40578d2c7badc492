"""How many shots a shard takes, so that every device has its share and none is left with a large one at the end."""

from __future__ import annotations

import math
from typing import Final

SHARDS_PER_DEVICE: Final = 4
"""The last device is then left alone for an eighth of its work on average."""

WORTH_A_SHARD: Final = 32
"""Shots. Between two shards a device waits about a second for ledger and server: a thirtieth of the time these take on
a card that draws one a second."""


def shard_size_for(shots: int, devices: int, *, at_most: int) -> int:
    """Return how many of about `shots` shots a shard takes when `devices` devices share them; never above `at_most`."""
    turns = max(1, min(SHARDS_PER_DEVICE, shots // (devices * WORTH_A_SHARD)))
    return max(1, min(at_most, math.ceil(shots / (devices * turns))))
