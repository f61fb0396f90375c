"""Budgets as they stand, and entries that change them."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidField, NotFound
from gateway.ledger.report import BudgetLine
from gateway.reports.budgets import Asked, adjust, budget_lines, reset
from gateway.reports.verify import verify
from tests.gateway.books import USD, World


async def posted(world: World, budget: str) -> dict[str, int]:
    return {line.value: line.posted for line in await budget_lines(world.books, world.snapshot, budget)}


async def line(world: World, budget: str) -> BudgetLine:
    [found] = await budget_lines(world.books, world.snapshot, budget)
    return found


async def test_every_budget_is_listed_before_anything_is_spent(world: World) -> None:
    found = {line.scope: (line.limit, line.posted) for line in await budget_lines(world.books, world.snapshot)}
    assert found == {"global": (100 * USD, 0), "agent:researcher": (10 * USD, 0)}


async def test_what_is_spent_and_set_aside(world: World) -> None:
    await world.spend(3 * USD, user="ann")
    await world.reserve(1 * USD, user="bob")
    monthly = await line(world, "monthly")
    assert (monthly.posted, monthly.reserved, monthly.remaining) == (3 * USD, 1 * USD, 6 * USD)
    assert await posted(world, "people") == {"ann": 3 * USD, "bob": 0}
    assert [one.scope for one in await budget_lines(world.books, world.snapshot, scope="user")] == [
        "user:ann",
        "user:bob",
    ]
    assert [one.posted for one in await budget_lines(world.books, world.snapshot, scope="user:ann")] == [3 * USD]


async def test_an_unknown_budget_is_told_with_those_there_are(world: World) -> None:
    with pytest.raises(NotFound, match="`monthly`"):
        await budget_lines(world.books, world.snapshot, "weekly")


async def test_an_adjustment_is_an_entry_and_counts_once(world: World) -> None:
    await world.spend(3 * USD)
    first = await adjust(world.books, world.snapshot, Asked("monthly"), -USD, reason="credit", entry_id="e1")
    again = await adjust(world.books, world.snapshot, Asked("monthly"), -USD, reason="credit", entry_id="e1")
    assert (first.line.posted, again.line.posted) == (2 * USD, 2 * USD)
    assert first.entry == again.entry
    assert (await verify(world.books, world.snapshot)).differences == ()


async def test_an_entry_of_that_id_cannot_be_another_one(world: World) -> None:
    await world.spend(3 * USD)
    await adjust(world.books, world.snapshot, Asked("monthly"), -USD, reason="credit", entry_id="e1")
    for asked, amount in ((Asked("monthly"), -2 * USD), (Asked("all"), -USD)):
        with pytest.raises(InvalidField, match="another entry"):
            await adjust(world.books, world.snapshot, asked, amount, reason="credit", entry_id="e1")


async def test_no_more_is_given_back_than_was_spent(world: World) -> None:
    await world.spend(USD)
    with pytest.raises(InvalidField, match=r"1\.00 USD are spent"):
        await adjust(world.books, world.snapshot, Asked("monthly"), -2 * USD, reason="a slip")
    assert await posted(world, "monthly") == {"researcher": USD}


async def test_an_adjustment_of_a_counter_that_nobody_has_used(world: World) -> None:
    await adjust(world.books, world.snapshot, Asked("people", "cat"), USD // 2, reason="carried over")
    await world.spend(USD // 4, user="cat")
    assert await posted(world, "people") == {"cat": 3 * USD // 4}
    assert (await verify(world.books, world.snapshot)).differences == ()


async def test_an_adjustment_survives_a_restart(world: World) -> None:
    await world.spend(3 * USD)
    await adjust(world.books, world.snapshot, Asked("monthly"), -USD, reason="credit")
    await world.close()
    again = await World.open(world.snapshot)
    assert await posted(again, "monthly") == {"researcher": 2 * USD}
    assert (await verify(again.books, again.snapshot)).differences == ()
    await again.close()


async def test_a_reset_gives_back_what_is_spent_and_leaves_what_is_set_aside(world: World) -> None:
    await world.spend(3 * USD)
    under_way = await world.reserve(1 * USD)
    entered = await reset(world.books, world.snapshot, Asked("monthly"), reason="a fresh start", entry_id="r1")
    assert (entered.entry.amount_nano_usd, entered.line.posted, entered.line.reserved) == (-3 * USD, 0, USD)
    world.settle(under_way, USD)
    again = await reset(world.books, world.snapshot, Asked("monthly"), reason="a fresh start", entry_id="r1")
    assert again.line.posted == USD
    assert await posted(world, "all") == {"": 4 * USD}
    assert (await verify(world.books, world.snapshot)).differences == ()


async def test_a_rolling_budget_cannot_be_reset(world: World) -> None:
    with pytest.raises(InvalidField, match="rolling"):
        await reset(world.books, world.snapshot, Asked("lately", "researcher"), reason="no")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (Asked("people"), "value"),
        (Asked("people", "a\nb"), "value"),
        (Asked("people", "x" * 257), "value"),
        (Asked("lately", "(none)"), "value"),
        (Asked("monthly", "writer"), "value"),
    ],
)
async def test_which_counter_must_be_clear(world: World, asked: Asked, param: str) -> None:
    with pytest.raises(InvalidField) as raised:
        await adjust(world.books, world.snapshot, asked, USD, reason="no")
    assert raised.value.param == param
