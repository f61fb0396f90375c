"""What the journal says of counters that Valkey does not have: new ones, and those that were lost.

The sums and the position in the stream that they hold for are read in one snapshot; Lua then adds what the stream has
after that position. So a missing counter comes back exact while others go on spending.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sqlalchemy import select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading
from gateway.journal.spend import RunSpend, run_spent, spent
from gateway.journal.tables import adjustments
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Claim, Unit
from gateway.ledger.windows import Span
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.position import standing
from gateway.store.valkey.seeding import Seeds

RECENT_S: Final = 86_400.0
"""An adjustment that stands in the journal for longer will not come to the store any more."""

Posted = int | dict[int, int]


class JournalSeeder:
    """Implements `gateway.store.valkey.seeding.Seeder`."""

    def __init__(
        self,
        engine: AsyncEngine,
        installation: str,
        budgets: Callable[[], Collection[Budget]],
        now_s: Callable[[], float],
    ) -> None:
        """`budgets` are those of the configuration in force, `now_s` is the store's clock."""
        self._engine = engine
        self._installation = installation
        self._budgets = budgets
        self.now_s = now_s

    async def seed(self, claims: Sequence[Claim]) -> Seeds:
        """What is posted to each claim's counter. Raises StoreUnavailable when the journal cannot be asked."""
        try:
            async with reading(self._engine) as connection:
                upto = (await standing(connection, self._installation)).drained
                runs = await run_spent(connection, {_run_of(claim.key) for claim in claims if _is_run(claim.key)})
                posted = [await self._posted(connection, claim, runs) for claim in claims]
                entries = [await self._entries(connection, claim) for claim in claims]
        except JournalError as error:
            raise StoreUnavailable(f"counters are missing, and {error}") from error
        return Seeds(str(upto), posted, entries)

    async def _posted(self, connection: AsyncConnection, claim: Claim, runs: dict[str, RunSpend]) -> Posted:
        if _is_run(claim.key):
            return _of_run(claim, runs[_run_of(claim.key)])
        budget, value, window = self._budget(claim)
        if budget is None:
            return {} if claim.bucket_s else 0
        span = Span(window, claim.start_s, claim.end_s)
        found = (await spent(connection, budget, span, self.now_s(), value)).get(value)
        return ({} if claim.bucket_s else 0) if found is None else found

    async def _entries(self, connection: AsyncConnection, claim: Claim) -> tuple[str, ...]:
        budget, value, _ = self._budget(claim)
        if budget is None:
            return ()
        query = select(adjustments.c.id).where(
            adjustments.c.budget == budget.id,
            adjustments.c.value == value,
            adjustments.c.at_us > to_us(self.now_s() - RECENT_S),
        )
        return tuple(await connection.scalars(query))

    def _budget(self, claim: Claim) -> tuple[Budget | None, str, str]:
        """The budget, value and window of a counter. Raises StoreUnavailable for a budget that is gone."""
        kind, _, rest = claim.key.partition("|")
        if kind != "b":
            return None, "", ""
        name, _, rest = rest.partition("|")
        value, _, window = rest.rpartition("|")
        budget = next((budget for budget in self._budgets() if budget.id == name), None)
        if budget is None:
            raise StoreUnavailable(f"the counter {claim.key} is missing, and no budget {name} is configured any more")
        return budget, value, window


def _is_run(key: str) -> bool:
    return key.startswith(("r|", "k|"))


def _run_of(key: str) -> str:
    return key.split("|")[1]


def _of_run(claim: Claim, spend: RunSpend) -> int:
    if claim.unit == Unit.MONEY:
        return spend.cost_nano_usd
    return spend.tokens if claim.unit == Unit.TOKENS else spend.requests
