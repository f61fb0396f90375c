"""What metrics see of budgets: counters of declared scopes, and nothing that clients name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.budgets import Budget
from gateway.ledger.operations import CounterState
from gateway.ledger.scopes import EACH, Scope, ScopeKind
from gateway.ledger.windows import Window
from gateway.reports.standing import ASKED_AT_ONCE, Standing, declared_values
from gateway.store.protocol import StoreUnavailable
from routing.money import NanoUsd
from tests.gateway.books import USD, World, snapshot


def standing(world: World, store: Any = None) -> Standing:
    books = world.books if store is None else world.books._replace(store=store)
    return Standing(books, lambda: world.snapshot)


class Watched:
    """The store, and what was asked of it."""

    def __init__(self, world: World, *, forgets: bool = False) -> None:
        self.asked: list[str] = []
        self.now_s = world.store.now_s
        self._store = world.store
        self._forgets = forgets

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        assert keys is not None, "never all: there may be one for each user"
        self.asked += keys
        return [] if self._forgets else await self._store.counters(keys)


class Away:
    """A store that does not answer."""

    def __init__(self, world: World) -> None:
        self.now_s = world.store.now_s

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        raise StoreUnavailable("away")


async def test_declared_scopes_only(world: World) -> None:
    for user in ("ann", "bob", "cat"):
        await world.spend(USD, user=user)
    store = Watched(world)
    lines = {(line.budget.id, line.scope): line.posted for line in await standing(world, store).lines()}
    assert lines == {
        ("all", "global"): 3 * USD,
        ("monthly", "agent:researcher"): 3 * USD,
        ("lately", "agent:researcher"): 3 * USD,
    }, "of agent:*, those that have spent something"
    assert not [key for key in store.asked if "ann" in key or "|people|" in key]


async def test_a_budget_of_one_scope_shows_before_it_is_used(world: World) -> None:
    lines = {line.budget.id: (line.posted, line.limit) for line in await standing(world).lines()}
    assert lines == {"all": (0, 100 * USD), "monthly": (0, 10 * USD)}


async def test_what_the_store_does_not_have_the_journal_says(world: World) -> None:
    await world.spend(2 * USD)
    lines = {line.budget.id: line.posted for line in await standing(world, Watched(world, forgets=True)).lines()}
    assert lines == {"all": 2 * USD, "monthly": 2 * USD}


async def test_the_journal_is_asked_a_few_questions_at_a_time(tmp_path: Path) -> None:
    budgets = tuple(
        Budget(f"b{number}", Scope("agent", "researcher"), NanoUsd(USD), Window("month"))
        for number in range(ASKED_AT_ONCE + 3)
    )
    world = await World.open(snapshot(tmp_path / "state", budgets=budgets))
    found = standing(world, Watched(world, forgets=True))
    assert len(await found.lines()) == ASKED_AT_ONCE
    assert len(await found.lines()) == ASKED_AT_ONCE + 3
    await world.close()


async def test_without_a_store_there_are_none(world: World) -> None:
    assert await standing(world, Away(world)).lines() == []


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("org", {"acme", "elsewhere"}),
        ("team", {"research", "press", "agents"}),
        ("agent", {"researcher", "writer", "spy"}),
        ("user", set()),
        ("run", set()),
        ("tag", set()),
    ],
)
def test_which_values_are_declared(tmp_path: Path, kind: ScopeKind, values: set[str]) -> None:
    budget = Budget("b", Scope(kind, EACH), NanoUsd(USD), Window("day"))
    assert set(declared_values(budget, snapshot(tmp_path))) == values
    assert set(declared_values(replace(budget, scope=Scope(kind, "x")), snapshot(tmp_path))) == {"x"}
