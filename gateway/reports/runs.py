"""What runs have used, by the journal, and what is left of what they set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import BudgetStoreUnavailable
from gateway.journal.spend import RunSpend, run_spent
from gateway.ledger.operations import Run
from gateway.reports.budgets import Books
from gateway.store.protocol import StoreUnavailable
from routing.money import ZERO, NanoUsd

NOTHING = RunSpend(ZERO, 0, 0)


class RunReport(NamedTuple):
    """A run, and what was used in it and below it."""

    run: Run
    used: RunSpend
    carve_left: NanoUsd | None
    """Of what it carved, neither spent nor reserved; None where it carved nothing, or has given the rest back."""


async def report(books: Books, runs: Sequence[Run]) -> list[RunReport]:
    """What these runs have used up to this moment. Raises BudgetStoreUnavailable, JournalError."""
    by_run = await used(books, [run.id for run in runs])
    left = await _carves_left(books, [run for run in runs if run.carve and run.state != "closed"])
    return [RunReport(run, by_run[run.id], left.get(run.id)) for run in runs]


async def _carves_left(books: Books, runs: Sequence[Run]) -> dict[str, NanoUsd]:
    if not runs:
        return {}
    try:
        found = {state.key: state for state in await books.store.counters([f"k|{run.id}" for run in runs])}
    except StoreUnavailable as error:
        raise BudgetStoreUnavailable(f"The counters cannot be read now ({error}); try again.", reason="store") from None
    left: dict[str, NanoUsd] = {}
    for run in runs:
        state = found.get(f"k|{run.id}")  # none: nothing was taken of it yet
        left[run.id] = NanoUsd(run.carve - (0 if state is None else state.posted + state.reserved))
    return left


async def used(books: Books, runs: Sequence[str]) -> dict[str, RunSpend]:
    """What each of these runs (`agent/run`) and the runs below it have used up to this moment. Raises JournalError."""
    await books.flush()
    found = await run_spent(books.database(), runs)
    return {run: found.get(run, NOTHING) for run in runs}
