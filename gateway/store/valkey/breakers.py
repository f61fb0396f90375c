"""Breakers that gateways share: what one learns of a provider, the others need not learn again.

Nothing of it is on a request's way but the place of a probe. A task tells the store what changed here and hears what
changed elsewhere, every second, and at once after a change here. Without the store every gateway goes by what it knows.

The store's order decides: times are the server's there, in whole microseconds, and each gateway's monotonic clock
here. The difference is taken once and kept as long as it is about right, so that a time that goes there and back is the
same time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, get_args

from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Client, Part
from gateway.upstream.health import Place, UpstreamHealth
from routing.breaker import Shared, State

_log = logging.getLogger("farebox.store")

READ_S: Final = 1.0
"""How often it is looked what others know."""
PAUSE_S: Final = 0.05
"""Between two looks, however much changes here: parks do with every 429."""
DRIFT_S: Final = 1.0
"""Clocks that have moved against each other by more are compared anew."""
_MICRO: Final = 1e6
_STATES: Final[dict[str, State]] = {state: state for state in get_args(State)}


class Known(NamedTuple):
    """A breaker's state as the store has it; see `routing.breaker.Shared`. The larger by its first three wins."""

    version: int
    changed_us: int
    state: State
    until_us: int
    openings: int
    parked_us: int
    """0 for never."""

    @classmethod
    def of(cls, shared: Shared, offset_s: float) -> Self:
        """A gateway's own state. `offset_s` is the store's time less its own."""

        def there(at_s: float) -> int:
            return max(0, round((at_s + offset_s) * _MICRO)) if at_s > -float("inf") else 0

        version, changed_at_s, state, until_s, openings, parked_until_s = shared
        return cls(version, there(changed_at_s), state, there(until_s), openings, there(parked_until_s))

    def here(self, offset_s: float) -> Shared:
        """As a gateway has it."""
        parked_until_s = self.parked_us / _MICRO - offset_s if self.parked_us else -float("inf")
        return Shared(
            self.version,
            self.changed_us / _MICRO - offset_s,
            self.state,
            self.until_us / _MICRO - offset_s,
            self.openings,
            parked_until_s,
        )

    def adds_to(self, other: Known | None) -> bool:
        """Whether it says something that `other` does not."""
        return other is None or self[:3] > other[:3] or self.parked_us > other.parked_us


def read(fields: Sequence[bytes]) -> dict[str, Known]:
    """The store's hash as it comes: names and states in turn. What is none of ours is left out."""
    found = {}
    for name, text in zip(fields[::2], fields[1::2], strict=True):
        words = text.decode("utf-8", "replace").split(" ")
        state = _STATES.get(words[2]) if len(words) == len(Known._fields) else None
        if name and state is not None:
            version, changed, _, until, openings, parked = words
            known = Known(int(version), int(changed), state, int(until), int(openings), int(parked))
            found[name.decode("utf-8", "replace")] = known
    return found


class SharedBreakers:
    """Implements `gateway.upstream.health.Others`. Belongs to the running event loop."""

    def __init__(self, client: Client, installation: str, health: UpstreamHealth) -> None:
        self._client = client
        self._health = health
        self._breakers = f"{{{installation}}}:breakers"
        self._probes = f"{{{installation}}}:probes"
        self._number = b""
        """Of the store's state that `_known` is."""
        self._known: Mapping[str, Known] = {}
        self._offset_s: float | None = None
        """The store's time less `time.monotonic()`; None before the first answer."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear what others know, if the store answers, and go on hearing and telling."""
        self._health.others = self
        await self._look()
        self._task = asyncio.create_task(self._run(), name="shared breakers")

    async def close(self) -> None:
        """Tell and hear no more."""
        self._health.others = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # --- what the health of upstreams asks ---

    def changed(self) -> None:
        """Tell others soon."""
        self._wake.set()

    async def take(self, places: Sequence[Place], holder: str) -> str | None:
        """Take all these places, or none: then the name of a breaker that has none left. Without the store: all."""
        args: list[Part] = [holder]
        for name, most, lease_s in places:
            args += (name, most, max(1, round(lease_s * 1_000)))
        try:
            reply = await self._client.call(scripts.PROBE, self._probes, args)
        except StoreUnavailable:
            return None
        return places[reply - 1].breaker if type(reply) is int and reply else None

    def give_back(self, breakers: Sequence[str], holder: str) -> None:
        """Give places back. Returns at once; one that gets lost ends with its lease."""
        self._client.post(scripts.END_PROBE, self._probes, (holder, *breakers), _ignore)

    # --- telling and hearing ---

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(READ_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._look()
            await asyncio.sleep(PAUSE_S)

    async def _look(self) -> None:
        """Tell what the store does not know, and take over what it knows better. While it is away, do nothing."""
        try:
            reply = await self._client.call(scripts.BREAKERS, self._breakers, (self._number, *self._news()))
        except StoreUnavailable:
            return
        if type(reply) is not list:
            _log.debug("breakers cannot be shared now: %s", reply)
            return
        number, now_us, fields = reply
        if self._offset_s is None:
            self._wake.set()  # what is known here could not be told without a clock
        self._set_clock(now_us / _MICRO - time.monotonic())
        if number != self._number:
            self._number, self._known = number, read(fields)
        self._take_over()

    def _news(self) -> list[Part]:
        """What the store does not know yet, as `breakers.lua` takes it."""
        if self._offset_s is None:
            return []
        args: list[Part] = []
        for name, mine in self._mine(self._offset_s).items():
            if (mine.version or mine.parked_us) and mine.adds_to(self._known.get(name)):
                args += (name, *mine)
        return args

    def _take_over(self) -> None:
        offset_s = self._offset_s
        if offset_s is None:
            return
        mine = self._mine(offset_s)
        better = {name: each for name, each in self._known.items() if each.adds_to(mine.get(name))}
        self._health.adopt({name: each.here(offset_s) for name, each in better.items()})

    def _mine(self, offset_s: float) -> dict[str, Known]:
        return {name: Known.of(each, offset_s) for name, each in self._health.shared().items()}

    def _set_clock(self, offset_s: float) -> None:
        if self._offset_s is None or abs(offset_s - self._offset_s) > DRIFT_S:
            self._offset_s = offset_s


def _ignore(reply: Any) -> None:
    pass
