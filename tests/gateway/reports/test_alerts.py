"""Alerts on budgets: once for each share and window."""

from __future__ import annotations

from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.reports.alerts import BudgetAlerts
from gateway.telemetry.events import BudgetCrossed, Event
from routing.money import NanoUsd

NOW_S = 1_796_000_000.0
BUDGET = Budget("month", Scope("agent", "*"), NanoUsd(100), Window("month"), alert_at=(0.5, 0.8, 1.0))


def line(posted: int, value: str = "coder", now_s: float = NOW_S, budget: Budget = BUDGET) -> BudgetLine:
    return BudgetLine(budget, value, budget.window.at(now_s), budget.limit, posted, 0, now_s)


class Told:
    def __init__(self) -> None:
        self.lines: list[BudgetLine] = []
        self.events: list[Event] = []

        async def lines() -> list[BudgetLine]:
            return self.lines

        self.alerts = BudgetAlerts(lines, self.events.append)

    async def at(self, *lines: BudgetLine) -> list[tuple[str, float]]:
        self.lines = list(lines)
        self.events.clear()
        await self.alerts.look()
        return [(event.scope, event.share) for event in self.events if isinstance(event, BudgetCrossed)]


async def test_each_share_is_told_once() -> None:
    told = Told()
    assert await told.at(line(49)) == []
    assert await told.at(line(50)) == [("agent:coder", 0.5)]
    assert await told.at(line(79)) == []
    assert await told.at(line(120)) == [("agent:coder", 1.0)]
    assert await told.at(line(130)) == []


async def test_every_counter_and_window_has_its_own() -> None:
    told = Told()
    assert await told.at(line(90), line(60, "writer")) == [("agent:coder", 0.8), ("agent:writer", 0.5)]
    assert await told.at(line(55, now_s=NOW_S + 40 * 86_400)) == [("agent:coder", 0.5)]


async def test_money_that_came_back_makes_it_news_again() -> None:
    told = Told()
    await told.at(line(60))
    assert await told.at(line(10)) == []
    assert await told.at(line(60)) == [("agent:coder", 0.5)]


async def test_a_budget_without_shares_is_silent() -> None:
    silent = Budget("quiet", Scope("global"), NanoUsd(1), Window("total"))
    assert await Told().at(line(50, "", budget=silent)) == []
