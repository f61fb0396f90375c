"""Keys and the principals they stand for. Pure: no clock, no database.

A key is shown once, when it is made. Farebox keeps its SHA-256 only: keys made here carry 160 random bits, so a slow
hash would add cost to every request and nothing to safety.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

KEY_PREFIX = "fb-"
DISPLAY_CHARS = 11
"""How many leading characters of a key may be shown: `fb-` and the 8 characters that name it."""


class Principal(NamedTuple):
    """Who is calling: settled by the key alone."""

    org: str
    team: str
    agent: str
    key_id: str
    """The key's public name (its display prefix, or `config:NAME`); never the key."""
    allowed_models: frozenset[str] | None = None
    """Names and `*` patterns this key may ask for; None allows every model of the agent."""
    run: str | None = None
    """The run (`agent/run`) that this key was made for: all its calls belong there, whatever they say."""


class KeyRecord(NamedTuple):
    """A key as it is stored."""

    id: str
    sha256: bytes
    """The digest of the whole key, 32 bytes."""
    agent: str
    name: str = ""
    """What people call it."""
    allowed_models: frozenset[str] | None = None
    created_at_s: float = 0.0
    expires_at_s: float | None = None
    revoked_at_s: float | None = None
    run: str | None = None
    """The one run (`agent/run`) that it is good for; None for any."""


def key_digest(key: str | bytes) -> bytes:
    """What is stored of a key and looked up by."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).digest()


def display_id(key: str) -> str:
    """The part of a generated key that may be shown and that names it in lists, logs and the journal."""
    return key[:DISPLAY_CHARS]
