"""What every store does. Both are held to one pure model by the same property tests.

Operations are told by the reservation's id and idempotent: an operation that was sent twice, or whose reply was lost,
changes nothing the second time and gives the first answer again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.ledger.operations import (
    Amounts,
    CounterState,
    Extension,
    Granted,
    Opening,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.telemetry.events import ChargePosted


class StoreUnavailable(Exception):
    """The store cannot answer now: unreachable, being rebuilt, or its log cannot be written. Nothing was admitted.

    An admission that may have been applied all the same is released by its id as soon as the store is back.
    """


class AtOnce(Protocol):
    """What a store may be able to do besides: answer without anything to wait for."""

    def admit_at_once(self, ticket: Ticket, now_s: float) -> Granted | Refused | None:
        """As `Store.admit`, or None where that would have to wait; then nothing is changed.

        `now_s`: what the store's `now_s()` has just said.
        """
        ...


class Store(Protocol):
    """Budgets, rates and run limits together."""

    def now_s(self) -> float:
        """The store's time: never goes back. Windows are computed from it."""
        ...

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call this whenever room may have come back (a settlement, a release, a raised limit): waiters try again."""
        ...

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """Reserve the first bid that fits. When it returns the reservation is durable. Raises StoreUnavailable."""
        ...

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to the calibrated claims of a pending reservation, all or nothing. Raises StoreUnavailable."""
        ...

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. Returns at once and is never lost: it is applied in the end."""
        ...

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back: nothing can have been billed. `charge` is the attempt's entry of zero."""
        ...

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        """Open a run, or find it; depth, children and carve are checked in the same step. Raises StoreUnavailable."""
        ...

    async def run(self, run: str) -> Run | None:
        """A run as it stands, or None. Raises StoreUnavailable."""
        ...

    async def runs(self, *, state: str | None = None, limit: int = 100) -> Sequence[Run]:
        """The latest runs, for people. Raises StoreUnavailable."""
        ...

    async def close_run(self, run: str, reason: str) -> Run | None:
        """Close a run and its sub-runs; what is left of a carve goes back, pending attempts end. None: no such run."""
        ...

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed."""
        ...

    async def resume_run(self, run: str) -> Run | None:
        """Let a paused run go on."""
        ...

    async def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        """Post `amount` (negative gives money back) to a counter once for each `entry` id. None: no such counter.

        The caller has written the entry to the journal first. Raises StoreUnavailable.
        """
        ...

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """Counters by key, or all of them. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of everything held. Settlements handed over before are applied or kept for the next start."""
        ...
