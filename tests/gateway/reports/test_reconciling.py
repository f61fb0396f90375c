from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.journal.reconciliations import Drifts, latest
from gateway.journal.writer import Journal
from gateway.reports.bills.bill import BillLine, add_up
from gateway.reports.reconciling import ALL, CorrectionsChanged, corrections, post, reconcile, remember
from gateway.reports.rollups import compare
from gateway.reports.spending import spending
from gateway.telemetry.metrics import Gauges, Known, Metrics
from routing.money import NanoUsd, Usage
from tests.gateway.reports.test_spending import DAY_S, TODAY, journal, write
from tests.gateway.telemetry.samples import charged

__all__ = ["journal"]

YESTERDAY = TODAY - 1
NOW_S = TODAY * DAY_S + 50_000.0
USD = 10**9


def call(name: str, day: int = YESTERDAY, model: str = "gpt", cost: int = USD, **more: Any) -> Any:
    return charged(
        charge_id=name,
        window_at_s=day * DAY_S + 10.0,
        model=model,
        upstream_model=f"{model}-2026-01-01",
        cost_nano_usd=NanoUsd(cost),
        **more,
    )


async def test_what_differs_and_why(journal: Journal) -> None:
    await write(
        journal,
        call("1", cost=USD),
        call("2", model="small", cost=2 * USD, estimated=True),
        call("3", model="mine", cost=USD, unpriced=True),
        call("4", model="edge", cost=3 * USD),
        call("5", model="edge", day=YESTERDAY - 1, cost=USD),
        call("6", model="priced", cost=USD, usage=Usage(100, 20)),
        call("7", model="cached", cost=USD, usage=Usage(100, 20, 90)),
        call("8", cost=USD, provider="other"),
    )
    lines = [
        BillLine(YESTERDAY, "gpt", Decimal("1.00")),
        BillLine(YESTERDAY, "small-2026-01-01", Decimal("1.50")),
        BillLine(YESTERDAY, "elsewhere", Decimal("0.50")),
        BillLine(YESTERDAY, "edge", Decimal(2)),
        BillLine(YESTERDAY - 1, "edge", Decimal(2)),
        BillLine(YESTERDAY, "priced", Decimal("1.10"), 100, 20, 0, 1),
        BillLine(YESTERDAY, "cached", Decimal("1.20"), 100, 20, 0, 2, batch=True),
    ]
    found = await reconcile(journal.database.engine, ["openai"], add_up(lines))
    said = {(line.day, line.model): line for line in found.lines}
    assert {model: line.difference for (day, model), line in said.items() if day == YESTERDAY} == {
        "gpt": 0, "small": -USD // 2, "elsewhere": USD // 2, "mine": -USD, "edge": -USD, "priced": USD // 10,
        "cached": USD // 5,
    }  # fmt: skip
    reasons = {model: [reason.partition(":")[0] for reason in line.reasons] for (_, model), line in said.items()}
    assert reasons["gpt"] == []
    assert reasons["small"] == ["missing usage"]
    assert reasons["elsewhere"] == ["other keys"]
    assert reasons["mine"] == ["the bill has nothing of it"]
    assert reasons["edge"] == ["day edge"]
    assert reasons["priced"] == ["price"]
    assert reasons["cached"] == ["batch", "other keys", "cached tokens", "price"]
    drifts = {each.model: round(each.drift_ratio, 4) for each in found.drifts(NOW_S)}
    assert (drifts["gpt"], drifts["edge"], drifts["elsewhere"], drifts["mine"]) == (0.0, 0.0, 1.0, -1.0)


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_after_corrections_the_journal_is_the_bill(journal: Journal, data: st.DataObject) -> None:
    """Entered twice, or after the bill has changed: the journal says what the latest bill says, to the nano-dollar.

    What the latest bill does not name stays as it is.
    """
    models = st.sampled_from(("gpt", "small", "elsewhere"))
    amounts = st.integers(0, 10**12)
    days = st.integers(YESTERDAY - 2, YESTERDAY)
    run = data.draw(st.uuids()).hex
    calls = data.draw(st.lists(st.tuples(days, models, amounts), max_size=5))
    await write(journal, *[call(f"{run}{at}", *each, provider=run) for at, each in enumerate(calls)])
    for _ in range(2):
        bill_lines = data.draw(st.lists(st.tuples(days, models, amounts), min_size=1, max_size=5))
        bill = add_up([BillLine(day, model, Decimal(cost) / USD) for day, model, cost in bill_lines])
        before = await reconcile(journal.database.engine, [run], bill)
        left_out = sum(line.charged_cost for line in before.lines if line.billed is None)
        await post(journal.database, [run], bill, NOW_S)
        assert await post(journal.database, [run], bill, NOW_S) == []
        found = await reconcile(journal.database.engine, [run], bill)
        assert all(line.difference == 0 for line in found.lines if line.billed is not None)
        report = await spending(journal.database.engine, ("provider",), found.period)
        total = {line.group: line.amounts.cost for line in report.lines}
        assert total.get((run,), 0) == sum(cost for _, _, cost in bill_lines) + left_out
    assert (await compare(journal.database.engine)).differences == ()


async def test_corrections_are_entries_that_no_budget_counts(journal: Journal) -> None:
    await write(journal, call("1", cost=USD))
    bill = add_up([BillLine(YESTERDAY, "gpt", Decimal("1.25")), BillLine(TODAY, "gpt", Decimal(9))])
    shown = corrections(await reconcile(journal.database.engine, ["openai"], bill), NOW_S)
    [entry] = await post(journal.database, ["openai"], bill, NOW_S)
    assert [each.cost_nano_usd for each in shown] == [entry.cost_nano_usd] == [USD // 4]  # not of today: it goes on
    assert entry.charge_id == "bill:openai:gpt:2027-01-14:1"
    async with journal.database.engine.connect() as connection:
        rows = await connection.execute(text("SELECT charge_id, resolution, agent FROM charges ORDER BY charge_id"))
        assert [tuple(row) for row in rows] == [("1", "settled", "researcher"), (entry.charge_id, "reconciled", "")]


async def test_the_latest_comparison_is_kept(journal: Journal) -> None:
    await write(journal, call("1", cost=USD))
    engine = journal.database.engine
    for billed in ("3.00", "1.10"):
        found = await reconcile(engine, ["openai"], add_up([BillLine(YESTERDAY, "gpt-2026-01-01", Decimal(billed))]))
        await remember(journal.database, found, NOW_S)
    [kept] = await latest(engine)
    assert (kept.provider, kept.model, kept.at_s, kept.from_day, kept.to_day) == (
        "openai",
        "gpt",
        NOW_S,
        YESTERDAY,
        TODAY,
    )
    assert round(kept.drift_ratio, 6) == 0.1
    drifts = Drifts(engine)
    await drifts.refresh()
    assert drifts.ratios() == {("gpt", "openai"): kept.drift_ratio}
    metrics = Metrics(version="1", max_label_values=10, gauges=Gauges(drifts=drifts.ratios))
    metrics.set_known(Known(models=("gpt",), providers=("openai",)))
    exposition, _ = await metrics.render()
    assert b"farebox_reconciliation_drift_ratio{" in exposition


async def test_an_export_of_usage_alone_corrects_nothing(journal: Journal) -> None:
    await write(journal, call("1", cost=USD, usage=Usage(100, 20)), call("2", model="small"))
    bill = add_up([BillLine(YESTERDAY, "gpt", None, 300, 20, 0, 3)])
    found = await reconcile(journal.database.engine, ["openai"], bill)
    assert (found.has_costs, found.drifts(NOW_S), corrections(found, NOW_S)) == (False, [], [])
    assert [reason.partition(":")[0] for reason in found.lines[0].reasons] == ["other keys", "other keys"]


async def test_corrections_are_numbered_on_whatever_is_left(journal: Journal) -> None:
    await write(journal, call("1", cost=USD))
    for month, billed in enumerate(("1.25", "1.50")):
        bill = add_up([BillLine(YESTERDAY, "gpt", Decimal(billed))])
        await post(journal.database, ["openai"], bill, NOW_S + month * 30 * DAY_S)
    first = "bill:openai:gpt:2027-01-14:1"
    async with journal.database.engine.begin() as connection:
        mark = (TODAY + 2) * DAY_S * 1_000_000
        await connection.execute(text("INSERT INTO retention VALUES ('charges', :mark)"), {"mark": mark})
        await connection.execute(text("DELETE FROM charges WHERE charge_id = :first"), {"first": first})
    bill = add_up([BillLine(YESTERDAY, "gpt", Decimal("1.75"))])
    [entry] = await post(journal.database, ["openai"], bill, NOW_S + 60 * DAY_S)
    assert entry.charge_id == "bill:openai:gpt:2027-01-14:3"


async def test_what_is_corrected_drifts_no_more(journal: Journal) -> None:
    await write(journal, call("1", cost=USD))
    bill = add_up([BillLine(YESTERDAY, "gpt", Decimal("1.25"))])
    await remember(journal.database, await reconcile(journal.database.engine, ["openai"], bill), NOW_S)
    assert [each.drift_ratio for each in await latest(journal.database.engine)] == [0.25]
    await post(journal.database, ["openai"], bill, NOW_S)
    assert [each.drift_ratio for each in await latest(journal.database.engine)] == [0.0]


async def entries(journal: Journal) -> list[tuple[Any, ...]]:
    sql = "SELECT model, cost_nano_usd FROM charges WHERE resolution = 'reconciled' ORDER BY charge_id"
    async with journal.database.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]


async def test_what_the_bill_does_not_name_is_never_entered(journal: Journal) -> None:
    """A model, a day between two others, or an amount that is missing: each may be missing for any reason."""
    await write(
        journal,
        call("1", cost=USD),
        call("2", model="small", cost=USD),
        call("3", day=YESTERDAY - 1, cost=USD),
        call("4", model="counted", cost=USD),
    )
    bill = add_up([
        BillLine(YESTERDAY, "gpt", Decimal("1.25")),
        BillLine(YESTERDAY - 2, "gpt", Decimal("0.10")),
        BillLine(YESTERDAY, "counted", None, 7, 7),
    ])  # fmt: skip
    found = await reconcile(journal.database.engine, ["openai"], bill)
    assert {(line.day, line.model): line.difference for line in found.lines}[
        YESTERDAY - 1, "gpt"
    ] == -USD  # it is shown
    assert len(await post(journal.database, ["openai"], bill, NOW_S)) == 2
    assert sorted(await entries(journal)) == [("gpt", USD // 10), ("gpt", USD // 4)]


async def test_a_bill_of_all_models_together_is_one_correction_of_all(journal: Journal) -> None:
    await write(journal, call("1", cost=USD), call("2", model="small", cost=3 * USD))
    together = add_up([BillLine(YESTERDAY, "", Decimal(5))])
    [entry] = await post(journal.database, ["openai"], together, NOW_S)
    assert (entry.charge_id, entry.model, entry.cost_nano_usd) == ("bill:openai:all:2027-01-14:1", ALL, USD)
    assert await post(journal.database, ["openai"], together, NOW_S) == []
    apart = add_up([BillLine(YESTERDAY, "gpt", Decimal("1.50")), BillLine(YESTERDAY, "small", Decimal("3.50"))])
    shown = {line.model: line for line in (await reconcile(journal.database.engine, ["openai"], apart)).lines}
    assert shown[ALL].reasons[0].startswith("earlier correction: 1.0000 USD are of all models together")
    taken_back = await post(journal.database, ["openai"], apart, NOW_S)
    assert {each.model: each.cost_nano_usd for each in taken_back} == {ALL: -USD, "gpt": USD // 2, "small": USD // 2}
    assert await post(journal.database, ["openai"], apart, NOW_S) == []
    assert await post(journal.database, ["openai"], together, NOW_S) == []


async def test_what_a_bill_tells_of_no_model_among_others(journal: Journal) -> None:
    """A line for tools, say: it is entered once, and stays while the bill has it."""
    await write(journal, call("1", cost=USD))
    bill = add_up([BillLine(YESTERDAY, "gpt", Decimal(1)), BillLine(YESTERDAY, "", Decimal("0.20"))])
    assert [(each.model, each.cost_nano_usd) for each in await post(journal.database, ["openai"], bill, NOW_S)] == [
        (ALL, USD // 5)
    ]
    assert await post(journal.database, ["openai"], bill, NOW_S) == []


async def test_what_has_changed_since_it_was_agreed_to_is_not_entered(journal: Journal) -> None:
    await write(journal, call("1", cost=USD))
    bill = add_up([BillLine(YESTERDAY, "gpt", Decimal("1.25"))])
    agreed = corrections(await reconcile(journal.database.engine, ["openai"], bill), NOW_S)
    await write(journal, call("2", cost=USD // 10))
    with pytest.raises(CorrectionsChanged):
        await post(journal.database, ["openai"], bill, NOW_S, agreed)
    assert await entries(journal) == []
