"""The store that many gateways share: one Lua function per operation, one round trip per admission.

Settlements and releases are not waited for. They are kept until the server has acknowledged them and sent again after a
reconnect; their ids make that harmless. An admission whose answer was lost is released by its id in the same way, and
leaves a mark there, so that a late arrival of the admission itself finds that it was called off.

Every answer carries the epoch's number of events and the server's time. An epoch other than ours, a number that goes
back, or a server that was started anew means that counters may be lost: `on_suspect` is called, and nothing is admitted
until `resume` names the epoch that holds from then on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

import hiredis

from gateway.ledger.operations import (
    Amounts,
    Claim,
    Extension,
    Granted,
    OutsideWindow,
    Refused,
    Ticket,
)
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import replies, scripts
from gateway.store.valkey.client import Client, Greeting, Part
from gateway.store.valkey.codec import charge_body
from gateway.store.valkey.encode import Encoder
from gateway.store.valkey.keys import Keys
from gateway.store.valkey.scripts import Script
from gateway.telemetry.events import ChargePosted

_log = logging.getLogger("farebox.store")

MAX_UNACKNOWLEDGED: Final = 100_000
"""Settlements that may wait for the server before admission stops."""
RETRY_S: Final = 0.5
"""After an error of the server (out of memory, read-only, loading) settlements are sent again so much later."""
BEAT_S: Final = 2.0
SEED_TRIES: Final = 5
MICRO: Final = 1e-6
_ANSWER_LENGTH: Final = 4

_EXTENSIONS: Final[dict[bytes, Extension]] = {b"EXTENDED": "extended", b"NO_ROOM": "no_room", b"GONE": "gone"}


class Seeder(Protocol):
    """Knows what is posted in a counter that Valkey does not have."""

    async def seed(self, claims: Sequence[Claim]) -> Seeds:
        """What the journal says of these counters, in one snapshot. Raises StoreUnavailable."""
        ...


class Seeds(NamedTuple):
    """What is posted, as of one moment of the journal."""

    upto: str
    """Id of the last entry of the stream that is counted in: all before it are too, none after it. `0-0`: none."""
    posted: Sequence[int | dict[int, int]]
    """For each claim: the sum; by bucket (`floor(window_at_s / bucket_s)`) for a rolling one."""
    entries: Sequence[tuple[str, ...]] = ()
    """For each claim: ids of the adjustments that are counted in and may still come to `adjust`."""


class _Kept(NamedTuple):
    script: Script
    args: tuple[Part, ...]


class ValkeyStore:
    """Implements `gateway.store.protocol.Store`. Made halted: whoever looks after epochs calls `resume`."""

    shared = True
    """Room may come back without `on_room`: other gateways settle too. Waiters look again now and then."""

    def __init__(self, client: Client, installation: str, owner: str, seeder: Seeder) -> None:
        """`owner` names this process among all that ever run: its pending reservations are found by it."""
        self.client = client
        self.keys = Keys.of(installation)
        self.owner = owner
        self.epoch = ""
        self.halted: str | None = "the store's counters are not known to be complete yet"
        """Why nothing is admitted; None when it is."""
        self.on_suspect: Callable[[str], None] = lambda reason: None
        """Called once with the reason when counters may be lost; then nothing is admitted until `resume`."""
        self.pending: dict[str, tuple[Ticket, Granted]] = {}
        """What this process has reserved and not ended, for a rebuild. Granted amounts include extensions."""
        self._seeder = seeder
        self._encode = Encoder(owner)
        self._kept: dict[int, _Kept] = {}
        self._numbers = count()
        self._seq = 0
        self._run_id = ""
        self._told_us = 0
        self._told_at_s = 0.0
        self._latest_s = 0.0
        self._callbacks: list[Callable[[], None]] = []
        self._seeding: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        client.on_connected = self._connected
        client.on_reply = self._observe

    # --- time and waiters ---

    def now_s(self) -> float:
        """The server's time, as of its latest answer and our monotonic clock since; never goes back."""
        now_s = self._told_us * MICRO + time.monotonic() - self._told_at_s if self._told_us else time.time()
        self._latest_s = max(self._latest_s, now_s)
        return self._latest_s

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call this when a settlement of this gateway has been applied."""
        self._callbacks.append(callback)

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
            raise _unavailable(reply)
        return self._believe(reply)

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to the calibrated claims of a pending reservation, all or nothing. Raises StoreUnavailable."""
        code, _ = await self._call(scripts.EXTEND, reservation, more.money, more.tokens)
        found = _EXTENSIONS[code]
        if found == "extended" and (entry := self.pending.get(reservation)) is not None:
            ticket, granted = entry
            calibrated = Amounts(granted.calibrated.money + more.money, granted.calibrated.tokens + more.tokens)
            self.pending[reservation] = (ticket, granted._replace(calibrated=calibrated))
        return found

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. Returns at once; it is applied in the end."""
        self.pending.pop(reservation, None)
        self._keep(scripts.SETTLE, (reservation, spent.money, spent.tokens, 1, charge_body(charge)))

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back: nothing can have been billed."""
        self.pending.pop(reservation, None)
        body = b"" if charge is None else charge_body(charge)
        self._keep(scripts.SETTLE, (reservation, 0, 0, 0, body))

    def _call_off(self, reservation: str) -> None:
        """Nobody knows whether it was admitted: it is not, from now on."""
        self._keep(scripts.SETTLE, (reservation, 0, 0, 0, b""))

    # --- what is kept until it is acknowledged ---

    def _keep(self, script: Script, args: tuple[Part, ...]) -> None:
        number = next(self._numbers)
        self._kept[number] = _Kept(script, args)
        if self.halted is None:
            self.client.post(script, self.keys.meta, (self.epoch, *args), partial(self._acknowledge, number))

    def _acknowledge(self, number: int, reply: Any) -> None:
        if type(reply) is list:
            try:
                self._believe(reply)
            except StoreUnavailable:
                return
            if self._kept.pop(number, None) is not None:
                for callback in self._callbacks:
                    callback()
        elif isinstance(reply, hiredis.ReplyError) and self._retry is None:
            _log.warning("the store refuses a settlement, which is sent again: %s", reply)
            self._retry = self._loop.call_later(RETRY_S, self._send_again)

    def _send_again(self) -> None:
        """Everything that is not acknowledged, in order. What was applied already changes nothing."""
        self._retry = None
        if self.halted is None and self.client.connected:
            for number, (script, args) in list(self._kept.items()):
                self.client.post(script, self.keys.meta, (self.epoch, *args), partial(self._acknowledge, number))

    @property
    def unacknowledged(self) -> int:
        """Settlements and releases that the server has not confirmed."""
        return len(self._kept)

    # --- epochs ---

    def suspect(self, reason: str) -> None:
        """Admit nothing more until `resume`: counters may be lost."""
        if self.halted is None:
            self.halted = reason
            _log.warning("nothing is admitted until the store's counters are rebuilt: %s", reason)
            self.on_suspect(reason)

    def resume(self, epoch: str) -> None:
        """The server's counters are complete in this epoch: admit again, and send what was kept."""
        self.epoch = epoch
        self._seq = 0
        self.halted = None
        self._send_again()

    def _connected(self, greeting: Greeting) -> None:
        if greeting.role != "master":
            self.suspect(f"the server is no primary but {greeting.role!r}")
        elif self._run_id and greeting.run_id != self._run_id:
            self.suspect("the server was started anew")
        self._run_id = greeting.run_id
        self._loop.call_soon(self._send_again)

    def _observe(self, reply: list[Any]) -> None:
        """Learn the time from an answer, and whether the server has gone back."""
        if len(reply) != _ANSWER_LENGTH:
            return
        _, seq, now_us, _ = reply
        self._told_us = now_us
        self._told_at_s = time.monotonic()
        if seq >= self._seq:
            self._seq = seq
        else:
            self.suspect(f"the store has gone back from event {self._seq} to {seq}")

    def _believe(self, reply: list[Any]) -> tuple[bytes, bytes]:
        """Code and payload of an answer. Raises StoreUnavailable when it comes from another epoch."""
        code, _, _, payload = reply
        if code == b"EPOCH":
            self.suspect(f"the store is in epoch {payload.decode() or 'none'}, not {self.epoch}")
            raise StoreUnavailable(self.halted or "the store's counters were rebuilt meanwhile")
        return code, payload

    async def _call(self, script: Script, *args: Part) -> tuple[bytes, bytes]:
        if self.halted is not None:
            raise StoreUnavailable(self.halted)
        reply = await self.client.call(script, self.keys.meta, (self.epoch, *args))
        if type(reply) is not list:
            raise _unavailable(reply)
        return self._believe(reply)

    # --- counters that are not there ---

    async def _seed(self, claims: Sequence[Claim]) -> None:
        raise StoreUnavailable(f"{claims[0].key} is missing")

    async def close(self) -> None:
        """Send what is kept, as far as the server takes it, and let go of the connection."""
        await self.client.close()


def _rare_answer(ticket: Ticket, code: bytes, payload: bytes) -> Refused:
    if code == b"BLOCKED":
        return replies.blocked(ticket, payload)
    if code == b"RESOLVED":
        return replies.resolved(ticket)
    if code == b"GONE":
        return replies.carve_gone(ticket)
    raise OutsideWindow(ticket.id)


def _unavailable(reply: Any) -> StoreUnavailable:
    return reply if isinstance(reply, StoreUnavailable) else StoreUnavailable(f"the store refuses: {reply}")
