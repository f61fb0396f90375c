from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.deciding.budgets import FRESH_S, Purses
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import CounterState, Unit
from gateway.ledger.scopes import Labels, Scope
from gateway.ledger.windows import Window
from gateway.store.protocol import StoreUnavailable
from routing.money import NanoUsd

NOON_S = 1_800_014_400.0  # 2027-01-15T12:00:00Z
LABELS = Labels("acme", "search", "researcher", "", "")


def budget(name: str, kind: str = "agent", value: str = "researcher", period: str = "day", **more: object) -> Budget:
    return Budget(name, Scope(kind, value), NanoUsd(1_000), Window(period), **more)  # type: ignore[arg-type]


class Store:
    def __init__(self, **posted: int) -> None:
        self.posted = posted
        self.reads = 0
        self.away = False

    def now_s(self) -> float:
        return NOON_S

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        names = {key: key.split("|")[1] for key in keys or ()}
        return [
            CounterState(key, Unit.MONEY, "", 1_000, self.posted[name], 0)
            for key, name in names.items()
            if name in self.posted
        ]


async def test_the_tightest_budget_and_the_one_that_burns_fastest() -> None:
    store = Store(daily=900, forever=950)
    purse = await Purses(store).of([budget("daily"), budget("forever", period="total"), budget("new")], LABELS, 0.0)
    assert round(purse.remaining_ratio, 6) == 0.05
    assert round(purse.burn_ratio, 6) == 1.8  # nine tenths of the money at half of the day
    assert [(each.id, each.left) for each in purse.budgets] == [("daily", 100), ("forever", 50), ("new", 1_000)]


async def test_one_read_a_second_for_all_that_wait() -> None:
    store = Store(daily=1)
    purses = Purses(store)
    await asyncio.gather(*(purses.of([budget("daily")], LABELS, 0.0) for _ in range(20)))
    await purses.of([budget("daily")], LABELS, FRESH_S / 2)
    assert store.reads == 1
    await purses.of([budget("daily")], LABELS, FRESH_S)
    assert store.reads == 2


async def test_users_have_budgets_of_their_own() -> None:
    store = Store()
    purses, each = Purses(store), [budget("each", "user", "*")]
    for user in ("u", "v", "u"):
        await purses.of(each, LABELS._replace(user=user), 0.0)
    assert store.reads == 2


async def test_while_the_store_is_away_they_stand_as_they_did() -> None:
    store = Store(daily=400)
    purses = Purses(store)
    before = await purses.of([budget("daily")], LABELS, 0.0)
    store.away = True
    assert await purses.of([budget("daily")], LABELS, 5.0) == before


async def test_a_models_budget_covers_that_model_only_and_is_nobodys_tightest() -> None:
    purse = await Purses(Store(dear=999)).of([budget("dear", "model", "gpt", on_exceed="downgrade")], LABELS, 0.0)
    assert purse.remaining_ratio == 1.0
    assert [(each.model, each.downgrade) for each in purse.budgets] == [("gpt", True)]
