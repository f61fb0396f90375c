"""Keeps a process's key ring as the database has it, so that a revocation by any process reaches all within 5 s.

One task reads: every `POLL_S`, and soon after somebody has asked about a key that is not known. Whoever asks waits for
a read that begins after the question, and any number of them share it: guessing keys costs a query every `PAUSE_S`,
whatever the rate, and each guess waits that long.

What a read has found holds for `LEASE_S` from its beginning. When the database cannot be read for longer, stored keys
are neither accepted nor refused: such a call gets a 503, since a key may have been revoked meanwhile. The
configuration's own keys do not depend on the database.

A read takes over what has changed since the last one: every run has a key, and a table of thousands would hold up the
loop at each of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.errors import ServiceUnavailable
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import KeyRecord, Principal
from gateway.journal.keystore import KeyStore
from gateway.telemetry.events import Event, KeysReloaded

log = logging.getLogger("farebox.identity")

LEASE_S = 5.0
"""The promise: how long a revoked key may still be accepted."""
POLL_S = 2.0
"""Twice within a lease, so that one failed read does no harm."""
PAUSE_S = 0.2
"""Between two reads, at least."""
READ_TIMEOUT_S = 2.0
READ_ALL_S = 3_600.0
"""So often all keys are read, and those that are not there any more forgotten."""


def _nobody_listens(_event: Event) -> None:
    return None


class KeySync:
    """Answers whose key it is, and refreshes the ring behind it."""

    def __init__(
        self,
        store: KeyStore,
        ring: KeyRing,
        on_event: Callable[[Event], None] = _nobody_listens,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ring = ring
        self._on_event = on_event
        self._clock = clock
        self._revision = -1
        self._read_all_s = clock()
        self._good_until_s = float("-inf")
        self._tried_s = float("-inf")
        self._failing = False
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys, then keep reading them."""
        await self._read()
        self._task = asyncio.create_task(self._keep_reading(), name="key sync")

    async def close(self) -> None:
        """Stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._answer(self._waiting)

    async def principal(self, key: bytes) -> Principal | None:
        """Whose key it is, or None. A key that is not known may have been made a moment ago: the database is asked.

        Raises ServiceUnavailable when that takes the database and it cannot be read.
        """
        found = self._ring.authenticate(key, time.time())
        if found is not None and (self._clock() < self._good_until_s or self._ring.declares(found.key_id)):
            return found
        await self.refresh()
        found = self._ring.authenticate(key, time.time())
        if self._clock() < self._good_until_s or (found is not None and self._ring.declares(found.key_id)):
            return found
        raise ServiceUnavailable(
            "The gateway cannot read its keys, and this one may have been revoked. Its operator should look at the "
            "database and the log; try again.",
            reason="keys",
        )

    async def refresh(self) -> None:
        """Return when the keys have been read since the call; when they cannot be, the ring stays as it is."""
        if self._task is None:
            await self._read()
            return
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._asked.set()
        await answered

    async def _keep_reading(self) -> None:
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._asked.wait()
            except TimeoutError:
                pass  # nobody asked: it is time for the next poll
            await asyncio.sleep(max(0.0, self._tried_s + PAUSE_S - self._clock()))
            self._asked.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._read()
            finally:
                self._answer(waiting)

    @staticmethod
    def _answer(waiting: list[asyncio.Future[None]]) -> None:
        for answered in waiting:
            if not answered.done():  # a caller that left has cancelled it
                answered.set_result(None)

    async def _read(self) -> None:
        self._tried_s = begun_s = self._clock()
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await self._take_over()
        except Exception as error:  # noqa: BLE001 -- an outermost edge: the task must outlive whatever a row or driver holds
            if not self._failing:
                log.error("keys cannot be read; stored ones are not accepted after %g s: %s", LEASE_S, _words(error))  # noqa: TRY400 -- no traceback: it is the database's trouble
            self._failing = True
            return
        if self._failing:
            log.warning("keys can be read again")
        self._failing = False
        self._good_until_s = begun_s + LEASE_S

    async def _take_over(self) -> None:
        revision = await self._store.revision()
        now_s = self._clock()
        # A revision that went back: another database stands there now, or an older copy of it.
        anew = revision < self._revision or now_s >= self._read_all_s + READ_ALL_S
        if revision == self._revision and not anew:
            return
        records = await self._changed(-1 if anew else self._revision)
        if anew:
            self._ring.replace_stored(records)
            self._read_all_s = now_s
        else:
            self._ring.change_stored(records)
        self._revision = revision  # of what changed meanwhile some may be in there already: it is read once more
        self._on_event(KeysReloaded(len(self._ring)))

    async def _changed(self, after: int) -> list[KeyRecord]:
        records: list[KeyRecord] = []
        since: int | None = after
        while since is not None:
            part, since = await self._store.changed(since)
            records += part
        return records


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
