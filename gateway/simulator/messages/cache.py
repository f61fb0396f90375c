"""The prompt cache of those who ask for it: `cache_control` says where a prompt's beginning is kept, and how long."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from gateway.simulator.generation import CacheUse

MIN_TOKENS = 1024
HOUR_S = 3600.0
FIVE_MINUTES_S = 300.0


class Mark(NamedTuple):
    """The end of a block."""

    end: int
    """How many of the prompt's tokens are before it."""
    ttl_s: float | None
    """How long what is before it is to be kept; None where nothing is asked."""


class MarkedCache:
    """Remembers hashes of what was before a mark, each for its time; forgets the least recently used."""

    def __init__(self, capacity: int = 16_384) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # until when, for how long

    def use(self, owner: str, ids: Sequence[int], marks: Sequence[Mark], now_s: float) -> CacheUse:
        """What of a prompt was cached for `owner`, and what of it is written now.

        All ends of blocks up to the last mark are looked at, the longest first. Nothing below 1,024 tokens is kept.
        """
        asking = [mark for mark in marks if mark.ttl_s is not None and mark.end >= MIN_TOKENS]
        if not asking:
            return CacheUse()
        digests = _digests(owner, ids, [mark.end for mark in marks])
        last = asking[-1].end
        read = next((end for end in sorted(digests, reverse=True) if end <= last and self._hit(digests[end], now_s)), 0)
        for mark in asking:
            if mark.end > read and mark.ttl_s is not None:
                self._kept[digests[mark.end]] = (now_s + mark.ttl_s, mark.ttl_s)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        hour = max((mark.end for mark in asking if mark.ttl_s == HOUR_S), default=0)
        return CacheUse(read, last - max(read, hour), max(0, hour - read))

    def _hit(self, digest: bytes, now_s: float) -> bool:
        """Whether it is kept. Then it is kept for as long again."""
        until_s, ttl_s = self._kept.get(digest, (0.0, 0.0))
        if until_s <= now_s:
            return False
        self._kept[digest] = (now_s + ttl_s, ttl_s)
        self._kept.move_to_end(digest)
        return True


def _digests(owner: str, ids: Sequence[int], ends: Sequence[int]) -> dict[int, bytes]:
    """A hash of the prompt up to each end."""
    running = hashlib.blake2b(owner.encode(), digest_size=16)
    found: dict[int, bytes] = {}
    before = 0
    for end in ends:
        running.update(array("q", ids[before:end]).tobytes())
        before = end
        if end >= MIN_TOKENS:
            found[end] = running.digest()
    return found
