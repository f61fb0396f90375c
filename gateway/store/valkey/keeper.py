"""Looks after a gateway's store: heartbeats, the drain, and which epoch holds.

Admission needs three to agree: PostgreSQL says that an epoch is ready, Valkey is in that epoch, and it is the server
that the epoch was made in. Where they do not, or where a reply went back, every gateway stops, fences what was there
before, puts down in PostgreSQL what it holds, and one of them fills the new epoch. Nobody has to be called for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from gateway.journal.engine import AsyncEngine
from gateway.ledger.operations import Amounts, Opening, Run
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.codec import Admitted, Body, charge_of_body
from gateway.store.valkey.drain import Drain
from gateway.store.valkey.gateways import Declaration, Gateways
from gateway.store.valkey.locks import holding
from gateway.store.valkey.position import NOWHERE, Position, Standing, Superseded
from gateway.store.valkey.rebuild import CARVE, Rebuild, latest_us, remains
from gateway.store.valkey.store import ValkeyStore
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")

BEAT_S: Final = 2.0
BUSY_S: Final = 0.1
"""How long the steps of a rebuild wait for one another."""
PATIENCE_S: Final = 30.0
"""An epoch that another gateway has been filling for so long is announced anew: its leader may have been stopped."""


class Keeper:
    """One for each store of a process. Make it before the store is used, and `start` it."""

    def __init__(
        self,
        store: ValkeyStore,
        engine: AsyncEngine,
        installation: str,
        *,
        beat_s: float = BEAT_S,
        dead_after_s: float = 10.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.store = store
        self.drain = Drain(store.client, engine, installation)
        self.gateways = Gateways(engine, installation, store.owner, dead_after_s)
        self.last_error: str | None = None
        """Why the latest round failed; None when it did not."""
        self.rebuilt = 0
        """Epochs that this gateway has filled."""
        self.settled = asyncio.Event()
        """Set once it is known that the counters are complete, or that the store or the journal does not answer."""
        self._engine = engine
        self._installation = installation
        self._beat_s = beat_s
        self._wake = asyncio.Event()
        self._suspected: int | None = None
        self._declared = 0
        self._led_since = (0, 0.0)
        """An epoch that others lead, and since when that is known (`time.monotonic`)."""
        self._least_patience_s = self._patience_s = patience_s
        self._goal = (time.monotonic(), Position(0, 0))
        self._behind_since_s: float | None = None
        self._looked_at_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        store.on_suspect = self._suspect

    def start(self) -> None:
        """Connect, drain, and admit as soon as an epoch is known to be complete."""
        self.store.client.start()
        self.drain.start()
        self._task = asyncio.create_task(self._run(), name="store keeper")

    async def close(self) -> None:
        """Stop, and tell the others that this gateway holds nothing (call it when nothing is pending)."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self.drain.close()
        if not self.store.pending and not self.store.unacknowledged:
            try:
                await self.gateways.leave()
            except Exception as error:  # noqa: BLE001 -- whatever a driver raises: they will find out by themselves
                _log.warning("the others were not told that this gateway has ended: %s", error)

    @property
    def lag_s(self) -> float:
        """For how long something that the store has told has not reached the journal, as far as is known."""
        now_s = time.monotonic()
        if self._behind_since_s is not None:
            return now_s - self._behind_since_s
        silent_s = now_s - self._looked_at_s
        return silent_s if silent_s > 2 * self._beat_s else 0.0  # the database does not even say no

    def _measure(self, drained: Position) -> None:
        since_s, goal = self._goal
        if drained < goal:
            self._behind_since_s = since_s
            return
        self._behind_since_s = None
        store = self.store
        self._goal = (time.monotonic(), Position(int(store.epoch or 0), store.seq))

    def _suspect(self, _reason: str) -> None:
        self._suspected = int(self.store.epoch or 0)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = self._beat_s
            try:
                if not await self.round():
                    pause_s = BUSY_S
                self.last_error = None
            except Exception as error:  # noqa: BLE001 -- whatever a driver raises: the task must live on
                if isinstance(error, StoreUnavailable):
                    self._behind_since_s = None  # what the store does not tell the journal cannot lack
                elif self._behind_since_s is None and not isinstance(error, Superseded):
                    self._behind_since_s = self._goal[0]
                if self.last_error is None and not isinstance(error, (Superseded, StoreUnavailable)):
                    _log.error("the store cannot be looked after: %s", error)
                self.last_error = str(error) or type(error).__name__
                if not isinstance(error, Superseded):
                    self.settled.set()
                pause_s = min(self._beat_s, 0.5)
            self._looked_at_s = time.monotonic()
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def round(self) -> bool:
        """Do what is to be done now. True when all is well; False when the next round should come soon."""
        standing = await self.gateways.beat()
        client = self.store.client
        await client.ready()
        if client.greeting is None or client.greeting.role != "master":
            return False
        if standing == NOWHERE or (standing.ready and not await self._holds(standing)):
            await self._propose(standing)
            return False
        if standing.ready:
            return await self._go_on(standing)
        return await self._take_part(standing)

    # --- an epoch that is ready ---

    async def _holds(self, standing: Standing) -> bool:
        """Whether Valkey agrees with PostgreSQL, and nothing has been seen that speaks against it."""
        greeting = self.store.client.greeting
        if self._suspected == standing.epoch or greeting is None or greeting.run_id != standing.server:
            return False
        return await self._valkeys_epoch() == standing.epoch

    async def _go_on(self, standing: Standing) -> bool:
        store = self.store
        if store.halted is None and store.epoch == str(standing.epoch):
            self._measure(standing.drained)
            if standing.drained.epoch == standing.epoch:
                store.journalled(standing.drained.seq)
            return True
        if store.epoch and self._declared != standing.epoch and await self._is_missing_something():
            await self._propose(standing)
            return False
        greeting = store.client.greeting
        if greeting is None or greeting.run_id != standing.server:
            return False
        self._suspected = None
        self._patience_s = self._least_patience_s
        store.resume(str(standing.epoch))
        self.settled.set()
        store.tell_again()
        return True

    async def _is_missing_something(self) -> bool:
        """An epoch was made without this gateway: whether it holds anything that nobody has heard of."""
        store = self.store
        mine = [*store.pending, *(ending.reservation for ending in store.leftovers() if ending.charge)]
        return bool(mine and await self.gateways.unknown(mine)) or bool(store.changed_runs)

    # --- a new one ---

    async def _valkeys_epoch(self) -> int:
        found = await self.store.client.command("HGET", self.store.keys.meta, "epoch")
        return int(found or 0)

    async def _propose(self, seen: Standing) -> None:
        self.store.suspect("the store's counters are being rebuilt")
        target = max(seen.epoch, await self._valkeys_epoch()) + 1
        if await self.gateways.propose(seen, target):
            _log.warning("the store's counters are rebuilt from the journal, as epoch %d", target)
        self._wake.set()

    async def _take_part(self, standing: Standing) -> bool:
        store, epoch = self.store, standing.epoch
        store.suspect("the store's counters are being rebuilt")
        if not await self._fence(standing):
            return False
        await store.client.command("PING")  # what was sent before has been answered
        await self.drain.catch_up()
        if self._declared != epoch and not standing.server:
            await self._declare(epoch)
        async with holding(self._engine, f"rebuild {self._installation} {epoch}") as connection:
            if connection is not None:
                return await self._lead(epoch)
        if self._waits_too_long(epoch):
            await self._propose(standing)
        return False

    def _waits_too_long(self, epoch: int) -> bool:
        """Whether the epoch's leader seems to stand still. Each is waited for longer: it may have much to do."""
        now_s = time.monotonic()
        if self._led_since[0] != epoch:
            self._led_since = (epoch, now_s)
        if now_s - self._led_since[1] < self._patience_s:
            return False
        self._patience_s *= 2
        return True

    async def _fence(self, standing: Standing) -> bool:
        """Begin the epoch in Valkey: whatever is sent in an earlier one fails from now on."""
        client, target = self.store.client, standing.epoch
        there = await self._valkeys_epoch()
        if there == target:
            return True
        if there > target:
            await self._propose(standing)
            return False
        greeting = client.greeting
        server = "" if greeting is None else greeting.run_id
        latest = await latest_us(self._engine)
        reply = await client.call(
            scripts.EPOCH, self.store.keys.meta, (str(there) if there else "", str(target), server, latest)
        )
        if isinstance(reply, Exception):
            raise StoreUnavailable(f"the store refuses: {reply}")
        return await self._valkeys_epoch() == target

    async def _declare(self, epoch: int) -> None:
        store = self.store
        declaration = self._declaration()
        orphaned = await self.gateways.declare(epoch, declaration)
        ended = {charge.charge_id for charge in declaration.charges} | set(declaration.released)
        store.hand_over(ended - orphaned)
        store.changed_runs.clear()
        self._declared = epoch

    def _declaration(self) -> Declaration:
        store = self.store
        pending = []
        for name, (ticket, granted) in store.pending.items():
            bid = ticket.bids[granted.bid]
            body = Body(bid.claims, bid.origin, ticket.via, ticket.runs)
            at_s = granted.at_s
            pending.append(Admitted(name, store.owner, at_s, at_s, granted.strict, granted.calibrated, body))
        charges: list[ChargePosted] = []
        released: list[str] = []
        for reservation, counted, charge in store.leftovers():
            if charge:
                resolution = "settled" if counted else "released"
                charges.append(charge_of_body(charge)._replace(resolution=resolution))
            else:
                released.append(reservation)
        runs = {change.run.id: change for _, change, _ in store.changed_runs}
        carves = [
            _carve(change.run, opening)
            for _, change, opening in store.changed_runs
            if opening is not None and change.run.carve
        ]
        return Declaration(pending, charges, released, list(runs.values()), carves)

    async def _lead(self, epoch: int) -> bool:
        client = self.store.client
        greeting = client.greeting
        if greeting is None:
            return False
        standing = await self.gateways.beat()
        if standing.epoch != epoch or standing.ready:
            return False
        if not standing.server and not await self.gateways.collect(epoch, greeting.run_id):
            return False
        rebuild = Rebuild(client, self._installation, epoch)
        await rebuild.sweep()
        await rebuild.fill(await remains(self._engine, self.store.now_s()))
        now = client.greeting
        if not client.connected or now is None or now.run_id != greeting.run_id:
            return False
        await self.gateways.finish(epoch, greeting.run_id)
        self.rebuilt += 1
        _log.warning("the store's counters are complete in epoch %d", epoch)
        self._wake.set()
        return False


def _carve(run: Run, opening: Opening) -> Admitted:
    body = Body(opening.carve_claims, opening.carve_origin, opening.carve_via, ())
    amounts = Amounts(run.carve, 0)
    return Admitted(CARVE + run.id, "", run.opened_at_s, run.opened_at_s, amounts, amounts, body)
