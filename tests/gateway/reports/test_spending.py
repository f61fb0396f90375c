from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.config.snapshot import StorageSettings
from gateway.journal.writer import Journal
from gateway.reports.periods import Period
from gateway.reports.rollups import compare
from gateway.reports.spending import ReportError, dimensions, spending
from gateway.telemetry.events import ChargePosted, Choice
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged, finished

DAY_S = 86_400
TODAY = 20_833
EVER = Period(0, 50_000)

names = st.sampled_from(("", "a", "b", "ü"))
moments = st.integers(0, 40 * DAY_S * 1_000_000).map(lambda us: (TODAY - 39) * DAY_S + us / 1e6)
amounts = st.integers(-(2**50), 2**50).map(NanoUsd)
some_charges = st.lists(
    st.builds(
        charged,
        charge_id=st.uuids().map(str),
        at_s=moments,
        org=names,
        team=names,
        agent=names,
        model=names | st.just("m" * 150),
        provider=names,
        price_point=names,
        cost_nano_usd=amounts,
        listed_nano_usd=st.none() | amounts,
        estimated=st.booleans(),
        unpriced=st.booleans(),
        purpose=st.sampled_from(("useful", "retry", "failed", "cancelled")),
        resolution=st.sampled_from(("settled", "released", "orphaned", "correction", "reconciled")),
        window_at_s=moments,
        reserved_at_s=st.just(0.0) | moments,
        user=st.none() | names,
        tags=st.sampled_from(((), (("feature", "x"),), (("feature", "y"), ("other", "z")))),
        run_path=st.sampled_from(("", "a/1", "a/1>a/2")),
        usage=st.builds(Usage, *[st.integers(0, 2**40)] * len(Usage._fields)),
    ),
    max_size=30,
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    storage = StorageSettings(dir=tmp_path, flush_interval_s=3600)
    if request.param == "postgresql":
        storage = replace(storage, journal_url=request.getfixturevalue("postgres_url"))
    opened = await Journal.open(storage)
    yield opened
    await opened.close()


async def write(journal: Journal, *events: Any) -> None:
    journal.write(events)
    await journal.flush()


async def summed(journal: Journal) -> int:
    async with journal.database.engine.connect() as connection:
        return int((await connection.execute(text("SELECT coalesce(sum(cost_nano_usd), 0) FROM charges"))).scalar_one())


def kept(charges: list[ChargePosted]) -> list[ChargePosted]:
    return [each._replace(reserved_at_s=0.0) if each.reserved_at_s == each.window_at_s else each for each in charges]


BY = ("", "team,agent,model", "month,purpose", "run", "user,day", "tag:feature", "org,week,provider,resolution")


@given(charges=some_charges, by=st.sampled_from(BY))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_report_adds_up_to_the_journal(journal: Journal, charges: list[ChargePosted], by: str) -> None:
    """To the nano-dollar, whatever was charged, in whatever batches, and whatever is asked for."""
    await write(journal, *kept(charges))
    await write(journal, *kept(charges)[:3])  # sent again: it is there
    found = await spending(journal.database.engine, dimensions(by), EVER)
    assert sum(line.amounts.cost for line in found.lines) == found.total.amounts.cost == await summed(journal)
    assert (await compare(journal.database.engine)).differences == ()
    assert found.total.waste == sum(line.waste for line in found.lines)


async def test_what_was_spent_by_agent_and_before(journal: Journal) -> None:
    now_s = TODAY * DAY_S + 100.0
    await write(
        journal,
        charged(charge_id="1", agent="dear", window_at_s=now_s, cost_nano_usd=NanoUsd(900)),
        charged(charge_id="2", agent="dear", window_at_s=now_s - DAY_S, cost_nano_usd=NanoUsd(100), purpose="retry"),
        charged(charge_id="3", agent="dear", window_at_s=now_s - 2 * DAY_S, cost_nano_usd=NanoUsd(500)),
        charged(
            charge_id="4", agent="cheap", window_at_s=now_s, cost_nano_usd=NanoUsd(7), estimated=True, purpose="failed"
        ),
        charged(charge_id="5", agent="gone", window_at_s=now_s - 3 * DAY_S, cost_nano_usd=NanoUsd(40)),
        finished(request_id="r1", agent="dear", at_s=now_s),
        finished(request_id="r2", agent="dear", at_s=now_s, outcome="upstream_error"),
    )
    found = await spending(journal.database.engine, ("agent",), Period(TODAY - 1, TODAY + 1))
    dear, cheap, gone = found.lines
    assert [line.group for line in found.lines] == [("dear",), ("cheap",), ("gone",)]
    assert (dear.amounts.cost, dear.before, dear.trend, dear.wasted) == (1_000, 500, 1.0, {"retry": 100})
    assert dear.waste == 0  # what a retry answered is used
    assert (cheap.wasted, cheap.waste) == ({"failed": 7}, 7)
    assert dear.calls is not None
    assert (dear.amounts.attempts, dear.calls.requests, dear.calls.errors) == (2, 2, 1)
    assert (cheap.amounts.estimated, cheap.trend) == (7, None)
    assert (gone.amounts.cost, gone.before, gone.trend) == (0, 40, -1.0)
    assert (found.total.amounts.cost, found.total.before) == (1_007, 540)


async def test_a_late_correction_belongs_to_the_day_of_the_call(journal: Journal) -> None:
    call_s = TODAY * DAY_S - 5.0
    late = {"at_s": call_s + 2 * DAY_S, "window_at_s": call_s}
    await write(
        journal,
        charged(charge_id="1", window_at_s=call_s, resolution="orphaned", cost_nano_usd=NanoUsd(100)),
        charged(charge_id="1.c", resolution="correction", cost_nano_usd=NanoUsd(-60), **late),
        charged(charge_id="2", cost_nano_usd=NanoUsd(3), **{**late, "window_at_s": 5.0, "reserved_at_s": call_s}),
    )
    found = await spending(journal.database.engine, ("day",), Period(TODAY - 1, TODAY + 5))
    assert [(line.group, line.amounts.cost, line.amounts.attempts) for line in found.lines] == [
        (("2027-01-14",), 43, 2)
    ]


async def test_what_routing_saved(journal: Journal) -> None:
    now_s = TODAY * DAY_S + 5.0
    choice = Choice("p", "r", model="small", strongest_paid_nano_usd=NanoUsd(900), asked_paid_nano_usd=NanoUsd(700))
    routed = {"at_s": now_s, "cost_nano_usd": NanoUsd(200)}
    await write(
        journal,
        finished(request_id="1", choice=choice, **routed),
        finished(request_id="2", choice=choice._replace(asked_paid_nano_usd=None), **routed),
        finished(request_id="3", choice=choice, outcome="cut", **routed),
        finished(request_id="4", **routed),
        charged(charge_id="1", model="small", window_at_s=now_s, cost_nano_usd=NanoUsd(200)),
    )
    found = await spending(journal.database.engine, ("agent", "model"), Period(TODAY, TODAY + 1))
    by_model = {line.group[1]: line.savings for line in found.lines}
    assert by_model["small"] is not None
    assert by_model["small"][2:] == (400, 1_800, 200, 700)
    by_provider = await spending(journal.database.engine, ("provider",), Period(TODAY, TODAY + 1))
    assert [(line.savings, line.calls) for line in by_provider.lines] == [(None, None)]
    assert by_provider.total.savings == by_provider.total.calls == (4, 1, 400, 1_800, 200, 700)


async def test_runs_are_told_only_while_their_charges_are_kept(journal: Journal) -> None:
    mark = text(f"INSERT INTO retention VALUES ('charges', {TODAY * DAY_S * 1_000_000})")
    async with journal.database.engine.begin() as connection:
        await connection.execute(mark)
    with pytest.raises(ReportError, match="charges before 2027-01-15 are deleted"):
        await spending(journal.database.engine, ("run",), Period(TODAY - 1, TODAY + 1))
    assert (await spending(journal.database.engine, ("agent",), Period(TODAY - 1, TODAY + 1))).lines == ()


async def test_a_difference_is_found(journal: Journal) -> None:
    await write(journal, charged(window_at_s=TODAY * DAY_S))
    async with journal.database.engine.begin() as connection:
        await connection.execute(text("UPDATE daily SET cost_nano_usd = cost_nano_usd + 1"))
    (difference,) = (await compare(journal.database.engine)).differences
    assert difference == ("2027-01-15", "cost_nano_usd", 1_501, 1_500)


def test_what_a_report_can_go_by() -> None:
    assert dimensions(" team, agent,team ,tag:x") == ("team", "agent", "tag:x")
    assert dimensions("") == ()
    for wrong in ("colour", "tag:", 'tag:a"b', "agent;drop"):
        with pytest.raises(ReportError, match="a report cannot go by"):
            dimensions(wrong)
