"""Budgets whose windows begin before what retention has deleted: never less than what was spent."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import JournalError
from gateway.journal.pruning import prune
from gateway.journal.spend import COUNTED, spent
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.telemetry.events import Event
from routing.money import NanoUsd
from tests.gateway.telemetry.samples import charged

DAY_S = 86_400
TODAY = 20_833  # 2027-01-15
NOW_S = TODAY * DAY_S + 30_000.0
KEEP = StorageSettings(keep_charges_days=10, keep_content_days=None)


async def no_pause(_: float) -> None:
    pass


def budget(window: Window, scope: Scope = Scope("agent", "*")) -> Budget:  # noqa: B008 -- immutable
    return Budget("b", scope, NanoUsd(1), window)


spends = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 40 * DAY_S),
        st.integers(0, 2**40),
        st.sampled_from((*COUNTED, "released", "reconciled")),
        st.integers(0, 3 * DAY_S) | st.none(),
    ),
    max_size=12,
)
windows = st.sampled_from([
    Window("total"),
    Window("month"),
    Window("year"),
    Window("quarter", zone="Asia/Tokyo"),
    Window("rolling", length_s=25 * DAY_S),
])  # fmt: skip


@given(made=spends, window=windows)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_was_spent_before_the_mark_still_counts(
    either_journal: Journal, made: list[tuple[str, int, int, str, int | None]], window: Window
) -> None:
    run, asked = uuid.uuid4().hex, budget(window)
    span = window.at(NOW_S)
    first_s = NOW_S - 25 * DAY_S if window.period == "rolling" else span.start_s
    events: list[Event] = []
    truth: defaultdict[str, int] = defaultdict(int)
    for number, (name, ago_s, cost, resolution, carved_s) in enumerate(made):
        own_s = NOW_S - ago_s
        at_s = own_s if carved_s is None else own_s - carved_s
        events.append(
            charged(
                charge_id=f"{run}{number}", agent=f"{run}{name}", cost_nano_usd=NanoUsd(cost), at_s=own_s + 1.0,
                window_at_s=at_s, reserved_at_s=0.0 if carved_s in (None, 0) else own_s, resolution=resolution,
            )
        )  # fmt: skip
        if resolution in COUNTED and at_s >= first_s:
            truth[f"{run}{name}"] += cost
    either_journal.write(events)
    await either_journal.flush()
    await prune(either_journal.database.engine, KEEP, NOW_S, no_pause)
    found = await spent(either_journal.database, asked, span, NOW_S)
    carves = any(each[4] for each in made)
    for agent in (f"{run}a", f"{run}b"):
        one = (await spent(either_journal.database, asked, span, NOW_S, agent)).get(agent, 0)
        assert one == found.get(agent, 0)
        total = sum(one.values()) if isinstance(one, dict) else one
        assert total >= truth[agent]
        if window.period in ("total", "month", "year") and not carves:
            assert total == truth[agent]


async def test_days_before_the_window_and_kept_ones_are_not_counted_twice(either_journal: Journal) -> None:
    days = {"before": 16, "deleted": 12, "kept": 3}
    for name, ago in days.items():
        at_s = NOW_S - ago * DAY_S
        either_journal.write([charged(charge_id=name, cost_nano_usd=NanoUsd(10**ago), at_s=at_s, window_at_s=at_s)])
    await either_journal.flush()
    month = budget(Window("month"))
    assert datetime.fromtimestamp(NOW_S, UTC).day == 15
    before = await spent(either_journal.database, month, month.window.at(NOW_S), NOW_S)
    await prune(either_journal.database.engine, KEEP, NOW_S, no_pause)
    assert (
        await spent(either_journal.database, month, month.window.at(NOW_S), NOW_S)
        == before
        == {"researcher": 10**12 + 10**3}
    )
    last = month.window.at(NOW_S - 20 * DAY_S)
    assert await spent(either_journal.database, month, last, NOW_S) == {"researcher": 10**16}


@pytest.mark.parametrize(
    "scope", [Scope("user", "*"), Scope("user", "ann"), Scope("tag", "x", "job"), Scope("run", "*")]
)
async def test_what_only_charges_knew_is_not_guessed(either_journal: Journal, scope: Scope) -> None:
    at_s = NOW_S - 12 * DAY_S
    either_journal.write([charged(at_s=at_s, window_at_s=at_s, user="ann")])
    await either_journal.flush()
    yearly, monthly = budget(Window("total"), scope), budget(Window("day"), scope)
    await spent(either_journal.database, yearly, yearly.window.at(NOW_S), NOW_S)
    await prune(either_journal.database.engine, KEEP, NOW_S, no_pause)
    with pytest.raises(JournalError, match="counts charges that are deleted already, and what a"):
        await spent(either_journal.database, yearly, yearly.window.at(NOW_S), NOW_S)
    assert await spent(either_journal.database, monthly, monthly.window.at(NOW_S), NOW_S) == {}
