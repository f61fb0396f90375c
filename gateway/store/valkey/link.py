"""What stands between the store's operations and the connection: epochs, time, and what must arrive in the end.

Settlements and releases are not waited for. They are kept until the server has acknowledged them and sent again after a
reconnect; their ids make that harmless.

Every answer carries the number of events in the epoch and the server's time. An epoch other than ours, a number that
goes back, or a server that was started anew means that counters may be lost: `on_suspect` is called, and nothing is
sent until `resume` names the epoch that holds from then on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple

import hiredis

from gateway.ledger.operations import Opening, Run
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Client, Greeting, Part
from gateway.store.valkey.keys import Keys
from gateway.store.valkey.scripts import Script
from gateway.telemetry.events import RunChanged

_log = logging.getLogger("farebox.store")

RETRY_S: Final = 0.5
"""After an error of the server (out of memory, read-only, loading) what is kept is sent again so much later."""
LOST_AFTER_S: Final = 10.0
BEATS: Final = 5
"""Heartbeats of which not one must arrive before a gateway is given up."""
MOST_ORPHANS: Final = 200
"""Of one heartbeat, so that Valkey is never held up for long."""
_MICRO: Final = 1e-6
_ANSWER_LENGTH: Final = 4


class _Kept(NamedTuple):
    script: Script
    args: tuple[Part, ...]
    done: Callable[[], None]
    """Called when the journal has it: it need not be told again, whatever happens."""


class Ending(NamedTuple):
    """How an attempt ended, as the store was told."""

    reservation: str
    counted: bool
    """False: released."""
    charge: bytes
    """As `codec.charge_body` made it; empty for none."""


def _bytes(part: Part) -> bytes:
    assert isinstance(part, bytes)  # noqa: S101 -- the arguments that we have put together
    return part


class Link:
    """Sends operations under an epoch. Made halted: whoever looks after epochs calls `resume`."""

    def __init__(self, client: Client, installation: str, owner: str, lost_after_s: float = LOST_AFTER_S) -> None:
        """`owner` names this process among all that ever run: its pending reservations are found by it.

        A gateway that the server has not heard of for `lost_after_s` is given up.
        """
        self.client = client
        self.keys = Keys.of(installation)
        self.owner = owner
        self.epoch = ""
        self.halted: str | None = "the store's counters are not known to be complete yet"
        """Why nothing is admitted; None when it is."""
        self.on_suspect: Callable[[str], None] = lambda reason: None
        """Called once with the reason when counters may be lost; then nothing is sent until `resume`."""
        self.orphaned = 0
        """Reservations of lost gateways that this process has charged in full."""
        self._kept: dict[int, _Kept] = {}
        self._recent: deque[tuple[int, _Kept]] = deque()
        """What was acknowledged, by the number of events by then, until the journal has it."""
        self.changed_runs: deque[tuple[int, RunChanged, Opening | None]] = deque()
        """Likewise runs that this process has opened or changed."""
        self._numbers = count()
        self._seq = 0
        self._run_id = ""
        self._told_us = 0
        self._told_at_s = 0.0
        self._latest_s = 0.0
        self._callbacks: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        client.on_connected = self._connected
        client.on_reply = self._observe
        self._lost_after_s = lost_after_s
        self._heart = self._loop.call_later(lost_after_s / BEATS, self._beat)

    @property
    def seq(self) -> int:
        """How many events the epoch has, as far as this process was told."""
        return self._seq

    # --- time and waiters ---

    def now_s(self) -> float:
        """The server's time, as of its latest answer and our monotonic clock since; never goes back."""
        now_s = self._told_us * _MICRO + time.monotonic() - self._told_at_s if self._told_us else time.time()
        self._latest_s = max(self._latest_s, now_s)
        return self._latest_s

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call this when a settlement of this gateway has been applied."""
        self._callbacks.append(callback)

    def _room(self) -> None:
        for callback in self._callbacks:
            callback()

    # --- calls that are waited for ---

    async def call(self, script: Script, *args: Part) -> tuple[bytes, bytes]:
        """Code and payload of the answer. Raises StoreUnavailable; the call may have been applied all the same."""
        if self.halted is not None:
            raise StoreUnavailable(self.halted)
        return self.believe(await self.client.call(script, self.keys.meta, (self.epoch, *args)))

    def believe(self, reply: Any) -> tuple[bytes, bytes]:
        """Code and payload of an answer. Raises StoreUnavailable when it is an error, or from another epoch."""
        if type(reply) is not list:
            if isinstance(reply, StoreUnavailable):
                raise reply
            raise StoreUnavailable(f"the store refuses: {reply}")
        code: bytes
        payload: bytes
        code, _, _, payload = reply
        if code == b"EPOCH":
            if payload.decode() == self.epoch:
                raise StoreUnavailable("the store's counters were rebuilt meanwhile")
            self.suspect(f"the store is in epoch {payload.decode() or 'none'}, not {self.epoch}")
            raise StoreUnavailable(self.halted or "the store's counters were rebuilt meanwhile")
        return code, payload

    # --- what is kept until it is acknowledged ---

    @property
    def unacknowledged(self) -> int:
        """Settlements and releases that the server has not confirmed."""
        return len(self._kept)

    def keep(self, script: Script, args: tuple[Part, ...], done: Callable[[], None] = lambda: None) -> None:
        """Have the server apply this in the end, whatever happens meanwhile. It must be idempotent.

        `done` is called when its event is in the journal.
        """
        number = next(self._numbers)
        self._kept[number] = _Kept(script, args, done)
        if self.halted is None:
            self.client.post(script, self.keys.meta, (self.epoch, *args), partial(self._acknowledge, number))

    async def flush(self) -> None:
        """Return when all that was kept is acknowledged. Waits as long as that takes."""
        while self._kept:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def _acknowledge(self, number: int, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError) and self._retry is None:
            _log.warning("the store refuses a settlement, which is sent again: %s", reply)
            self._retry = self._loop.call_later(RETRY_S, self._send_again)
        try:
            self.believe(reply)
        except StoreUnavailable:
            return
        kept = self._kept.pop(number, None)
        if kept is None:
            return
        self._recent.append((reply[1], kept))
        if not self._kept and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        self._room()

    def _send_again(self) -> None:
        """Everything that is not acknowledged, in order. What was applied already changes nothing."""
        self._retry = None
        if self.halted is None and self.client.connected:
            for number, (script, args, _) in list(self._kept.items()):
                self.client.post(script, self.keys.meta, (self.epoch, *args), partial(self._acknowledge, number))

    # --- what the journal may not have yet ---

    def leftovers(self) -> list[Ending]:
        """Settlements and releases that the journal may lack."""
        found = []
        for script, args, _ in [kept for _, kept in self._recent] + list(self._kept.values()):
            if script is scripts.SETTLE:
                found.append(Ending(str(args[0]), bool(args[3]), _bytes(args[4])))
            elif script is scripts.DRAW:
                found.append(Ending(str(args[0]), True, _bytes(args[3])))
        return found

    def journalled(self, seq: int) -> None:
        """The journal has this epoch's events up to number `seq`."""
        while self._recent and self._recent[0][0] <= seq:
            self._recent.popleft()[1].done()
        while self.changed_runs and self.changed_runs[0][0] <= seq:
            self.changed_runs.popleft()

    def note_run(self, run: Run, opening: Opening | None = None) -> Run:
        """This process has opened or changed a run, as of the latest answer."""
        self.changed_runs.append((self._seq, RunChanged(run, self.now_s()), opening))
        return run

    def hand_over(self, reservations: Collection[str]) -> None:
        """The journal has the ends of these reservations: the store need not be told of them (any more)."""
        everything = [kept for _, kept in self._recent] + list(self._kept.values())
        self._kept = {number: kept for number, kept in self._kept.items() if kept.args[0] not in reservations}
        self._recent = deque(each for each in self._recent if each[1].args[0] not in reservations)
        for kept in everything:
            if kept.args[0] in reservations:
                kept.done()

    def tell_again(self) -> None:
        """What was acknowledged in an epoch that is lost goes to the one that holds now."""
        recent, self._recent = self._recent, deque()
        for _, kept in recent:
            self.keep(kept.script, kept.args, kept.done)

    # --- epochs ---

    def suspect(self, reason: str) -> None:
        """Admit nothing more until `resume`: counters may be lost."""
        if self.halted is None:
            self.halted = reason
            _log.warning("nothing is admitted until the store's counters are known to be complete: %s", reason)
            self.on_suspect(reason)

    def resume(self, epoch: str) -> None:
        """The server's counters are complete in this epoch: admit again, and send what was kept."""
        self.epoch = epoch
        self._seq = 0
        self.halted = None
        self._beat()
        self._send_again()

    def _connected(self, greeting: Greeting) -> None:
        if greeting.role != "master":
            self.suspect(f"the server is no primary but {greeting.role!r}")
        elif self._run_id and greeting.run_id != self._run_id:
            self.suspect("the server was started anew")
        self._run_id = greeting.run_id
        self._loop.call_soon(self._beat)
        self._loop.call_soon(self._send_again)

    def _observe(self, reply: list[Any]) -> None:
        """Learn the time from an answer, and whether the server has gone back."""
        if len(reply) != _ANSWER_LENGTH or type(reply[1]) is not int:
            return  # to a plain command: entries of the stream, perhaps
        if self.halted is not None or reply[0] == b"EPOCH":
            return
        _, seq, now_us, _ = reply
        self._told_us = now_us
        self._told_at_s = time.monotonic()
        if seq >= self._seq:
            self._seq = seq
        else:
            self.suspect(f"the store has gone back from event {self._seq} to {seq}")

    # --- heartbeats ---

    def _beat(self) -> None:
        """Say that this gateway lives; charge what lost ones had reserved, end runs that are due."""
        self._heart.cancel()
        self._heart = self._loop.call_later(self._lost_after_s / BEATS, self._beat)
        if self.halted is None:
            args = (self.epoch, self.owner, MOST_ORPHANS, int(self._lost_after_s * 1e6))
            self.client.post(scripts.BEAT, self.keys.meta, args, self._beaten)

    def _beaten(self, reply: Any) -> None:
        try:
            _, payload = self.believe(reply)
        except StoreUnavailable:
            return
        orphaned, closed = map(int, payload.split())
        if orphaned or closed:
            self.orphaned += orphaned
            self._room()
            self._beat()  # there may be more

    async def close(self) -> None:
        """Send what is kept, as far as the server takes it within its time-out, and close the connection."""
        self._heart.cancel()
        try:
            async with asyncio.timeout(self.client.timeout_s):
                await self.flush()
        except TimeoutError:
            _log.error(
                "%d settlements never reached the store: their reservations will be charged in full", len(self._kept)
            )
        if self._retry is not None:
            self._retry.cancel()
        await self.client.close()
