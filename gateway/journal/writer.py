"""The journal's writer: events in, rows on disk, in groups.

`write` only appends to a list, so that no request waits for a disk. A background task commits what has gathered, every
`flush_interval_s` or as soon as many rows wait, in one transaction. A commit that fails leaves its rows where they are
and is tried again, later and later; every row carries its event's own id and an existing one is left as it is, so that
trying again after a commit whose result never arrived writes nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Self

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database, JournalError, in_one_transaction, value_errors
from gateway.journal.engine import AsyncConnection
from gateway.journal.masking import Masking
from gateway.journal.rows import salvage
from gateway.journal.statements import Inserts, Mend
from gateway.telemetry.events import Adjusted, ChargePosted, Event, RequestFinished, RunChanged

_log = logging.getLogger("farebox.journal")

FLUSH_AT_ROWS = 500
"""So many waiting rows are written at once, whatever the interval."""
BATCH_ROWS = 1_000
"""The most rows of one transaction."""
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
CLOSE_TIMEOUT_S = 10.0
MAX_CONTENT_BYTES = 268_435_456
"""Recorded bodies that may wait for the disk in memory: 100,000 rows are few, 100,000 bodies are not."""

_JOURNALED = frozenset((ChargePosted, RequestFinished, RunChanged, Adjusted))


class Journal:
    """The one writer of a process. Make it with `Journal.open`, in the loop that it is used in."""

    def __init__(self, database: Database, storage: StorageSettings) -> None:
        self.database = database
        self.last_error: str | None = None
        """Why the last commit failed; None when it did not."""
        self._interval_s = storage.flush_interval_s
        self._max_pending = storage.max_pending_rows
        self._max_lag_s = storage.max_lag_s
        self._records_content = storage.record_content
        # What gateways read from Valkey's stream comes again after a crash, and is no collision then.
        self._hears_twice = storage.store == "valkey"
        self._content_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Event] = []
        self._waiting_since = 0.0
        self._batch: list[Event] = []
        self._batch_since = 0.0
        self._accepted = 0
        self._stored = 0
        self._retry_s = FIRST_RETRY_S
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: list[asyncio.Future[str | None]] = []
        self._closed = False
        self._connection: AsyncConnection | None = None
        self._masking = Masking(storage.mask)
        self._writes_on_the_loop = database.engine.dialect.name != "sqlite"
        self._inserts = Inserts(database.engine.dialect, self._masking.row)
        self._value_errors = value_errors(database.engine.dialect)
        self._task = asyncio.create_task(self._run(), name="journal")

    @classmethod
    async def open(cls, storage: StorageSettings) -> Self:
        """Open the journal in `storage.dir`, making or migrating it where needed. Raises JournalError.

        A database that cannot be written is refused here: a gateway on it would answer until its memory is full.
        """
        database = await Database.open(storage)
        try:
            await database.check_writable()
        except BaseException:
            await database.close()
            raise
        return cls(database, storage)

    @property
    def pending(self) -> int:
        """Rows accepted and not yet on disk."""
        return self._accepted - self._stored

    @property
    def accepting(self) -> bool:
        """False while `max_pending_rows`, or 256 MiB of recorded content, wait: new requests are then to be refused."""
        return self._accepted - self._stored < self._max_pending and self._content_bytes < MAX_CONTENT_BYTES

    @property
    def keeps_up(self) -> bool:
        """Whether new requests may be admitted: False while not `accepting`, or more than `max_lag_s` behind.

        A commit that fails makes the journal fall behind, so it counts here from that moment on.
        """
        return self.accepting and self.lag_s <= self._max_lag_s

    @property
    def healthy(self) -> bool:
        """False from a failed commit to the next one that succeeds."""
        return self.last_error is None

    @property
    def lag_s(self) -> float:
        """How long the oldest row that is not on disk has been waiting; 0 when none is."""
        if self._batch:
            return time.monotonic() - self._batch_since
        return time.monotonic() - self._waiting_since if self._waiting else 0.0

    def write(self, events: Sequence[Event]) -> None:
        """Accept what has a table of its own among `events`; returns at once. The rest is not the journal's."""
        waiting = self._waiting
        before = len(waiting)
        waiting += [event for event in events if type(event) in _JOURNALED]
        after = len(waiting)
        self._accepted += after - before
        if self._records_content:
            self._content_bytes += _content_bytes(waiting[before:])
        if self._closed and after > before:
            _log.error("%d rows came after the journal was closed and are lost", after - before)
            return
        if not before and after:
            self._waiting_since = time.monotonic()
        if self._timer is None and after:
            self._timer = self._loop.call_later(self._interval_s, self._wake)
        if after >= FLUSH_AT_ROWS > before and self.last_error is None:
            self._due.set()

    async def flush(self) -> None:
        """Return when everything written before the call is on disk.

        Raises JournalError when a commit fails meanwhile; the rows stay and are tried again.
        """
        target = self._accepted
        while self._stored < target:
            if self._closed:
                raise JournalError("the journal is closed")
            outcome: asyncio.Future[str | None] = self._loop.create_future()
            self._flushes.append(outcome)
            self._due.set()
            if (error := await outcome) is not None:
                raise JournalError(f"the journal cannot be written: {error}")

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what waits and close the database.

        Raises JournalError with the number of rows lost when the database still refuses them after `timeout_s` seconds.
        Idempotent.
        """
        if self._closed:
            return
        try:
            await self._flush_until(time.monotonic() + timeout_s)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._closed = True
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._tell_flushes("it is closed")
            await self._disconnect()
            await self.database.close()
        if self.pending:
            raise JournalError(
                f"{self.pending} rows of the journal are lost, it could not be written: {self.last_error}"
            )

    async def _flush_until(self, deadline_s: float) -> None:
        while self.pending and (left_s := deadline_s - time.monotonic()) > 0:  # rows may still come meanwhile
            try:
                async with asyncio.timeout(left_s):
                    await self.flush()
            except JournalError:
                await asyncio.sleep(min(self._retry_s, left_s))
            except TimeoutError:
                return

    def _wake(self) -> None:
        self._timer = None
        self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            self._tell_flushes(await self._drain())

    def _tell_flushes(self, error: str | None) -> None:
        flushes, self._flushes = self._flushes, []
        for outcome in flushes:
            if not outcome.done():
                outcome.set_result(error)

    async def _drain(self) -> str | None:
        """Write what has been accepted by now, batch after batch; None, or what went wrong.

        What arrives meanwhile waits for its own company: it has a timer of its own.
        """
        target = self._accepted
        while self._stored < target:
            if not self._batch:
                self._batch, self._waiting = self._waiting[:BATCH_ROWS], self._waiting[BATCH_ROWS:]
                self._batch_since = self._waiting_since
            try:
                await self._commit(self._batch)
            except Exception as error:  # noqa: BLE001  whatever a driver raises: no row may be lost, the task must live on
                return await self._failed(error)
            self._succeeded()
        return None

    def _succeeded(self) -> None:
        self._stored += len(self._batch)
        if self._records_content:
            self._content_bytes -= _content_bytes(self._batch)
        self._batch = []
        if self.last_error is not None:
            _log.warning("the journal can be written again; %d rows wait", self.pending)
        self.last_error = None
        self._retry_s = FIRST_RETRY_S

    async def _failed(self, error: Exception) -> str:
        if self.last_error is None:
            _log.error("the journal cannot be written, %d rows wait: %s", self.pending, error)
        self.last_error = str(error) or type(error).__name__
        await self._disconnect()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._retry_s, self._wake)
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
        return self.last_error

    async def _commit(self, batch: list[Event]) -> None:
        try:
            await self._insert(batch, mend=None)
        except self._value_errors as error:
            # A value that the database cannot hold would come back with every new try and block the journal for good.
            _log.error("the journal refused a value, now changed to the nearest one that it takes: %s", error)
            await self._disconnect()
            try:
                await self._insert(batch, mend=salvage)
            except self._value_errors:
                await self._insert_singly(batch)

    async def _insert_singly(self, batch: list[Event]) -> None:
        """The last resort: what cannot be stored in any way goes to the log, so that all the rest can be stored."""
        for event in batch:
            try:
                await self._insert([event], mend=salvage)
            except self._value_errors as error:
                await self._disconnect()
                _log.critical(
                    "a row of the journal cannot be stored and is lost (%s): %r", error, _without_content(event)
                )

    async def _insert(self, batch: list[Event], *, mend: Mend | None) -> None:
        if self._connection is None:
            self._connection = await self.database.engine.connect()
        if self._records_content and self._writes_on_the_loop:
            await asyncio.to_thread(self._masking.prepare, batch)
        left_out = await in_one_transaction(self._connection, partial(self._inserts.execute, batch, mend))
        if left_out and self.last_error is None and not self._hears_twice:
            _log.error("%d rows of the journal had an id that was there already and were left out", left_out)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()


def _content_bytes(events: Iterable[Event]) -> int:
    """The recorded bodies of events."""
    return sum(
        len(event.content[0]) + len(event.content[1])
        for event in events
        if type(event) is RequestFinished and event.content is not None
    )


def _without_content(event: Event) -> Event:
    return event._replace(content=None) if type(event) is RequestFinished else event
