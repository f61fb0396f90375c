"""The budgets that cover a request, as this process sees them: at most a second old, read once for all that wait.

Only admission is exact. What is seen here decides whether a cheaper model is looked for before the money is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from gateway.config.snapshot import Snapshot
from gateway.ledger.budgets import Budget as Written
from gateway.ledger.claiming import claim_of
from gateway.ledger.operations import CounterState
from gateway.ledger.scopes import EACH, Labels
from gateway.ledger.windows import FOREVER_S
from gateway.store.protocol import StoreUnavailable
from routing.decision import Budget
from routing.money import NanoUsd

FRESH_S: Final = 1.0
"""How long what was read is gone by."""
KEPT: Final = 4_096
"""Agents (with the users and tags that have budgets of their own) whose budgets are kept in mind."""
BURN_MAX: Final = 1_000.0
_YOUNG: Final = 0.01
"""A window that is younger than this share of it counts as so old: its first request would burn it up."""
_BY_REQUEST: Final = frozenset(("run", "user", "tag"))
_OPEN: Final = _BY_REQUEST | {"model", "provider"}
"""Scopes that the agent alone does not decide."""


class Counters(Protocol):
    """The part of a store that tells how counters stand."""

    def now_s(self) -> float:
        """The store's time."""
        ...

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """Counters by key. Raises StoreUnavailable."""
        ...


class Purse(NamedTuple):
    """The enforced budgets that cover a request."""

    budgets: tuple[Budget, ...] = ()
    remaining_ratio: float = 1.0
    """What is left of the tightest, 0 to 1."""
    burn_ratio: float = 0.0
    """Spent against elapsed share of the window, of the one that burns fastest."""


NO_BUDGETS: Final = Purse()


class _Kept(NamedTuple):
    purse: Purse
    at_s: float


class Purses:
    """Of all agents of one snapshot's configuration. Belongs to one event loop."""

    def __init__(self, store: Counters) -> None:
        self._store = store
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._reading: dict[tuple[str, ...], asyncio.Task[Purse]] = {}

    async def of(self, budgets: Sequence[Written], labels: Labels, now_s: float) -> Purse:
        """How the `budgets` stand that cover a request with these labels. `now_s` is any clock that goes forward.

        While the store is away they stand as they did.
        """
        key = (labels.agent, *self._own(budgets, labels))
        kept = self._kept.get(key)
        if kept is not None and now_s - kept.at_s < FRESH_S:
            return kept.purse
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read(key, budgets, labels, now_s), name="budgets")
            self._reading[key] = reading
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(reading)

    def forget(self) -> None:
        """Read everything again: a budget turned out to be another than it was seen."""
        self._kept.clear()

    def _own(self, budgets: Sequence[Written], labels: Labels) -> tuple[str, ...]:
        """The values of the scopes that the request itself decides."""
        found: list[str] = []
        for budget in budgets:
            if budget.scope.kind in _BY_REQUEST:
                found += [budget.id, *(budget.scope.values(labels) or ())]
        return tuple(found)

    async def _read(self, key: tuple[str, ...], budgets: Sequence[Written], labels: Labels, now_s: float) -> Purse:
        store_s = self._store.now_s()
        wanted = [
            (budget, claim_of(budget, value, store_s, 0)) for budget in budgets for value in _values(budget, labels)
        ]
        kept = self._kept.get(key)
        try:
            states = {state.key: state for state in await self._store.counters([claim.key for _, claim in wanted])}
        except StoreUnavailable:
            purse = NO_BUDGETS if kept is None else kept.purse
        else:
            seen = []
            for budget, claim in wanted:
                state = states.get(claim.key)
                limit, taken = (claim.limit, 0) if state is None else (state.limit, state.posted + state.reserved)
                elapsed = 0.0
                if claim.end_s < FOREVER_S:
                    elapsed = min(1.0, max(0.0, (store_s - claim.start_s) / (claim.end_s - claim.start_s)))
                seen.append(_seen(budget, limit, taken, elapsed)._replace(key=claim.key))
            purse = _purse(tuple(seen))
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(purse, now_s)
        return purse


def covering(snapshot: Snapshot, org: str, team: str, agent: str) -> tuple[Written, ...]:
    """The enforced budgets that may cover an agent's requests, whichever model is called."""
    labels = Labels(org, team, agent, "", "")
    return tuple(
        budget
        for budget in snapshot.budgets
        if budget.enforce and (budget.scope.kind in _OPEN or budget.scope.values(labels))
    )


def _values(budget: Written, labels: Labels) -> tuple[str, ...]:
    scope = budget.scope
    if scope.kind in ("model", "provider"):
        return () if scope.value == EACH else (scope.value,)
    return scope.values(labels) or ()


def _seen(budget: Written, limit: int, taken: int, elapsed: float) -> Budget:
    scope = budget.scope
    return Budget(
        budget.id,
        NanoUsd(limit - taken),
        taken / limit if limit > 0 else 1.0,
        elapsed,
        budget.on_exceed == "downgrade",
        scope.value if scope.kind == "model" else "",
        scope.value if scope.kind == "provider" else "",
    )


def _purse(budgets: tuple[Budget, ...]) -> Purse:
    general = [budget for budget in budgets if not budget.model and not budget.provider]
    remaining = min([max(0.0, 1.0 - budget.spent_share) for budget in general], default=1.0)
    burns = [budget.spent_share / max(budget.elapsed_share, _YOUNG) for budget in general if budget.elapsed_share]
    return Purse(budgets, min(1.0, remaining), min(BURN_MAX, max(burns, default=0.0)))
