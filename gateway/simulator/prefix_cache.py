"""The prompt cache: which beginning of a prompt was seen before, per key and model."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

BLOCK_TOKENS = 128
MIN_TOKENS = 1024


class PrefixCache:
    """Remembers hashes of prompt prefixes in blocks of 128 tokens, from 1,024 on; forgets the least recently used."""

    def __init__(self, capacity: int = 16_384) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def look_up(self, owner: str, tokens: Sequence[int]) -> int:
        """How many of the first `tokens` were cached for `owner`; remembers all of them for the next time."""
        cached = 0
        running = hashlib.blake2b(owner.encode(), digest_size=16)
        for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
            running.update(array("q", tokens[end - BLOCK_TOKENS : end]).tobytes())
            if end < MIN_TOKENS:
                continue
            digest = running.digest()
            if digest in self._seen:
                cached = end
                self._seen.move_to_end(digest)
            else:
                self._seen[digest] = None
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return cached
