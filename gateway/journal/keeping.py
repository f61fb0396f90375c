"""The writer of responses and conversations: in groups, beside the journal's own writer, which waits for neither.

What is not on the disk yet can be looked up here. A commit that fails is tried again, later and later; a row that the
database refuses is logged and left out, so that it stops no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Final

from gateway.journal.database import in_one_transaction, value_errors
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.kept import Keep, ResponseRow, Statements

_log = logging.getLogger("farebox.responses")

MAX_WAITING_BYTES: Final = 67_108_864
"""More is not accepted while the database cannot be written."""
BATCH: Final = 64
FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 5.0
_END_S: Final = 10.0


async def end(task: asyncio.Task[None]) -> None:
    """Wait for a task that was told to end; in the end without patience."""
    await asyncio.wait((task,), timeout=_END_S)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))


class KeepingWriter:
    """One per process. Make it in the loop that it is used in."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect)
        self._value_errors = value_errors(engine.dialect)
        self._waiting: list[tuple[Keep, asyncio.Future[None]]] = []
        self._rows: dict[str, ResponseRow] = {}
        self._bytes = 0
        self.written_bytes = 0
        """Since somebody set it to 0."""
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._connection: AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, keep: Keep) -> asyncio.Future[None] | None:
        """Take something to be written; the future is done when it is on the disk. None: too much waits already."""
        size = _bytes(keep)
        if self._bytes + size > MAX_WAITING_BYTES:
            _log.error("too much waits to be written: a response is not kept")
            return None
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="responses")
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((keep, written))
        self._bytes += size
        if keep.row is not None:
            self._rows[keep.row.id] = keep.row
        self._due.set()
        return written

    def row(self, name: str) -> ResponseRow | None:
        """A response that is not on the disk yet."""
        return self._rows.get(name)

    async def settle(self, name: str, timeout_s: float) -> None:
        """Wait until what waits of a response or a conversation has been written, or for so long."""
        waiting = [written for keep, written in self._waiting if _concerns(keep, name)]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)

    async def close(self) -> None:
        """Write what waits, for a while. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._waiting:
            await asyncio.wait([written for _, written in self._waiting], timeout=CLOSE_TIMEOUT_S)
        self._stopping.set()
        self._due.set()
        # Not cancelled while it asks the database: the driver would leave a connection behind that never ends.
        await end(task)
        if self._waiting:
            _log.error("%d responses could not be written and are lost", len(self._waiting))
        for _, written in self._waiting:
            written.cancel()
        await self._disconnect()

    async def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            if not self._waiting:
                self._due.clear()
                await self._due.wait()
                continue
            batch = [keep for keep, _ in self._waiting[:BATCH]]
            try:
                await self._commit(batch)
            except Exception as error:  # noqa: BLE001  whatever a driver raises: the task must live on
                _log.warning("responses cannot be written, they are tried again: %s", error)
                await self._disconnect()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(retry_s):
                        await self._stopping.wait()
                retry_s = min(retry_s * 2, LAST_RETRY_S)
                continue
            retry_s = FIRST_RETRY_S
            self._done(len(batch))

    def _done(self, count: int) -> None:
        done, self._waiting = self._waiting[:count], self._waiting[count:]
        for keep, written in done:
            row, size = keep.row, _bytes(keep)
            self._bytes -= size
            self.written_bytes += size
            if row is not None and self._rows.get(row.id) is row:
                del self._rows[row.id]
            if not written.done():
                written.set_result(None)

    async def _commit(self, batch: list[Keep]) -> None:
        try:
            await self._write(batch)
        except self._value_errors:
            await self._disconnect()
            for keep in batch:
                try:
                    await self._write([keep])
                except self._value_errors as error:
                    await self._disconnect()
                    _log.error("the database refuses a response, which is not kept: %s", error)

    async def _write(self, batch: list[Keep]) -> None:
        if self._connection is None:
            self._connection = await self._engine.connect()
        await in_one_transaction(self._connection, partial(self._statements.execute, batch))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it may be what is broken
                await connection.invalidate()
                await connection.close()


def _bytes(keep: Keep) -> int:
    items = () if keep.append is None else keep.append.items
    return (0 if keep.row is None else keep.row.bytes) + sum(len(item) for _, item in items)


def _concerns(keep: Keep, name: str) -> bool:
    if keep.row is not None and keep.row.id == name:
        return True
    return keep.append is not None and keep.append.conversation == name
