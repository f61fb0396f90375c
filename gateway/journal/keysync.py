"""Keeps a process's key ring as the database has it, so that a revocation by any process reaches all within 5 s."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gateway.identity.keyring import KeyRing
from gateway.identity.keys import Principal
from gateway.journal.keystore import KeyStore
from gateway.telemetry.events import Event, KeysReloaded

log = logging.getLogger("farebox.identity")

POLL_S = 2.0
UNKNOWN_KEY_REFRESH_S = 0.5
"""Unknown keys make the database be asked at most this often: a key that was just made works at once, and guessing keys
costs one query in half a second."""


class KeySync:
    """Answers whose key it is, and refreshes the ring behind it."""

    def __init__(self, store: KeyStore, ring: KeyRing, on_event: Callable[[Event], None] = lambda _: None) -> None:
        self._store = store
        self._ring = ring
        self._on_event = on_event
        self._revision = -1
        self._refreshed_s = float("-inf")
        self._failing = False
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys, then keep reading them."""
        await self.refresh()
        self._task = asyncio.create_task(self._poll(), name="key sync")

    async def close(self) -> None:
        """Stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def principal(self, key: bytes) -> Principal | None:
        """Whose key it is, or None. A key that is not known may have been made a moment ago: the database is asked."""
        found = self._ring.authenticate(key, time.time())
        if found is None and time.monotonic() - self._refreshed_s >= UNKNOWN_KEY_REFRESH_S:
            await self.refresh()
            found = self._ring.authenticate(key, time.time())
        return found

    async def refresh(self) -> None:
        """Read the keys again if any has changed. When the database cannot be read the ring stays as it is."""
        async with self._refreshing:
            self._refreshed_s = time.monotonic()
            try:
                revision = await self._store.revision()
                if revision != self._revision:
                    self._ring.replace_stored(await self._store.list())
                    self._revision = revision
                    self._on_event(KeysReloaded(len(self._ring)))
            except (SQLAlchemyError, OSError) as error:
                if not self._failing:
                    log.error("keys cannot be read, the ones known stay in force: %s", error)  # noqa: TRY400 -- no defect of ours
                self._failing = True
            else:
                self._failing = False

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()
