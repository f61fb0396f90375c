"""What a store is asked and what it answers: the same values for every store. Pure.

A **claim** asks one counter for an amount; a **bid** is one candidate's claims and rates; a **ticket** is an attempt's
bids in order of preference. The store grants the first bid that fits, all of it or nothing, in one step.

A counter knows `posted` (spent for good), `reserved` (set aside by attempts under way) and its limit; its **room** is
limit - posted - reserved, and may be negative after a limit was lowered or an overrun. Keys of counters:

    b|<budget>|<value>|<window>       money of a budget; the window's id tells its bounds apart from all others'
    v|<agent>|<run>|rolling:<s>       money of a run's velocity limit
    r|<run>|cost, |requests, |tokens  a run's limits; its sub-runs count in them too
    c|<rate limit>|<value>            requests at a time
    k|<run>                           what a run carved from its parents
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

from gateway.ledger.budgets import RunLimits
from gateway.ledger.windows import FOREVER_S
from routing.money import NanoUsd


class OutsideWindow(Exception):
    """A claim is for another window than the one that the store's time is in: work the claims out again."""


class Unit(IntEnum):
    """What a counter counts, and what a settlement posts to it."""

    MONEY = 0
    """Nano-USD: the charge's cost is posted."""
    TOKENS = 1
    """Input and output: the charge's tokens are posted."""
    REQUESTS = 2
    """Always 1; posted unless the attempt is released."""
    SLOTS = 3
    """Always 1; nothing is posted: it is free again."""


class Claim(NamedTuple):
    """What an attempt needs of one counter."""

    key: str
    unit: Unit
    limit: int
    version: int
    """Of the configuration that the limit comes from. The store keeps the limit of the highest version it has seen."""
    scope: str
    """As errors and headers name it: `agent:researcher`."""
    enforced: bool = True
    """False: counted, and named in `Granted.over` when there was no room, never refused (shadow mode)."""
    calibrated: bool = False
    """Takes the bid's `calibrated` amounts instead of its `strict` ones, and is extended while the stream runs."""
    bucket_s: int = 0
    """For a rolling window: the length of its buckets; the window is `ROLLING_BUCKETS` of them. 0 for any other."""
    start_s: float = 0.0
    """The store refuses the claim (`OutsideWindow`) when its own time is not in the claim's window."""
    end_s: float = FOREVER_S


class Rate(NamedTuple):
    """One cell of the generic cell rate algorithm."""

    key: str
    """`g|<rate limit>|<value>|requests` or `|tokens`."""
    unit: Unit
    """REQUESTS or TOKENS."""
    limit: int
    period_s: float
    burst: int
    scope: str
    enforced: bool = True


class Amounts(NamedTuple):
    """Money and tokens."""

    money: int
    tokens: int


class Origin(NamedTuple):
    """Whose attempt it is: all that its charge needs if its gateway does not live to write it."""

    request_id: str
    attempt: int
    org: str
    team: str
    agent: str
    run_path: str
    """The runs from the root to the attempt's own, joined by `>`; empty without a run."""
    user: str | None
    tags: tuple[tuple[str, str], ...]
    model: str
    deployment: str
    provider: str
    upstream_model: str
    unpriced: bool


class Bid(NamedTuple):
    """One candidate: what it needs in all its scopes."""

    claims: tuple[Claim, ...]
    rates: tuple[Rate, ...]
    strict: Amounts
    """The upper bound: what MONEY and TOKENS claims reserve."""
    calibrated: Amounts
    """What calibrated ones reserve instead; at most `strict`."""
    least: Amounts
    """Clamping: where the amount does not fit, any room of at least this is taken. Equal to `strict`: no clamping."""
    rate_tokens: int
    """What token rates count until the settlement corrects it."""
    origin: Origin
    recurs: bool = False
    """Whether other bids have the very same tuple of claims, so that working it out pays."""


class Ticket(NamedTuple):
    """An attempt's request for admission."""

    id: str
    """The reservation's, and later the charge's: `<request id>.<attempt>`."""
    bids: tuple[Bid, ...]
    runs: tuple[str, ...] = ()
    """The run and its ancestors, the nearest first: all must be open and within their time."""
    via: str | None = None
    """The carve reservation (`carve:<run>`) whose money the attempt spends: its settlement is passed on to there."""


class RateState(NamedTuple):
    """How a rate stands after an admission, for `x-ratelimit-*` headers."""

    rate: Rate
    remaining: int
    reset_s: float
    """Seconds until the whole burst is there again."""


class Granted(NamedTuple):
    """Admitted: the reservation is pending."""

    bid: int
    """Which of the ticket's bids."""
    at_s: float
    """The store's time: the charge counts in the windows of this moment, whenever it is settled, except where it spends
    what a carve had reserved before."""
    strict: Amounts
    """As granted: less than asked where the room was clamped."""
    calibrated: Amounts
    tightest: tuple[str, int] | None
    """Scope and room left, in nano-USD, of the enforced budget with the least room; None without one."""
    over: tuple[str, ...]
    """Keys of shadow claims that would have refused."""
    rates: tuple[RateState, ...]


Cause = Literal["posted", "reserved", "rate", "slots", "paused", "closed", "time"]
"""Why a bid was refused: what is posted leaves no room; only what is reserved by others takes it; a rate; requests at a
time; a run that is paused, closed, or past its time."""

SEVERITY: tuple[Cause, ...] = ("closed", "paused", "time", "posted", "rate", "slots", "reserved")
"""Where several causes apply to one bid, the first of these is told: the one that waiting helps least."""


class Denial(NamedTuple):
    """Why one bid was refused."""

    cause: Cause
    key: str
    """The counter, cell or run that refused."""
    scope: str
    limit: int
    posted: int
    reserved: int
    retry_after_s: float = 0.0
    """For a rate: when the same request would pass."""


class Refused(NamedTuple):
    """No bid fits. Nothing was changed."""

    denials: tuple[Denial, ...]
    """One for each bid."""


Extension = Literal["extended", "no_room", "gone"]
"""`gone`: the reservation is not pending any more, so its stream has to end."""

RunState = Literal["open", "paused", "closed"]


class Run(NamedTuple):
    """One run as the store knows it. All but `state` and `reason` never change."""

    id: str
    """`agent/run`."""
    path: tuple[str, ...]
    """The run and its ancestors, the nearest first; `path[1]` is its parent."""
    org: str
    agent: str
    limits: RunLimits
    opened_at_s: float
    closes_at_s: float
    """Its time to live, after which it counts as closed."""
    carve: NanoUsd = NanoUsd(0)
    """What it carved from its parents' scopes; 0: it spends theirs directly."""
    state: RunState = "open"
    reason: str = ""
    """Why it is paused or closed."""

    @property
    def depth(self) -> int:
        """0 for a root."""
        return len(self.path) - 1

    @property
    def ends_at_s(self) -> float:
        """When its wall time is over."""
        wall_s = self.limits.wall_s
        return self.closes_at_s if wall_s is None else min(self.closes_at_s, self.opened_at_s + wall_s)


class Opening(NamedTuple):
    """A request to open a run. Opening one that exists gives the existing one."""

    id: str
    parent: str | None
    """The parent's id; it must be open. None: a root, or whatever it was opened as."""
    org: str
    agent: str
    limits: RunLimits
    ttl_s: float
    carve: NanoUsd = NanoUsd(0)
    carve_claims: tuple[Claim, ...] = ()
    """MONEY claims in every scope of the parents, each for `carve`."""
    carve_via: str | None = None
    """The parent's own carve, if it has one."""
    carve_origin: Origin | None = None
    """Whose money it is, `run_path` being the parents': which budgets hold it. A shared store needs it for new ones."""
    max_open: int | None = None
    """So many runs may be open in the whole store, this one included; None: any number."""


RunRefusal = Literal[
    "parent_unknown", "parent_closed", "parent_differs", "other_org", "depth", "children", "too_many", "carve"
]
"""`carve`: the parents' scopes have no room for it. `parent_differs`: it exists with another parent. `too_many`: so
many runs are open already, of all agents together."""


class RunRefused(NamedTuple):
    """Why a run was not opened."""

    cause: RunRefusal
    scope: str = ""
    limit: int = 0


class CounterState(NamedTuple):
    """A counter, for people and for `farebox verify`."""

    key: str
    unit: Unit
    scope: str
    limit: int
    posted: int
    reserved: int

    @property
    def room(self) -> int:
        """What is left; negative when overdrawn."""
        return self.limit - self.posted - self.reserved
