"""A circuit breaker, its life as one table. Pure.

    closed --tripped--> open            too many failures: nothing gets through until a wait is over
    open --waited--> half_open          a few calls at a time may try (probes)
    half_open --probe_failed--> open    for twice as long as before
    half_open --recovered--> closed     enough probes in a row went well
    any --force_*--> forced_*           an operator's word holds until they release it
    forced_open --release--> half_open  it has to prove itself first

Everything else changes nothing. A deployment that its provider asked us to leave alone for a while (429, Retry-After)
is *parked*: not called until then, whatever the state, and no worse for it.

Calls under way count as ones that do not fail, where they began among those that did (`routing.row` says why).
A request that fails again says nothing new, else two that no provider can serve would stop all others.

Time is `now_s`. Gateways that exchange states (`shared`, `adopt`) need a clock that they share, such as Unix time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from routing.failures import Outcome
from routing.row import Row
from routing.sliding import SlidingCount

State = Literal["closed", "open", "half_open", "forced_open", "forced_closed"]
Event = Literal["tripped", "waited", "probe_failed", "recovered", "force_open", "force_closed", "release"]
Admits = Literal["yes", "probe", "no"]
Force = Literal["open", "closed", "auto"]

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    ("closed", "tripped"): "open",
    ("open", "waited"): "half_open",
    ("half_open", "probe_failed"): "open",
    ("half_open", "recovered"): "closed",
    ("closed", "force_open"): "forced_open",
    ("open", "force_open"): "forced_open",
    ("half_open", "force_open"): "forced_open",
    ("forced_closed", "force_open"): "forced_open",
    ("closed", "force_closed"): "forced_closed",
    ("open", "force_closed"): "forced_closed",
    ("half_open", "force_closed"): "forced_closed",
    ("forced_open", "force_closed"): "forced_closed",
    ("forced_open", "release"): "half_open",
    ("forced_closed", "release"): "closed",
}
_FORCES: Final[dict[Force, Event]] = {"open": "force_open", "closed": "force_closed", "auto": "release"}

_DOUBLINGS_MAX: Final = 32
"""More would only overflow."""
_LEASES_MAX: Final = 64
"""Probes that are remembered past the end of their lease, so that what they learn at last is not lost."""


def after(state: State, event: Event) -> State | None:
    """The state that `event` leads to; None when it changes nothing and must be ignored."""
    return TRANSITIONS.get((state, event))


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens, how long it waits, how it tries again. Counts and seconds are above zero."""

    consecutive_failures: int = 5
    """So many in a row open it, if at most half as many that began among them are still under way, ..."""
    failure_ratio: float = 0.5
    """... and so does this share of the window's outcomes, ..."""
    min_requests: int = 20
    """... once there are so many; those under way that began before the last failure did are counted with them."""
    window_s: float = 30.0
    open_s: float = 5.0
    """The first wait; doubled by every probe that fails, ..."""
    open_max_s: float = 120.0
    """... up to this."""
    jitter: float = 0.2
    """A wait is shortened by up to this share of it, so that gateways do not try all at once."""
    probes: int = 2
    """Calls that may run at the same time while it is half-open."""
    successes: int = 3
    """So many probes in a row close it."""
    probe_s: float = 30.0
    """A probe that has not ended by then gives its place to another."""
    park_max_s: float = 600.0
    """A Retry-After counts up to this."""


class Transition(NamedTuple):
    """A breaker changed its state."""

    name: str
    """The deployment's id, or the provider's."""
    state_from: State
    state_to: State
    at_s: float
    reason: str
    """`consecutive_failures`, `failure_ratio`, `deployments_open`, `waited`, `probe_failed`, `recovered`, `force_open`,
    `force_closed`, `release`, or `shared`: another gateway saw it."""


class Shared(NamedTuple):
    """A breaker's state as gateways tell it each other. The larger by its first three fields wins."""

    version: int
    """Goes up by one with every transition."""
    changed_at_s: float
    state: State
    until_s: float
    """The end of an open breaker's wait."""
    openings: int
    """In a row, so that the next wait is known."""
    parked_until_s: float
    """The latest wins, whichever state does."""


class _Lease(NamedTuple):
    expires_s: float
    opening: int
    """The opening that it tries to end: what is learned of an earlier one no longer counts."""


def _unheard(_transition: Transition) -> None:
    pass


class Breaker:
    """Of one deployment, or one provider. `report` hears every transition, whatever brought it about.

    `troubled` is kept by several breakers together: it holds every one that may be holding calls back.
    """

    __slots__ = (
        "_again",
        "_changed_at_s",
        "_failures",
        "_leases",
        "_opened",
        "_openings",
        "_outcomes",
        "_parked_until_s",
        "_report",
        "_row",
        "_since_s",
        "_successes",
        "_troubled",
        "_under_way",
        "_until_s",
        "_version",
        "name",
        "settings",
        "state",
    )

    def __init__(
        self,
        name: str,
        settings: BreakerSettings,
        report: Callable[[Transition], None] = _unheard,
        troubled: set[Breaker] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.state: State = "closed"
        self._report = report
        self._troubled = set() if troubled is None else troubled
        self._outcomes = SlidingCount(settings.window_s)
        self._failures = SlidingCount(settings.window_s)
        self._row = Row()
        self._under_way: dict[str, float] = {}
        """Calls that have not ended, and when they began: of those that began in this state."""
        self._again: set[str] = set()
        """The retries among them."""
        self._successes = 0
        self._openings = 0
        self._opened = 0
        """Openings ever."""
        self._until_s = 0.0
        self._parked_until_s = -float("inf")
        self._since_s = -float("inf")
        """When the state was entered here: what began before it says nothing about it."""
        self._leases: dict[str, _Lease] = {}
        self._version = 0
        self._changed_at_s = 0.0

    def configure(self, settings: BreakerSettings) -> None:
        """Go on with other settings. A window of another length begins empty."""
        if settings.window_s != self.settings.window_s:
            self._outcomes = SlidingCount(settings.window_s)
            self._failures = SlidingCount(settings.window_s)
        self.settings = settings

    @property
    def quiet(self) -> bool:
        """Whether nothing ever happened to it that a new one would not know."""
        return self._version == 0 and not self._row.length and self._parked_until_s == -float("inf")

    def failures(self, now_s: float) -> int:
        """Failures that the window holds. Only a closed one counts them."""
        return self._failures.count(now_s)

    def idle(self, now_s: float) -> bool:
        """Whether it is closed and the window holds no call's end: nothing is known of it now."""
        return self.state == "closed" and not self._outcomes.count(now_s)

    # --- may a call begin? ---

    def admits(self, now_s: float) -> Admits:
        """Whether a call may begin: `yes`, only as a `probe` (take its place with `begin_probe`), or `no`."""
        if now_s < self._parked_until_s:
            return "no"
        state = self.state
        if state in ("closed", "forced_closed"):
            return "yes"
        if state == "open":
            return "probe" if now_s >= self._until_s and self._running(now_s) < self.settings.probes else "no"
        if state == "half_open":
            return "probe" if self._running(now_s) < self.settings.probes else "no"
        return "no"

    def begin(self, now_s: float, holder: str, *, again: bool = False) -> None:
        """A call begins that is no probe; `again`: its request failed here before. `record` or `cancel` follows."""
        self._under_way[holder] = now_s
        if again:
            self._again.add(holder)

    def cancel(self, holder: str) -> None:
        """A call was never sent, or ended by us or its client: nothing is learned, a probe's place is given back."""
        self._under_way.pop(holder, None)
        self._again.discard(holder)
        self.end_probe(holder)

    def begin_probe(self, now_s: float, holder: str) -> bool:
        """Take a probe's place for `holder`; False when there is none. `record` or `end_probe` gives it back."""
        if self.admits(now_s) != "probe":
            return False
        self._move("waited", now_s)
        leases = self._leases
        if len(leases) >= _LEASES_MAX:
            self._leases = leases = {key: lease for key, lease in leases.items() if lease.expires_s > now_s}
        leases[holder] = _Lease(now_s + self.settings.probe_s, self._opened)
        return True

    def end_probe(self, holder: str) -> None:
        """Give a probe's place back, if `holder` has one, with nothing learned: its call never came to be."""
        self._leases.pop(holder, None)

    def retry_at_s(self, now_s: float) -> float:
        """When a call may be admitted at the earliest, as far as can be known: `now_s` if now, infinity if never."""
        if self.state == "forced_open":
            return float("inf")
        at_s = max(now_s, self._parked_until_s)
        if self.state == "open":
            at_s = max(at_s, self._until_s)
        if self.admits(at_s) == "no":  # every probe's place is taken: one ends soon, or its lease does
            ends_s = min(lease.expires_s for lease in self._leases.values() if lease.expires_s > at_s)
            at_s = min(ends_s, at_s + self.settings.open_s)
        return at_s

    def parked_until_s(self, now_s: float) -> float | None:
        """Until when its provider asked us to leave it alone; None if it did not, or that is over."""
        return self._parked_until_s if now_s < self._parked_until_s else None

    def only_parked(self, now_s: float) -> bool:
        """Whether its provider's wish is all that holds calls back."""
        return now_s < self._parked_until_s and self.state in ("closed", "forced_closed")

    def troubled(self, now_s: float) -> bool:
        """Whether it is anything but closed, or parked."""
        return self.state != "closed" or now_s < self._parked_until_s

    def waiting(self, now_s: float) -> bool:
        """Whether it is open and its wait is not over."""
        return self.state == "open" and now_s < self._until_s

    def _running(self, now_s: float) -> int:
        return sum(lease.expires_s > now_s for lease in self._leases.values())

    # --- how did it end? ---

    def record(
        self, outcome: Outcome, now_s: float, draw: float, began_s: float, holder: str | None = None
    ) -> Transition | None:
        """Learn how a call ended that began at `began_s`; `holder` is the one that it took a probe's place for.

        Calls that began before the breaker came into its state are late: they say nothing about it. `draw` is a number
        of [0, 1) by chance.
        """
        lease, again = None, holder in self._again
        if holder is not None:
            self._under_way.pop(holder, None)
            self._again.discard(holder)
            lease = self._leases.pop(holder, None) if self._leases else None
        if self.state == "closed":
            if began_s < self._since_s or outcome == "ignored" or (again and outcome == "failure"):
                return None
            self._outcomes.add(now_s)
            if outcome == "ok":
                self._row.length = 0
                return None
            return self._failed(now_s, draw, began_s)
        if self.state != "half_open" or lease is None or lease.opening != self._opened:
            return None
        if outcome == "failure":
            return self._move("probe_failed", now_s, draw)
        self._successes += outcome == "ok"
        return self._move("recovered", now_s) if self._successes >= self.settings.successes else None

    def _failed(self, now_s: float, draw: float, began_s: float) -> Transition | None:
        settings = self.settings
        self._row.add(began_s)
        self._failures.add(now_s)
        if self._row.says(settings.consecutive_failures, self._under_way.values()):
            return self._move("tripped", now_s, draw, "consecutive_failures")
        outcomes, failures = self._outcomes.count(now_s), self._failures.count(now_s)
        if outcomes >= settings.min_requests and failures >= settings.failure_ratio * outcomes:
            from_s = now_s - settings.window_s
            outcomes += sum(from_s <= each_s <= began_s for each_s in self._under_way.values())
            if failures >= settings.failure_ratio * outcomes:
                return self._move("tripped", now_s, draw, "failure_ratio")
        return None

    def trip(self, now_s: float, draw: float, reason: str) -> Transition | None:
        """Open a closed breaker for another reason than its own calls."""
        return self._move("tripped", now_s, draw, reason)

    def park(self, until_s: float, now_s: float) -> None:
        """Leave it alone until `until_s`, as its provider asked. A shorter park never ends a longer one."""
        self._parked_until_s = max(self._parked_until_s, min(until_s, now_s + self.settings.park_max_s))
        if now_s < self._parked_until_s:
            self._troubled.add(self)

    def force(self, to: Force, now_s: float) -> Transition | None:
        """An operator's word: `open` or `closed` until `auto` lets it decide by itself again. Closing ends a park."""
        if to == "closed":
            self._parked_until_s = -float("inf")
        return self._move(_FORCES[to], now_s)

    # --- other gateways ---

    def shared(self) -> Shared:
        """The state to tell other gateways."""
        return Shared(
            self._version, self._changed_at_s, self.state, self._until_s, self._openings, self._parked_until_s
        )

    def adopt(self, shared: Shared, now_s: float) -> Transition | None:
        """Take over another gateway's state if it is newer. Whoever hears the same states ends in the same one."""
        self.park(shared.parked_until_s, now_s)
        if shared[:3] <= (self._version, self._changed_at_s, self.state):
            return None
        state_from = self.state
        if shared.version > self._version:
            self._opened += 1  # it may have opened and tried again meanwhile: probes of before no longer count
        if shared.version > self._version or shared.state != state_from:
            self._enter(shared.state, now_s)
        self._version, self._changed_at_s = shared.version, shared.changed_at_s
        self._openings = shared.openings
        self._until_s = min(shared.until_s, now_s + self.settings.open_max_s)  # should the clocks disagree
        return self._told(state_from, now_s, "shared") if shared.state != state_from else None

    # --- the table at work ---

    def _move(self, event: Event, now_s: float, draw: float = 0.0, reason: str | None = None) -> Transition | None:
        state = after(self.state, event)
        if state is None:
            return None
        state_from = self.state
        self._enter(state, now_s)
        if state == "open":
            self._until_s = now_s + self._wait_s(draw)
            self._openings += 1
        self._version += 1
        self._changed_at_s = now_s
        return self._told(state_from, now_s, reason or event)

    def _enter(self, state: State, now_s: float) -> None:
        self.state = state
        self._troubled.add(self)  # which of them are well again is found out when it is asked for
        self._since_s = now_s
        self._successes = self._row.length = 0
        self._under_way.clear()
        self._again.clear()
        if state == "open":
            self._opened += 1
        elif state in ("closed", "forced_closed"):
            self._openings = 0
            self._outcomes.clear()
            self._failures.clear()

    def _wait_s(self, draw: float) -> float:
        settings = self.settings
        doubled_s: float = settings.open_s * 2 ** min(self._openings, _DOUBLINGS_MAX)
        return min(settings.open_max_s, doubled_s) * (1 - settings.jitter * draw)

    def _told(self, state_from: State, now_s: float, reason: str) -> Transition:
        transition = Transition(self.name, state_from, self.state, now_s, reason)
        self._report(transition)
        return transition
