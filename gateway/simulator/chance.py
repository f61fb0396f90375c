"""Seeded chance: the same words always give the same dice."""

from __future__ import annotations

import hashlib
from random import Random


def number(*parts: object) -> int:
    """A 64-bit number that depends on `parts` and nothing else."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def dice(*parts: object) -> Random:
    """A generator seeded by `parts`."""
    return Random(number(*parts))  # noqa: S311 - a simulation wants repeatable dice, not secrets
