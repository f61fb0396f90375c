from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import BigInteger, Table, Text

from gateway.journal.tables import charges, metadata
from gateway.journal.writer import Journal
from gateway.telemetry.events import Adjusted
from routing.money import Usage
from tests.gateway.telemetry.samples import charged, finished


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE charges SET cost_nano_usd = 0",
        "DELETE FROM charges",
        "DELETE FROM charges WHERE charge_id = 'chg-1'",
        "INSERT INTO charges SELECT * FROM charges WHERE true ON CONFLICT (charge_id) DO UPDATE SET cost_nano_usd = 0",
    ],
)
async def test_charges_are_immutable(journal: Journal, other: sqlite3.Connection, statement: str) -> None:
    journal.write([charged(), finished()])
    await journal.flush()
    with pytest.raises(sqlite3.IntegrityError, match="charges are immutable"):
        other.execute(statement)
    assert other.execute("SELECT cost_nano_usd FROM charges").fetchall() == [(1_500,)]


async def test_adjustments_are_immutable(journal: Journal, other: sqlite3.Connection) -> None:
    journal.write([Adjusted("adj", 5.0, "daily", "search", 4.0, -7, "a refund", "ops")])
    await journal.flush()
    for statement in ("UPDATE adjustments SET amount_nano_usd = 0", "DELETE FROM adjustments"):
        with pytest.raises(sqlite3.IntegrityError, match="adjustments are immutable"):
            other.execute(statement)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_money_and_times_are_integers_of_64_bits(table: Table) -> None:
    for column in table.columns:
        if column.name.endswith(("_us", "_nano_usd")):
            assert isinstance(column.type, BigInteger), column.name
        if column.name in ("tags", "profile", "allowed_models", "limits", "reserved", "origin"):
            assert isinstance(column.type, Text), column.name


def test_every_kind_of_token_has_a_column() -> None:
    assert set(Usage._fields) <= set(charges.columns.keys())


async def test_the_usual_questions_are_answered_by_an_index(journal: Journal, other: sqlite3.Connection) -> None:
    questions = {
        "requests_by_agent": "SELECT * FROM requests WHERE agent = 'a' AND at_us >= 0",
        "requests_by_run": "SELECT * FROM requests WHERE run = 'r'",
        "charges_by_agent": "SELECT sum(cost_nano_usd) FROM charges WHERE agent = 'a' AND window_at_us >= 0",
        "charges_by_window": "SELECT sum(cost_nano_usd) FROM charges WHERE window_at_us >= 0",
        "charges_by_run": "SELECT sum(cost_nano_usd) FROM charges WHERE root_run IN ('a', 'b')",
        "charges_by_own_window": "SELECT sum(cost_nano_usd) FROM charges WHERE own_window_at_us >= 0",
        "adjustments_by_budget": "SELECT * FROM adjustments WHERE budget = 'b' AND window_at_us >= 0",
        "charges_by_time": "SELECT sum(cost_nano_usd) FROM charges WHERE at_us >= 0",
        "charges_by_request": "SELECT * FROM charges WHERE request_id = 'r'",
    }
    for index, question in questions.items():
        plan = " ".join(row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {question}"))
        assert f"INDEX {index}" in plan
