"""What was spent by charges that retention has deleted: budgets whose windows begin before that still count it.

That happens when retention was made longer, or a budget's window, after charges had gone. The daily roll-ups know their
cost by day; so a window that begins within a day counts that day whole, and a rolling one lets go of a day when its
last moment leaves it: never less than what was spent. Of users, runs and tags only the charges knew: such a budget
cannot be seeded, and so admits nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, literal, select, true

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncConnection
from gateway.journal.tables import daily, retention
from gateway.journal.triggers import DAY_US, MAX_TEXT
from gateway.ledger.budgets import Budget
from gateway.ledger.scopes import EACH, SHARED

_CUT: Final = frozenset(("model", "deployment"))
"""What roll-ups cut to `MAX_TEXT` characters."""
_BY_CHARGES: Final = frozenset(("user", "run", "tag"))


class DaySpent(NamedTuple):
    """A day of a scope's value."""

    value: str
    at_us: int
    """The day's last moment."""
    cost: int
    """Nano-USD."""


async def deleted_before_us(connection: AsyncConnection) -> int:
    """Charges of earlier days are deleted, or about to be; 0 where all are kept."""
    kept = select(retention.c.before_us).where(retention.c.kind == "charges")
    return int((await connection.execute(kept)).scalar() or 0)


async def spent_on_days(
    connection: AsyncConnection, budget: Budget, limits_us: tuple[int, int], counted: tuple[str, ...]
) -> list[DaySpent]:
    """What roll-ups know of a budget's scope on every day that has a moment from the first of two up to the second.

    `counted`: the resolutions that count. Raises JournalError for a scope that they do not know, where anything at all
    was spent.
    """
    scope, (first_us, end_us) = budget.scope, limits_us
    known = scope.kind not in _BY_CHARGES
    label: ColumnElement[Any] = daily.c[scope.kind] if known and scope.kind != "global" else literal("")
    mine: ColumnElement[bool] = true()
    if known and scope.kind != "global" and scope.value not in (EACH, SHARED):
        mine = label == (scope.value[:MAX_TEXT] if scope.kind in _CUT else scope.value)
    sums = (
        select(label.label("said"), daily.c.day, func.sum(daily.c.cost_nano_usd))
        .where(daily.c.day >= first_us // DAY_US, daily.c.day < -(-end_us // DAY_US), mine)
        .where(daily.c.resolution.in_(counted))
        .group_by("said", daily.c.day)
    )
    found = [
        DaySpent(str(said), (int(day) + 1) * DAY_US - 1, int(cost))
        for said, day, cost in await connection.execute(sums)
        if cost
    ]
    if found and not known:
        raise JournalError(
            f"the budget `{budget.id}` counts charges that are deleted already, and what a {scope.kind} spent is told "
            "by charges alone: let its window begin later, or keep it until it does (docs/reports.md, Keeping and "
            "deleting)"
        )
    return found
