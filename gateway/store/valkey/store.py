"""The store that many gateways share: one Lua function per operation, one round trip per admission.

An admission whose answer was lost is called off by its id as soon as the server is back; that leaves a mark there, so
that a late arrival of the admission itself finds that it was called off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from gateway.ledger.operations import (
    Amounts,
    Claim,
    CounterState,
    Extension,
    Granted,
    Opening,
    OutsideWindow,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import replies, scripts
from gateway.store.valkey.client import Client, Part
from gateway.store.valkey.codec import charge_body
from gateway.store.valkey.encode import Encoder, opening_args
from gateway.store.valkey.link import LOST_AFTER_S, Link
from gateway.store.valkey.seeding import Seeder as Seeder  # noqa: PLC0414 -- belongs to this module's interface
from gateway.store.valkey.seeding import Seeds as Seeds  # noqa: PLC0414
from gateway.store.valkey.seeding import seed_args
from gateway.telemetry.events import ChargePosted

MAX_UNACKNOWLEDGED: Final = 100_000
"""Settlements that may wait for the server before admission stops."""
SEED_TRIES: Final = 20
SEED_RETRY_S: Final = 0.05
"""When the journal is behind the stream it is asked again so much later."""
PAGE: Final = 500
"""Counters that are read at a time."""

_EXTENSIONS: Final[dict[bytes, Extension]] = {b"EXTENDED": "extended", b"NO_ROOM": "no_room", b"GONE": "gone"}
_runs = msgspec.json.Decoder(list[Run])
_run = msgspec.json.Decoder(Run)


class ValkeyStore(Link):
    """Implements `gateway.store.protocol.Store`."""

    shared = True
    """Room may come back without `on_room`: other gateways settle too. Waiters look again now and then."""

    def __init__(
        self, client: Client, installation: str, owner: str, seeder: Seeder, lost_after_s: float = LOST_AFTER_S
    ) -> None:
        """`owner`, `lost_after_s`: see `Link`."""
        super().__init__(client, installation, owner, lost_after_s)
        self.pending: dict[str, tuple[Ticket, Granted]] = {}
        """What this process has reserved and not ended, for a rebuild. Granted amounts include extensions."""
        self._seeder = seeder
        self._encode = Encoder(owner)
        self._seeding: dict[str, asyncio.Task[None]] = {}

    # --- attempts ---

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """Reserve the first bid that fits. Raises StoreUnavailable, and OutsideWindow for claims of another window."""
        args = self._encode.ticket(ticket)
        for _ in range(SEED_TRIES):
            code, payload = await self._admit_once(ticket.id, args)
            if code == b"GRANTED":
                granted = replies.granted(ticket, payload)
                self.pending[ticket.id] = (ticket, granted)
                return granted
            if code == b"REFUSED":
                return replies.refused(ticket, payload)
            if code != b"MISSING":
                return _rare_answer(ticket, code, payload)
            bid, *indexes = map(int, payload.split())
            claims = ticket.bids[bid].claims
            await self._seed([claims[index - 1] for index in indexes])
        raise StoreUnavailable("counters are lost as soon as they are seeded")

    async def _admit_once(self, reservation: str, args: tuple[Part, ...]) -> tuple[bytes, bytes]:
        if self.halted is not None:
            raise StoreUnavailable(self.halted)
        if len(self._kept) >= MAX_UNACKNOWLEDGED:
            raise StoreUnavailable(f"{len(self._kept)} settlements wait for the store")
        future = self.client.call(scripts.ADMIT, self.keys.meta, (self.epoch, *args))
        try:
            reply = await future
        except asyncio.CancelledError:
            self._call_off(reservation)
            raise
        if type(reply) is not list:
            self._call_off(reservation)
        return self.believe(reply)

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to the calibrated claims of a pending reservation, all or nothing. Raises StoreUnavailable."""
        code, _ = await self.call(scripts.EXTEND, reservation, more.money, more.tokens)
        found = _EXTENSIONS[code]
        entry = self.pending.get(reservation)
        if found == "extended" and entry is not None:
            ticket, granted = entry
            calibrated = Amounts(granted.calibrated.money + more.money, granted.calibrated.tokens + more.tokens)
            self.pending[reservation] = (ticket, granted._replace(calibrated=calibrated))
        return found

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. Returns at once; it is applied in the end."""
        self.pending.pop(reservation, None)
        self.keep(scripts.SETTLE, (reservation, spent.money, spent.tokens, 1, charge_body(charge)))

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back: nothing can have been billed."""
        self.pending.pop(reservation, None)
        self.keep(scripts.SETTLE, (reservation, 0, 0, 0, b"" if charge is None else charge_body(charge)))

    def _call_off(self, reservation: str) -> None:
        """Nobody knows whether it was admitted: it is not, from now on."""
        self.keep(scripts.SETTLE, (reservation, 0, 0, 0, b""))

    # --- runs ---

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        """Open a run, or find it; depth, children and carve are checked in the same step.

        Raises StoreUnavailable, and OutsideWindow for carve claims of another window.
        """
        args = opening_args(opening)
        for _ in range(SEED_TRIES):
            code, payload = await self.call(scripts.OPEN_RUN, *args)
            if code == b"RUN":
                return self.note_run(_run.decode(payload), opening)
            if code == b"REFUSED":
                return replies.run_refused(payload)
            if code != b"MISSING":
                raise OutsideWindow(opening.id)
            claims = opening.carve_claims
            await self._seed([claims[index - 1] for index in map(int, payload.split())])
        raise StoreUnavailable("counters are lost as soon as they are seeded")

    async def run(self, run: str) -> Run | None:
        """A run as it stands, or None. Raises StoreUnavailable."""
        _, payload = await self.call(scripts.FIND_RUNS, run, "", 1)
        return next(iter(_runs.decode(payload)), None)

    async def runs(self, *, state: str | None = None, limit: int = 100) -> Sequence[Run]:
        """The latest runs, for people. Raises StoreUnavailable."""
        _, payload = await self.call(scripts.FIND_RUNS, "", state or "", limit)
        return _runs.decode(payload)

    async def close_run(self, run: str, reason: str) -> Run | None:
        """Close a run and its sub-runs; what is left of a carve goes back, pending attempts end. None: no such run."""
        found = await self._change(run, "close", reason)
        self._room()
        return found

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed."""
        return await self._change(run, "pause", reason)

    async def resume_run(self, run: str) -> Run | None:
        """Let a paused run go on."""
        return await self._change(run, "resume", "")

    async def _change(self, run: str, action: str, reason: str) -> Run | None:
        code, payload = await self.call(scripts.CHANGE_RUN, run, action, reason)
        return self.note_run(_run.decode(payload)) if code == b"RUN" else None

    # --- counters ---

    async def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        """Post `amount` (negative gives money back) to a counter once for each `entry` id. None: no such counter.

        The caller has written the entry to the journal first. Raises StoreUnavailable.
        """
        _, payload = await self.call(scripts.ADJUST, key, amount, entry)
        if amount < 0:
            self._room()
        return next(iter(replies.counters(payload)), None)

    async def set_limit(self, key: str, limit: int, version: int) -> None:
        """Change the limit of a counter, if there is one and no newer configuration has. Raises StoreUnavailable."""
        await self.call(scripts.SET_LIMIT, key, limit, version)
        self._room()

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """Counters by key, or all of them, as far as there are any. Raises StoreUnavailable."""
        if keys is None:
            names: Any = await self.client.command("SMEMBERS", self.keys.counters)
            keys = sorted(name.decode() for name in names)
        found: list[CounterState] = []
        for start in range(0, len(keys), PAGE):
            _, payload = await self.call(scripts.SHOW_COUNTERS, *keys[start : start + PAGE])
            found += replies.counters(payload)
        return found

    async def _seed(self, claims: Sequence[Claim]) -> None:
        """Make counters that are missing. Those that another request is seeding already are waited for."""
        mine = [claim for claim in claims if claim.key not in self._seeding]
        waited = {self._seeding[claim.key] for claim in claims if claim.key in self._seeding}
        if mine:
            task = self._loop.create_task(self._seed_now(mine), name="seed")
            self._seeding.update((claim.key, task) for claim in mine)
            task.add_done_callback(partial(self._seeded, mine))
            waited.add(task)
        # a caller that gives up must not take the others' answer away
        await asyncio.gather(*map(asyncio.shield, waited))

    def _seeded(self, claims: Sequence[Claim], task: asyncio.Task[None]) -> None:
        for claim in claims:
            self._seeding.pop(claim.key, None)
        if not task.cancelled():
            task.exception()  # whoever waited for it has got it

    async def _seed_now(self, claims: Sequence[Claim]) -> None:
        for _ in range(SEED_TRIES):
            seeds = await self._seeder.seed(claims)
            code, _ = await self.call(scripts.SEED, *seed_args(claims, seeds))
            if code == b"OK":
                return
            await asyncio.sleep(SEED_RETRY_S)
        raise StoreUnavailable("the journal is behind the store")


def _rare_answer(ticket: Ticket, code: bytes, payload: bytes) -> Refused:
    if code == b"BLOCKED":
        return replies.blocked(ticket, payload)
    if code == b"RESOLVED":
        return replies.resolved(ticket)
    if code == b"GONE":
        return replies.carve_gone(ticket)
    raise OutsideWindow(ticket.id)
