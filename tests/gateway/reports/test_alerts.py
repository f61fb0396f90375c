"""Alerts on budgets: once for each share and window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.alerts import AlertLog
from gateway.journal.database import Database
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


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(StorageSettings(dir=tmp_path))
    yield opened
    await opened.close()


class Told:
    def __init__(self, database: Database) -> None:
        self.lines: list[BudgetLine] = []
        self.events: list[Event] = []

        async def lines() -> list[BudgetLine]:
            return self.lines

        self.alerts = BudgetAlerts(lines, AlertLog(database), self.events.append)

    async def at(self, *lines: BudgetLine) -> list[tuple[str, float]]:
        self.lines = list(lines)
        self.events.clear()
        await self.alerts.look()
        return [(event.scope, event.share) for event in self.events if isinstance(event, BudgetCrossed)]


async def test_each_share_is_told_once(database: Database) -> None:
    told = Told(database)
    assert await told.at(line(49)) == []
    assert await told.at(line(50)) == [("agent:coder", 0.5)]
    assert await told.at(line(79)) == []
    assert await told.at(line(120)) == [("agent:coder", 1.0)]
    assert await told.at(line(130)) == []


async def test_every_counter_and_window_has_its_own(database: Database) -> None:
    told = Told(database)
    assert await told.at(line(90), line(60, "writer")) == [("agent:coder", 0.8), ("agent:writer", 0.5)]
    assert await told.at(line(55, now_s=NOW_S + 40 * 86_400)) == [("agent:coder", 0.5)]


async def test_money_that_came_back_makes_it_news_again(database: Database) -> None:
    told = Told(database)
    await told.at(line(60))
    assert await told.at(line(10)) == []
    assert await told.at(line(60)) == [("agent:coder", 0.5)]


async def test_a_budget_without_shares_is_silent(database: Database) -> None:
    silent = Budget("quiet", Scope("global"), NanoUsd(1), Window("total"))
    assert await Told(database).at(line(50, "", budget=silent)) == []


async def test_another_gateway_and_the_next_start_tell_nothing_again(database: Database) -> None:
    first, second = Told(database), Told(database)
    assert await second.at(line(10)) == []
    assert await first.at(line(60)) == [("agent:coder", 0.5)]
    assert await second.at(line(60)) == []
    assert await Told(database).at(line(60)) == []
    assert await Told(database).at(line(85)) == [("agent:coder", 0.8)]
    assert await second.at(line(100)) == [("agent:coder", 1.0)]
    assert await first.at(line(100)) == []


async def test_money_that_came_back_while_nobody_ran_makes_it_news_again(database: Database) -> None:
    await Told(database).at(line(60))
    next_start = Told(database)
    assert await next_start.at(line(10)) == []
    assert await next_start.at(line(60)) == [("agent:coder", 0.5)]
