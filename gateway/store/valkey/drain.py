"""Carries the stream's events into PostgreSQL: every event once, in order.

The position in the stream is kept in PostgreSQL and moves in the transaction that writes what lies before it. So the
database always knows what it knows: "everything up to this entry". Seeding needs exactly that, and no consumer group of
Valkey's could tell it. Any gateway can drain; one does, whoever holds an advisory lock, and the others take over when
its connection ends, or it does nothing for a while though there is something to do. The lock saves work and is not
relied upon: a drainer that has been overtaken writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from gateway.journal.database import in_one_transaction
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.postgres import ValueRefused
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.apply import BatchWriter
from gateway.store.valkey.batch import Batch
from gateway.store.valkey.codec import StoreEvent, decode
from gateway.store.valkey.keys import Keys
from gateway.store.valkey.locks import holding
from gateway.store.valkey.position import Position, Superseded, advance, position_of, standing
from gateway.telemetry.events import ChargePosted, OrphanReturned

_log = logging.getLogger("farebox.store")

BATCH: Final = 500
STANDBY_S: Final = 1.0
"""How often a gateway that does not drain looks whether it should."""
FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 2.0


class Commands(Protocol):
    """What is needed of the connection to Valkey."""

    async def command(self, *parts: Any) -> Any:
        """Send a command. Raises StoreUnavailable, or the server's error."""
        ...


class Drain:
    """One gateway's part in draining."""

    def __init__(self, commands: Commands, engine: AsyncEngine, installation: str, interval_s: float = 0.1) -> None:
        self._commands = commands
        self._engine = engine
        self._installation = installation
        self._interval_s = interval_s
        self._events = Keys.of(installation).events
        self._writer = BatchWriter(engine.dialect)
        self._position: Position | None = None
        self._stepping = asyncio.Lock()
        self._seen: Position | None = None
        self._task: asyncio.Task[None] | None = None
        self.active = False
        """Whether it is this gateway that drains."""
        self.last_error: str | None = None
        self.on_drained: Callable[[Position], None] = lambda position: None
        """Called when everything up to an entry is in the journal."""
        self.on_orphans: Callable[[Sequence[ChargePosted | OrphanReturned]], None] = lambda events: None
        """Called with charges that were made for lost gateways, and with those that such a gateway has settled after
        all, once that is in the journal."""

    def start(self) -> None:
        """Begin, or stand by while another gateway drains."""
        self._task = asyncio.create_task(self._run(), name="drain")

    async def close(self) -> None:
        """Stop. What is not drained yet is drained by another gateway, or by the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def step(self, connection: AsyncConnection) -> int:
        """Carry over the next entries; returns how many there were.

        Raises Superseded when another gateway was quicker, StoreUnavailable, or what the database's driver raises.
        """
        async with self._stepping:
            return await self._step(connection)

    async def _step(self, connection: AsyncConnection) -> int:
        start = self._position
        if start is None:
            async with connection.begin():
                start = self._position = (await standing(connection, self._installation)).drained
        entries = await self._commands.command("XRANGE", self._events, f"({start}", "+", "COUNT", BATCH)
        if not entries:
            return 0
        try:
            end = await self._carry(connection, start, entries)
        except BaseException:
            self._position = None  # whether it was committed is not known: the database is asked
            raise
        self._position = end
        await self._commands.command("XTRIM", self._events, "MINID", "=", str(end.next))
        self.on_drained(end)
        return len(entries)

    async def catch_up(self) -> None:
        """Carry over all that the stream has, whoever drains otherwise."""
        async with self._engine.connect() as connection:
            count = 1
            while count:
                try:
                    count = await self.step(connection)
                except Superseded:
                    continue

    async def _carry(self, connection: AsyncConnection, start: Position, entries: Sequence[Any]) -> Position:
        """Write entries, one by one if need be: a value that the database refuses must not hold up all others."""
        try:
            return await self._write(connection, start, entries, mend=False)
        except ValueRefused as error:
            _log.error("the journal refused a value of the stream, now changed to the nearest that it takes: %s", error)
        for entry in entries:
            try:
                start = await self._write(connection, start, [entry], mend=True)
            except ValueRefused as error:
                _log.critical("an entry of the stream cannot be stored and is lost (%s): %r", error, entry)
                start = await self._write(connection, start, [(entry[0], ())], mend=True)
        return start

    async def _write(
        self, connection: AsyncConnection, start: Position, entries: Sequence[Any], *, mend: bool
    ) -> Position:
        batch = Batch()
        batch.add(event for event in map(_event_of, entries) if event is not None)
        end = position_of(entries[-1][0])

        def write(cursor: Any) -> None:
            advance(cursor, self._installation, start, end)
            self._writer.write(cursor, batch, mend=mend)

        await in_one_transaction(connection, write)
        orphans = [charge for charge in batch.charges if charge.resolution == "orphaned"]
        if orphans or batch.returned:
            self.on_orphans([*orphans, *batch.returned])
        return end

    async def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            try:
                async with holding(self._engine, f"drain {self._installation}") as connection:
                    if connection is not None:
                        self.active = True
                        await self._drain(connection)
                retry_s = FIRST_RETRY_S
                await self._stand_in()
                await asyncio.sleep(STANDBY_S)
            except Exception as error:  # noqa: BLE001 -- whatever a driver raises: the task must live on
                self._failed(error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            finally:
                self.active = False

    async def _stand_in(self) -> None:
        """Drain, once, when nothing has been drained since the last look: who holds the lock may stand still."""
        async with self._engine.connect() as connection, connection.begin():
            drained = (await standing(connection, self._installation)).drained
        if drained == self._seen:
            await self.catch_up()
        self._seen = drained

    async def _drain(self, connection: AsyncConnection) -> None:
        """Carry over entries until something fails. Holding the lock is holding the connection."""
        while True:
            try:
                count = await self.step(connection)
            except Superseded:  # somebody wanted the journal to be complete at once, and was quicker
                continue
            if self.last_error is not None:
                _log.warning("the store's events reach the journal again")
                self.last_error = None
            if count < BATCH:
                await asyncio.sleep(self._interval_s)

    def _failed(self, error: Exception) -> None:
        self._position = None
        if isinstance(error, StoreUnavailable):
            return  # told by the store itself
        if self.last_error is None:
            _log.error("the store's events do not reach the journal: %s", error)
        self.last_error = str(error) or type(error).__name__


def _event_of(entry: Any) -> StoreEvent | None:
    name, fields = entry
    if not fields:
        return None
    try:
        return decode(dict(zip(fields[::2], fields[1::2], strict=True)))
    except ValueError as error:  # msgspec's errors are ValueErrors too
        _log.critical("an entry of the stream cannot be read and is lost (%s): %r %r", error, name, fields)
        return None
