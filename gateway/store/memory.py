"""The store of one process: a book in memory, its log on the disk, its past in the journal.

Decisions are the book's (`gateway.ledger.book`); this adds what a process needs. Every operation is applied and, where
it reserves, written to the log in one step without an await, so that none can come between: `admit` suspends only under
`durability: power`, and while a budget that was just configured is being seeded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from gateway.config.snapshot import Snapshot
from gateway.journal.database import JournalError
from gateway.journal.writer import Journal
from gateway.ledger.operations import (
    Amounts,
    Claim,
    CounterState,
    Extension,
    Granted,
    Opening,
    Origin,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.store.clock import JUMP_S, StoreClock
from gateway.store.force import Force
from gateway.store.live import LiveBook
from gateway.store.lock import StorageLock
from gateway.store.log import LogUnwritable, ReservationLog
from gateway.store.memory_runs import MemoryRuns
from gateway.store.protocol import StoreUnavailable
from gateway.store.recovery import recover, restore_runs
from gateway.store.room import Room
from gateway.store.sync import GroupSync
from gateway.store.writing import LogKeeper
from gateway.telemetry.events import ChargePosted, OrphanReturned
from gateway.upstream.health import UpstreamHealth

_log = logging.getLogger("farebox.store")

UPKEEP_S = 1.0


class MemoryStore:
    """Budgets, rates and run limits of one process. Made by `await MemoryStore.open(...)`, in its loop."""

    shared = False

    def __init__(self, book: LiveBook, clock: Callable[[], float], journal: Journal, force: Force) -> None:
        self._book = book
        self.now_s = clock
        """The store's time: never goes back. Windows are computed from it."""
        self._journal = journal
        self._force = force
        self._room = Room()
        self._log: ReservationLog
        self._keeper: LogKeeper
        self._runs: MemoryRuns
        self._lock: StorageLock
        self._upkeep: asyncio.Task[None] | None = None
        self._orphans: Sequence[ChargePosted] = ()
        """What the last life left under way, until somebody asks."""
        self._timeout_s = 1.0

    @classmethod
    async def open(
        cls,
        snapshot: Snapshot,
        journal: Journal,
        *,
        flush: Callable[[], Awaitable[None]] | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Take the storage directory's lock, recover what the last process left, and seed every counter.

        `flush` returns when all that has been recorded so far is in the journal, on disk: `journal.flush`, unless
        something else holds events back before the journal has them. Raises StorageLocked, JournalError.
        """
        directory = snapshot.storage.dir
        lock = StorageLock.take(directory)
        try:
            recovered = await recover(directory, journal, wall())
            clock = StoreClock(wall, monotonic, recovered.last_at_s)
            book = LiveBook()
            force = Force(book, journal.database, flush or journal.flush, clock)
            force.take(snapshot)
            await restore_runs(book, journal.database, recovered, force.carve_claims, clock())
            await force.begin()
            store = cls(book, clock, journal, force)
            store._start(snapshot, lock, flush or journal.flush)
            store._orphans = recovered.orphans
        except BaseException:
            lock.release()
            raise
        if recovered.last_at_s > wall() + JUMP_S:
            _log.warning("the clock is %.0f s behind the journal's latest charge", recovered.last_at_s - wall())
        return store

    def _start(self, snapshot: Snapshot, lock: StorageLock, flush: Callable[[], Awaitable[None]]) -> None:
        directory = snapshot.storage.dir
        self._lock = lock
        self._timeout_s = snapshot.storage.store_timeout_s
        try:
            self._log = ReservationLog(directory, self._book.carved())
        except LogUnwritable as error:
            raise JournalError(f"the log of reservations cannot be written: {error}") from error
        self._keeper = LogKeeper(self._log, directory, flush, power=snapshot.storage.durability == "power")
        self._runs = MemoryRuns(self._book, self._keeper, self._journal, self.now_s, self._room)
        self._upkeep = asyncio.create_task(self._keep_up(), name="store upkeep")

    async def flush(self) -> None:
        """Nothing to do: charges reach the journal without the store."""

    async def share(self, health: UpstreamHealth) -> None:
        """Nothing to do: there is no other gateway."""

    def on_orphans(self, callback: Callable[[Sequence[ChargePosted | OrphanReturned]], None]) -> None:
        """Call this with what the last life of the store left under way."""
        orphans, self._orphans = self._orphans, ()
        callback(orphans)

    def status(self) -> dict[str, Any]:
        """How it stands, for people: `store` is `ok`, or `unavailable` and `store_error` says why."""
        return self._keeper.status()

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call this whenever room may have come back."""
        self._room.listen(callback)

    def use(self, snapshot: Snapshot) -> None:
        """Put a new configuration's budgets in force. Returns at once; new budgets are seeded in the background."""
        if self._force.use(snapshot):
            self._room.tell()

    # --- attempts ---

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """Reserve the first bid that fits. Raises StoreUnavailable, OutsideWindow."""
        force = self._force
        if force.new and any(force.waits_for(bid.claims) for bid in ticket.bids):
            await self._seeded()
        repeated, sync = ticket.id in self._log, self._keeper.sync
        answer = self._admit(ticket, self.now_s())
        if sync is None or repeated or isinstance(answer, Refused):
            return answer
        try:
            await sync.wait()
        except LogUnwritable as error:
            self._withdraw(ticket.id)
            raise self._keeper.unavailable(error) from error
        except asyncio.CancelledError:
            self._withdraw(ticket.id)
            raise
        return answer

    def admit_at_once(self, ticket: Ticket, now_s: float) -> Granted | Refused | None:
        """As `admit`, or None where that would have to wait for something. `now_s` is the store's time, just read."""
        return self._admit(ticket, now_s) if self._keeper.sync is None and not self._force.new else None

    def _admit(self, ticket: Ticket, now_s: float) -> Granted | Refused:
        """Reserve and write it."""
        book, force = self._book, self._force
        answer = book.admit(ticket, now_s)
        if isinstance(answer, Refused) or ticket.id in self._log:  # then it is asked again
            return answer
        held = book.held(ticket.id)
        if force.late_until_s > now_s:
            force.cover_late(held)
        try:
            self._log.reserve(ticket.id, now_s, held.charge(), ticket.via, held.bid.origin)
        except LogUnwritable as error:
            self._withdraw(ticket.id)
            raise self._keeper.unavailable(error) from error
        return answer

    def _withdraw(self, reservation: str) -> None:
        self._book.undo(reservation, self.now_s())
        if reservation in self._log:
            self._log.release(reservation, None)
            self._keeper.write_soon()
        self._room.tell()

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to the calibrated claims of a pending reservation, all or nothing. Raises StoreUnavailable."""
        starved = self._book.is_starved(reservation)
        answer = self._book.extend(reservation, more, self.now_s())
        if answer != "extended" or self._book.held(reservation).calibrated is None:
            return answer
        if starved:  # others may be let in again
            self._room.tell()
        written = False
        try:
            self._log.extend(reservation, more)
            written = True
            if self._keeper.sync is not None:
                await self._keeper.sync.wait()
        except LogUnwritable as error:
            if reservation in self._log:
                self._book.undo_extension(reservation, more)
                if written:
                    self._log.undo_extension(reservation, more)
            raise self._keeper.unavailable(error) from error
        return answer

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. The charge is kept in the log until the journal has it."""
        book, force = self._book, self._force
        claims: list[tuple[Claim, float]] = []
        if force.new and reservation in self._log:
            claims = list(book.claims_of(book.held(reservation)))
        done = book.settle(reservation, spent, self.now_s())
        if done.resolution != "settled":
            return
        if charge.window_at_s != done.at_s or charge.reserved_at_s != done.reserved_at_s:
            charge = charge._replace(window_at_s=done.at_s, reserved_at_s=done.reserved_at_s)
        if claims:
            force.settled(charge, claims)
        self._log.settle(reservation, charge)
        if done.overrun:
            self._keeper.write_now()  # an orphan would be charged less than this
        else:
            self._keeper.write_soon()
        self._room.tell()

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back: nothing can have been billed."""
        if self._book.release(reservation, self.now_s()).resolution == "released":
            self._log.release(reservation, charge)
            self._keeper.write_soon()
            self._room.tell()

    # --- attempts that nothing governs ---

    def intend(self, attempt: str, at_s: float, charged: Amounts, origin: Origin) -> Awaitable[None] | None:
        """Write what is about to be sent; to be awaited where the disk has to have it. Raises StoreUnavailable."""
        try:
            self._log.intend(attempt, at_s, charged, origin)
        except LogUnwritable as error:
            raise self._keeper.unavailable(error) from error
        return None if self._keeper.sync is None else self._synced(attempt, self._keeper.sync)

    async def _synced(self, attempt: str, sync: GroupSync) -> None:
        try:
            await sync.wait()
        except LogUnwritable as error:
            self.withdraw_intent(attempt)
            raise self._keeper.unavailable(error) from error
        except asyncio.CancelledError:
            self.withdraw_intent(attempt)
            raise

    def forget_intents(self, attempts: Sequence[str]) -> None:
        """They are charged."""
        self._log.forget(attempts)

    def withdraw_intent(self, attempt: str) -> None:
        """Nothing was sent."""
        self._log.release(attempt, None)
        self._keeper.write_soon()

    # --- runs ---

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        """Open a run, or find it. Raises StoreUnavailable, OutsideWindow."""
        if self._force.new and self._force.waits_for(opening.carve_claims):
            await self._seeded()
        return await self._runs.open(opening)

    async def run(self, run: str) -> Run | None:
        """A run as it stands, or None."""
        return self._runs.find(run)

    async def runs(self, *, state: str | None = None, limit: int = 100) -> Sequence[Run]:
        """The latest runs, for people."""
        return self._runs.latest(state, limit)

    async def close_run(self, run: str, reason: str) -> Run | None:
        """Close a run and its sub-runs; what is left of a carve goes back, pending attempts end. None: no such run."""
        return self._runs.close(run, reason)

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed."""
        return self._runs.pause(run, reason)

    async def resume_run(self, run: str) -> Run | None:
        """Let a paused run go on."""
        return self._runs.resume(run)

    # --- people ---

    async def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        """Post `amount` to a counter once for each `entry`, which the journal has. Raises StoreUnavailable."""
        claim = self._force.claim(key)
        if claim is not None and self._force.waits_for((claim,)):
            await self._seeded()  # the journal has the entry: it may be among what is seeded
        if claim is not None and key not in self._book:
            self._book.add_history(claim, {} if claim.bucket_s else 0)
        state = self._book.adjust(key, amount, entry, self.now_s())
        self._room.tell()
        return state

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """Counters by key, or all of them. Raises StoreUnavailable."""
        if self._force.new:
            await self._seeded()
        return self._book.counters(keys, self.now_s())

    async def close(self) -> None:
        """Write what waits and let go of the log and the lock. Idempotent."""
        if self._upkeep is None:
            return
        self._upkeep.cancel()
        await asyncio.wait((self._upkeep,))
        self._upkeep = None
        await self._force.close()
        await self._keeper.close()
        self._lock.release()

    # --- waiting, upkeep ---

    async def _seeded(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._force.seeded()
        except TimeoutError:
            raise StoreUnavailable("a new budget's spending so far has not been read from the journal yet") from None

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._tidy()
            except (LogUnwritable, JournalError) as error:  # the next turn tries again
                _log.debug("upkeep of the store: %s", error)
            await asyncio.sleep(UPKEEP_S)

    async def _tidy(self) -> None:
        """End what is over, and begin a new file of the log when the present one is long enough."""
        self._book.expire(self.now_s())
        self._runs.note_ended()
        await self._keeper.tidy()
