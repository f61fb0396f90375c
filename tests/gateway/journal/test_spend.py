"""Sums of the journal, held against adding up the same events in Python, on both databases."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import JournalError
from gateway.journal.spend import COUNTED, Irregular, RunSpend, Spent, irregular, latest_window_at_s, run_spent, spent
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget, RunLimits
from gateway.ledger.operations import Run
from gateway.ledger.scopes import EACH, SHARED, Labels, Scope
from gateway.ledger.windows import Period, Window
from gateway.telemetry.events import Adjusted, ChargePosted, Event, RunChanged
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged
from tests.servers import Postgres

NOW_S = 1_800_000_000.0
HOUR_S = 3600

names = st.sampled_from(["a", "b", "A", "a_", "a%"])
paths = st.lists(names.map(lambda name: f"agent/{name}"), max_size=3, unique=True)
values = st.sampled_from(["x", "X", "", "ü", '"', "a>b", "{}"])
moments = st.integers(-2 * HOUR_S * 1000, 10 * 1000).map(lambda ms: NOW_S + ms / 1000)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    made: list[Event] = []
    for number in range(draw(st.integers(0, 8))):
        tags = draw(st.dictionaries(st.sampled_from(["job", "a.b", "job.id", "0"]), values, max_size=2))
        made.append(
            charged(
                charge_id=f"c{number}",
                agent=draw(names),
                provider=draw(names),
                cost_nano_usd=NanoUsd(draw(st.integers(-10, 2**45))),
                usage=Usage(input_tokens=draw(st.integers(0, 9)), output_tokens=draw(st.integers(0, 9))),
                run_path=">".join(draw(paths)),
                user=draw(st.none() | values),
                tags=tuple(tags.items()),
                window_at_s=draw(moments),
                resolution=draw(st.sampled_from([*COUNTED, "released"])),
                reserved_nano_usd=NanoUsd(draw(st.integers(0, 2**45))),
            )
        )
    for number in range(draw(st.integers(0, 3))):
        value = draw(st.one_of(names, values, names.map(lambda name: f"agent/{name}"), st.just(SHARED)))
        amount = draw(st.integers(-(2**40), 2**40))
        made.append(Adjusted(f"a{number}", NOW_S, draw(names), value, draw(moments), amount, "because", "me"))
    return made


OUTER, INNER = "agent/A", "agent/a_"
"""Two runs that have carved, wherever a test says that there are carves."""


@st.composite
def carved_events(draw: st.DrawFn) -> list[Event]:
    """Two runs that carve, one inside the other, and what is spent of that, among other events."""
    made = draw(events())
    outer_s, inner_s = sorted((draw(moments), draw(moments)))
    for run, opened_s in ((OUTER, outer_s), (INNER, inner_s)):
        opened = Run(run, (run,), "o", "agent", RunLimits(), opened_s, opened_s + 9e9, NanoUsd(7))
        made.append(RunChanged(opened, opened_s))
    for number in range(draw(st.integers(1, 4))):
        between = draw(st.sampled_from([[], ["agent/b"]]))
        inside = draw(st.sampled_from([[], [*between, INNER], [*between, INNER, "agent/c"]]))
        charge = charged(
            charge_id=f"k{number}",
            agent=draw(names),
            provider=draw(names),
            cost_nano_usd=NanoUsd(draw(st.integers(-10, 2**45))),
            run_path=">".join([*draw(st.sampled_from([[], ["agent/a"]])), OUTER, *inside]),
            user=draw(st.none() | values),
            tags=(("job", draw(values)),),
            window_at_s=outer_s,
            reserved_at_s=max(inner_s, draw(moments)),
        )
        made.append(charge if charge.reserved_at_s != outer_s else charge._replace(reserved_at_s=0.0))
    return made


scopes = st.one_of(
    st.just(Scope("global")),
    st.builds(Scope, st.sampled_from(["agent", "provider"]), names | st.just(EACH)),
    st.builds(Scope, st.just("run"), names.map(lambda name: f"agent/{name}") | st.just(EACH)),
    st.builds(Scope, st.just("user"), values.filter(bool) | st.just(EACH)),
    st.builds(Scope, st.just("tag"), values | st.just(EACH), st.sampled_from(["job", "a.b", "job.id", "0"])),
)
windows = st.sampled_from([Window("hour"), Window("day"), Window("total"), Window("rolling", length_s=HOUR_S + 1)])
budgets = st.builds(
    lambda name, scope, window, missing: Budget(name, scope, NanoUsd(1), window, when_missing=missing),
    names,
    scopes,
    windows,
    st.sampled_from(["deny", "shared"]),
)


def labels_of(charge: ChargePosted) -> Labels:
    runs = tuple(reversed(charge.run_path.split(">"))) if charge.run_path else ()
    return Labels(
        charge.org, charge.team, charge.agent, charge.model, charge.provider, runs, charge.user or None, charge.tags
    )


def moment(charge: ChargePosted, budget: Budget, counter: str, carved: dict[str, float]) -> float:
    """When the money was reserved in a counter: by the attempt itself, or by the carve that it spends there."""
    if not charge.reserved_at_s or budget.scope.kind in ("global", "org", "team", "agent"):
        return charge.window_at_s
    path = charge.run_path.split(">")
    below = path[path.index(counter) + 1 :] if budget.scope.kind == "run" else []
    return next((carved[run] for run in below if run in carved), charge.reserved_at_s)


def naive(made: list[Event], budget: Budget, value: str | None) -> Spent:
    """What admission would have posted, one event after the other."""
    amounts: list[tuple[str, float, int]] = []
    carved = {event.run.id: event.run.opened_at_s for event in made if isinstance(event, RunChanged)}
    for event in made:
        if isinstance(event, ChargePosted) and event.resolution in COUNTED:
            counters = budget.scope.values(labels_of(event))
            if counters is None:
                counters = (SHARED,) if budget.when_missing == "shared" else ()
            amounts += [(name, moment(event, budget, name, carved), event.cost_nano_usd) for name in counters]
        elif isinstance(event, Adjusted) and event.budget == budget.id:
            amounts.append((event.value, event.window_at_s, event.amount_nano_usd))
    own = budget.scope.value
    plain: defaultdict[str, int] = defaultdict(int)
    rolling: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    bucket_s = budget.window.bucket_s
    for counter, at_s, amount in amounts:
        if own not in (EACH, counter) or value not in (None, counter):
            continue
        if not bucket_s:
            if budget.window.at(at_s).id == budget.window.at(NOW_S).id:
                plain[counter] += amount
        elif (at_s // bucket_s + 1) * bucket_s > NOW_S - 60 * bucket_s:
            rolling[counter][int(at_s // bucket_s)] += amount
    return dict(plain) if not bucket_s else {counter: dict(found) for counter, found in rolling.items()}


class Bench:
    """One journal that is emptied between examples: making one takes longer than all the sums."""

    def __init__(self, storage: StorageSettings) -> None:
        self.loop = asyncio.new_event_loop()
        self.journal: Journal = self.run(Journal.open(storage))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def fill(self, made: list[Event]) -> None:
        self.run(self._fill(made))

    async def _fill(self, made: list[Event]) -> None:
        engine = self.journal.database.engine
        async with engine.begin() as connection:
            for table in ("charges", "adjustments"):
                if engine.dialect.name == "sqlite":
                    await connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_delete"))
                else:
                    await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
                await connection.execute(text(f"DELETE FROM {table}"))
            await connection.execute(text("DELETE FROM runs"))
        self.journal.write(made)
        await self.journal.flush()

    def close(self) -> None:
        self.run(self.journal.close())
        self.loop.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    storage = StorageSettings(dir=tmp_path_factory.mktemp("state"), flush_interval_s=3600)
    if request.param == "sqlite":
        made = Bench(storage)
        yield made
        made.close()
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    server.run("CREATE DATABASE spend")
    made = Bench(dataclasses.replace(storage, journal_url=server.url("spend")))
    yield made
    made.close()
    server.run("DROP DATABASE spend")


@settings(max_examples=60, deadline=None)
@given(
    events() | carved_events(),
    st.lists(st.tuples(budgets, st.none() | names | values | st.just(SHARED)), min_size=8, max_size=8),
)
def test_counters_are_the_sum_of_their_charges(
    bench: Bench, made: list[Event], questions: list[tuple[Budget, str | None]]
) -> None:
    bench.fill(made)
    for budget, value in questions:
        span = budget.window.at(NOW_S)
        assert bench.run(spent(bench.journal.database, budget, span, NOW_S, value)) == naive(made, budget, value)


@settings(max_examples=40, deadline=None)
@given(events(), st.sets(names.map(lambda name: f"agent/{name}")), st.booleans())
def test_runs_include_their_sub_runs(bench: Bench, made: list[Event], ids: set[str], known: bool) -> None:
    charges = [event for event in made if isinstance(event, ChargePosted)]
    if known:  # as the gateway does it: every run of a path has been opened, under the path's own root
        trees = {id_: f"root-{number}" for number, id_ in enumerate(sorted(ids))}
        charges = [
            charge._replace(
                run_path=f"{trees[path[0]]}>{path[0]}" if (path := charge.run_path.split(">"))[0] in trees else ""
            )
            for charge in charges
        ]
        opened: list[Event] = [
            RunChanged(Run(id_, (id_, root), "o", "agent", RunLimits(), 1.0, 2.0), 1.0) for id_, root in trees.items()
        ]
        bench.fill([*opened, *charges])
    else:
        bench.fill([*charges])
    expected = {}
    for id_ in ids:
        below = [c for c in charges if id_ in c.run_path.split(">") and c.resolution in COUNTED]
        expected[id_] = RunSpend(
            NanoUsd(sum(c.cost_nano_usd for c in below)),
            sum(c.usage.input_tokens + c.usage.output_tokens for c in below),
            sum(c.resolution != "correction" for c in below),
        )
    assert bench.run(run_spent(bench.journal.database, ids)) == expected


@settings(max_examples=30, deadline=None)
@given(events() | carved_events(), moments)
def test_what_went_otherwise_than_admitted(bench: Bench, made: list[Event], since_s: float) -> None:
    bench.fill(made)
    charges = [event for event in made if isinstance(event, ChargePosted)]
    since = [charge for charge in charges if charge.window_at_s >= since_s]
    lost = [charge for charge in since if charge.resolution == "orphaned"]
    repaired = [charge for charge in since if charge.resolution == "correction"]
    over = [
        charge.cost_nano_usd - charge.reserved_nano_usd
        for charge in since
        if charge.resolution == "settled" and charge.cost_nano_usd > charge.reserved_nano_usd > 0
    ]
    assert bench.run(irregular(bench.journal.database, since_s)) == Irregular(
        len(lost),
        NanoUsd(sum(charge.cost_nano_usd for charge in lost + repaired)),
        len(over),
        NanoUsd(sum(over)),
    )
    latest = max((max(charge.window_at_s, charge.reserved_at_s) for charge in charges), default=None)
    assert bench.run(latest_window_at_s(bench.journal.database)) == latest


@pytest.fixture
def journal(either_journal: Journal) -> Journal:
    return either_journal


@pytest.mark.parametrize(("period", "zone"), [("day", "Asia/Kolkata"), ("month", "America/New_York"), ("week", "UTC")])
async def test_a_charge_counts_in_the_window_it_was_reserved_in(journal: Journal, period: Period, zone: str) -> None:
    window = Window(period, zone)
    budget = Budget("b", Scope("team", "search"), NanoUsd(1), window)
    span = window.at(NOW_S)
    edges = [span.start_s - 1e-6, span.start_s, span.end_s - 1e-6, span.end_s]
    costs = [1, 10, 100, 1000]
    journal.write(
        [
            charged(charge_id=str(cost), cost_nano_usd=NanoUsd(cost), window_at_s=at_s, at_s=NOW_S)
            for at_s, cost in zip(edges, costs, strict=True)
        ]
    )
    await journal.flush()
    assert await spent(journal.database, budget, span, NOW_S) == {"search": 110}
    assert await spent(journal.database, budget, window.at(span.end_s), NOW_S) == {"search": 1000}
    assert await spent(journal.database, budget, window.at(span.start_s - 1), NOW_S) == {"search": 1}
    assert await spent(journal.database, budget, span, NOW_S, "another") == {}


async def test_a_rolling_window_forgets_bucket_by_bucket(journal: Journal) -> None:
    budget = Budget("b", Scope("global"), NanoUsd(1), Window("rolling", length_s=600))  # buckets of 10 s
    bucket = int(NOW_S // 10)
    journal.write(
        [
            charged(charge_id=str(back), cost_nano_usd=NanoUsd(back), window_at_s=(bucket - back) * 10.0)
            for back in (0, 1, 59, 60, 61)
        ]
    )
    await journal.flush()
    for now_s, oldest in ((NOW_S, 60), (NOW_S + 9.999, 60), (NOW_S + 10, 59)):
        found = await spent(journal.database, budget, budget.window.at(now_s), now_s)
        assert found == {"": {bucket - back: back for back in (0, 1, 59, 60) if back <= oldest}}


async def test_an_empty_tag_is_a_value_and_an_empty_user_is_none(journal: Journal) -> None:
    journal.write([charged(charge_id=user, user=user, tags=(("job", user),)) for user in ("", "x")])
    journal.write([charged(charge_id="none")])
    await journal.flush()
    span = Window("total").at(NOW_S)
    for scope, counters in (
        (Scope("user", EACH), {"x": 1_500, SHARED: 3_000}),
        (Scope("tag", EACH, "job"), {"x": 1_500, "": 1_500, SHARED: 1_500}),
    ):
        shared = Budget("b", scope, NanoUsd(1), Window("total"), when_missing="shared")
        assert await spent(journal.database, shared, span, NOW_S) == counters
        assert await spent(journal.database, shared, span, NOW_S, SHARED) == {SHARED: counters[SHARED]}
        without = {value: cost for value, cost in counters.items() if value != SHARED}
        assert await spent(journal.database, dataclasses.replace(shared, when_missing="deny"), span, NOW_S) == without


async def test_an_unreadable_journal_says_so(journal: Journal) -> None:
    async with journal.database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE charges RENAME TO gone"))
    with pytest.raises(JournalError, match="cannot be read"):
        await latest_window_at_s(journal.database)
