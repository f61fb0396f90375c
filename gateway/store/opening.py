"""Opens the store that the configuration names."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from gateway.config.snapshot import Snapshot
from gateway.journal.database import JournalError
from gateway.journal.writer import Journal
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.telemetry.events import ChargePosted, OrphanReturned
from gateway.upstream.health import UpstreamHealth


class OpenStore(Store, Protocol):
    """A store, and what its application does with it."""

    shared: bool
    """Whether other gateways use it too. Then charges reach the journal through it."""

    def use(self, snapshot: Snapshot) -> None:
        """Put a new configuration's budgets in force."""
        ...

    async def share(self, health: UpstreamHealth) -> None:
        """Let gateways that use it too know of breakers here, and hear of theirs. What they know is known on return."""
        ...

    async def flush(self) -> None:
        """Return when the charges of everything that was settled so far are in the journal, if they go through it."""
        ...

    def on_orphans(self, callback: Callable[[Sequence[ChargePosted | OrphanReturned]], None]) -> None:
        """Call this with the charges of lost gateways' attempts: those so far at once, then whenever there are more.

        And with those that a gateway which came back has settled: that one counts them as what they were.
        The journal has them. Of several gateways one hears of each, as a rule.
        """
        ...

    def status(self) -> dict[str, Any]:
        """How it stands, for people."""
        ...


async def open_store(snapshot: Snapshot, journal: Journal, flush: Callable[[], Awaitable[None]]) -> OpenStore:
    """Open it, its counters complete. `flush` returns when all that was recorded so far is in the journal.

    Raises JournalError, StorageLocked among them.
    """
    if snapshot.storage.store == "memory":
        return await MemoryStore.open(snapshot, journal, flush=flush)
    from gateway.store.valkey.shared import SharedStore  # and with it the client's parser: only where it is used

    owner = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        return await SharedStore.open(snapshot, journal.database, owner)
    except (ValueError, OSError) as error:
        raise JournalError(f"the store cannot be opened: {error}") from error
