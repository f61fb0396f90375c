"""What runs have used, by the journal."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.journal.spend import RunSpend, run_spent
from gateway.reports.budgets import Books
from routing.money import ZERO

NOTHING = RunSpend(ZERO, 0, 0)


async def used(books: Books, runs: Sequence[str]) -> dict[str, RunSpend]:
    """What each of these runs (`agent/run`) and the runs below it have used up to this moment. Raises JournalError."""
    await books.flush()
    found = await run_spent(books.database(), runs)
    return {run: found.get(run, NOTHING) for run in runs}
