"""The key that a first start makes, so that the first request works without having read a manual."""

from __future__ import annotations

from gateway.config.snapshot import Snapshot
from gateway.journal.keystore import KeyStore

AGENT = "dev"
NAME = "development"


async def ensure_development_key(store: KeyStore, snapshot: Snapshot) -> str | None:
    """A key for the agent `dev` (or the first one) when nobody has ever made or configured any; else None.

    Raises JournalError.
    """
    if snapshot.keys or not snapshot.agents:
        return None
    agent = AGENT if AGENT in snapshot.agents else next(iter(snapshot.agents))
    made = await store.create_first(agent, NAME)
    return None if made is None else made[0]
