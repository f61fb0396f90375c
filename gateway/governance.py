"""Budgets, runs and the books, as `/v1/runs`, `/admin/v1` and the commands behind it use them.

One per process; no HTTP in here. The application makes it of the same store, journal and admission that requests use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.config.snapshot import Snapshot
from gateway.errors import InvalidField
from gateway.identity.keys import Principal
from gateway.ledger.operations import Run
from gateway.ledger.report import BudgetLine
from gateway.ledger.scopes import Labels
from gateway.reports.budgets import Asked, Books, Entry, adjust, alerting_lines, budget_lines, reset
from gateway.reports.runs import RunReport, report
from gateway.reports.verify import Verification, verify
from gateway.runs import ClosedRun, RunService, asking, no_such_run

if TYPE_CHECKING:  # what reports need is loaded with the first of them
    from gateway.reports.focus import Charged
    from gateway.reports.periods import Period
    from gateway.reports.rollups import Compared
    from gateway.reports.spending import Report
    from routing.money import PricePoint

MAX_RUNS = 1_000
"""In one list."""


class Governance:
    """What people may ask and do. Every method raises FareboxError, and JournalError where it needs the journal."""

    def __init__(self, books: Books, runs: RunService, snapshot: Callable[[], Snapshot]) -> None:
        self._books = books
        self._snapshot = snapshot
        self.runs = runs
        """For `/v1/runs`."""

    # --- budgets ---

    async def budgets(self, budget: str | None = None, scope: str | None = None) -> list[BudgetLine]:
        """Every counter of the present windows, or those of one budget or scope."""
        return await budget_lines(self._books, self._snapshot(), budget, scope)

    async def alerting(self) -> list[BudgetLine]:
        """The counters that alerts look at."""
        return await alerting_lines(self._books, self._snapshot())

    async def covering(self, principal: Principal) -> list[BudgetLine]:
        """The counters of budgets that cover all that a principal does: global, its org's, team's and agent's."""
        labels = Labels(principal.org, principal.team, principal.agent, "", "")
        lines = await self.budgets()
        return [line for line in lines if line.value in (line.budget.scope.values(labels) or ())]

    async def adjust(self, asked: Asked, amount: int, *, reason: str, entry_id: str | None = None) -> Entry:
        """Count `amount` nano-USD as spent; negative gives money back. Once for each entry id."""
        return await adjust(self._books, self._snapshot(), asked, amount, reason=reason, entry_id=entry_id)

    async def reset(self, asked: Asked, *, reason: str, entry_id: str | None = None) -> Entry:
        """Give back all that is posted in the present window."""
        return await reset(self._books, self._snapshot(), asked, reason=reason, entry_id=entry_id)

    async def verify(self) -> Verification:
        """Compare every counter with the journal."""
        return await verify(self._books, self._snapshot())

    # --- reports ---

    async def spending(self, by: Sequence[str], period: Period) -> Report:
        """What was spent up to this moment. Raises ReportError."""
        from gateway.reports.spending import spending

        await self._books.flush()
        return await spending(self._books.database().engine, by, period)

    async def charged(
        self, labels: Sequence[str], period: Period
    ) -> tuple[list[Charged], Mapping[str, Sequence[PricePoint]]]:
        """What the FOCUS export is made of, and all rates of each price point. Raises ReportError."""
        from gateway.journal.prices import noted
        from gateway.reports.charged import charged
        from gateway.reports.rates import price_points, with_former

        await self._books.flush()
        engine = self._books.database().engine
        found = await charged(engine, period, labels)
        return found, with_former(price_points(self._snapshot().catalog.models.values()), await noted(engine))

    async def roll_ups(self) -> Compared:
        """Compare the daily roll-ups with the charges."""
        from gateway.reports.rollups import compare

        await self._books.flush()
        return await compare(self._books.database().engine)

    # --- runs, of any agent ---

    async def list_runs(self, state: str | None, limit: int) -> list[RunReport]:
        """The latest runs."""
        runs = await asking(self._books.store.runs(state=state, limit=limit))
        return await report(self._books, runs)

    async def run(self, run_id: str) -> RunReport:
        """One run."""
        run = await asking(self._books.store.run(run_id))
        if run is None:
            raise no_such_run(run_id)
        [found] = await report(self._books, [run])
        return found

    async def pause(self, run_id: str, reason: str) -> Run:
        """Refuse a run's next requests until it is resumed; one that requests merely name becomes a run by this."""
        if await asking(self._books.store.run(run_id)) is None:
            await self.runs.adopt(self._snapshot(), run_id)
        return await self._change(run_id, self._books.store.pause_run(run_id, reason), "paused")

    async def resume(self, run_id: str) -> Run:
        """Let a paused run go on."""
        return await self._change(run_id, self._books.store.resume_run(run_id), "open")

    async def close(self, run_id: str, reason: str) -> ClosedRun:
        """Close a run and its sub-runs."""
        return await self.runs.close_run(run_id, reason)

    @staticmethod
    async def _change(run_id: str, change: Awaitable[Run | None], wanted: str) -> Run:
        run = await asking(change)
        if run is None:
            raise no_such_run(run_id)
        if run.state != wanted:
            raise InvalidField(f"The run `{run_id}` is {run.state}: it stays so.", param="id")
        return run
