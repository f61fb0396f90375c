"""Budgets, rate limits and run limits, as the configuration compiles to them. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from routing.money import ZERO, NanoUsd

Reserve = Literal["strict", "calibrated"]
OnExceed = Literal["block", "downgrade"]
OnStoreFailure = Literal["closed", "open"]
WhenMissing = Literal["deny", "shared"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on money in a scope and window."""

    id: str
    """Its name in the configuration; unique, without `|`."""
    scope: Scope
    limit: NanoUsd
    window: Window
    enforce: bool = True
    """False is shadow mode: counted and reported, never refused."""
    on_exceed: OnExceed = "block"
    alert_at: tuple[float, ...] = ()
    """Shares of the limit (0.8) whose crossing is an event."""
    when_missing: WhenMissing = "deny"
    """For a `*` scope whose value a request does not carry."""
    reserve: Reserve | None = None
    """None: as the agent says."""
    on_store_failure: OnStoreFailure = "closed"
    allowance: NanoUsd = ZERO
    """What each gateway sets aside to go on with while the store is away, under `open`."""


@dataclass(frozen=True, slots=True)
class Quota:
    """So many units in a period, as the generic cell rate algorithm counts: evenly, with a burst."""

    limit: int
    period_s: float
    burst: int
    """Units that may come at once; `limit` unless configured."""


CAPACITY = "@capacity"
"""The id of a deployment's own rate limit: what it can take. No limit that people write can have it."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Limits on requests, tokens and requests at a time, in a scope."""

    id: str
    """Unique among rate limits, without `|`."""
    scope: Scope
    requests: Quota | None = None
    tokens: Quota | None = None
    """Input and output: estimated at admission, corrected at settlement."""
    concurrency: int | None = None
    enforce: bool = True


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run, its sub-runs included, may use. None: no limit."""

    cost: NanoUsd | None = None
    requests: int | None = None
    tokens: int | None = None
    wall_s: float | None = None
    depth: int | None = None
    """Generations below the run: 0 forbids sub-runs."""
    children: int | None = None
    """Direct sub-runs of one run."""

    def lowered(self, asked: RunLimits) -> RunLimits:
        """These limits with those that `asked` puts lower: a request can never raise one."""
        return RunLimits(
            _lower(self.cost, asked.cost),
            _lower(self.requests, asked.requests),
            _lower(self.tokens, asked.tokens),
            _lower(self.wall_s, asked.wall_s),
            _lower(self.depth, asked.depth),
            _lower(self.children, asked.children),
        )


NO_LIMITS = RunLimits()

_T = TypeVar("_T", int, float, NanoUsd)


def _lower(ours: _T | None, theirs: _T | None) -> _T | None:
    return theirs if ours is None else ours if theirs is None else min(ours, theirs)
