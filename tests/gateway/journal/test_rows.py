from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from gateway.journal import tables
from gateway.journal.rows import (
    adjustment_of,
    adjustment_row,
    charge_of,
    charge_row,
    content_row,
    request_of,
    request_row,
    run_of,
    run_row,
    salvage,
    to_s,
    to_us,
)
from gateway.journal.statements import insert_sql
from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.telemetry.events import Adjusted, ChargePosted, Choice, RequestFinished, RunChanged
from routing.decision import Considered, Shadow
from routing.money import NanoUsd, Usage
from routing.profile import RequestProfile
from tests.gateway.journal import strategies
from tests.gateway.telemetry.samples import charged, finished

DIALECT = sqlite.dialect(paramstyle="qmark")


@pytest.fixture(scope="module")
def memory() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for table in (tables.charges, tables.requests, tables.adjustments):
        names = ", ".join(f'"{name}" {column.type.compile(DIALECT)}' for name, column in table.columns.items())
        connection.execute(f"CREATE TABLE {table.name} ({names})")
    names = ", ".join(f"{c.name} {'TEXT PRIMARY KEY' if c.primary_key else ''}" for c in tables.runs.columns)
    connection.execute(f"CREATE TABLE runs ({names})")
    yield connection
    connection.close()


def through(memory: sqlite3.Connection, table: Any, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as SQLite gives it back."""
    memory.execute(f"DELETE FROM {table.name}")
    memory.execute(insert_sql(table, 1, DIALECT), row)
    (found,) = memory.execute(f"SELECT * FROM {table.name}").fetchall()
    return tuple(found)


@given(strategies.charges)
def test_a_charge_comes_back_as_it_was(memory: sqlite3.Connection, charge: ChargePosted) -> None:
    assert charge_of(through(memory, tables.charges, charge_row(charge))) == charge


@given(strategies.requests)
def test_a_request_comes_back_as_it_was(memory: sqlite3.Connection, request_: RequestFinished) -> None:
    assert request_of(through(memory, tables.requests, request_row(request_))) == request_


@given(strategies.runs)
def test_a_run_comes_back_as_it_was(memory: sqlite3.Connection, change: RunChanged) -> None:
    assert run_of(through(memory, tables.runs, run_row(change))) == change


@given(strategies.adjustments)
def test_an_adjustment_comes_back_as_it_was(memory: sqlite3.Connection, entry: Adjusted) -> None:
    assert adjustment_of(through(memory, tables.adjustments, adjustment_row(entry))) == entry


def test_a_runs_path_begins_with_its_root() -> None:
    run = Run("a/3", ("a/3", "a/2", "a/1"), "o", "a", RunLimits(cost=NanoUsd(5)), 1.0, 2.0)
    row = dict(zip(tables.runs.columns.keys(), run_row(RunChanged(run, 7.0)), strict=True))
    assert (row["parent"], row["path"], row["changed_at_us"]) == ("a/2", "a/1>a/2>a/3", 7_000_000)
    assert json.loads(row["limits"])["cost"] == 5
    row = dict(zip(tables.charges.columns.keys(), charge_row(charged(run_path="a/1>a/2")), strict=True))
    assert (row["run_path"], row["root_run"]) == ("a/1>a/2", "a/1")
    assert dict(zip(tables.charges.columns.keys(), charge_row(charged()), strict=True))["root_run"] is None


def test_a_charge_that_nothing_governed_counts_when_it_was_settled() -> None:
    row = charge_row(charged(at_s=12.5, window_at_s=0.0))
    assert dict(zip(tables.charges.columns.keys(), row, strict=True))["window_at_us"] == 12_500_000


def test_a_charge_has_a_moment_of_its_own_only_where_its_carve_has_another() -> None:
    for window_at_s, reserved_at_s, own_us in ((7.0, 0.0, None), (7.0, 7.0, None), (7.0, 9.5, 9_500_000)):
        row = charge_row(charged(window_at_s=window_at_s, reserved_at_s=reserved_at_s))
        found = dict(zip(tables.charges.columns.keys(), row, strict=True))
        assert (found["own_window_at_us"], found["window_at_us"]) == (own_us, 7_000_000)


def test_columns_stand_in_the_order_of_the_events_fields() -> None:
    renamed = {
        "at_s": ["at_us"],
        "window_at_s": ["window_at_us"],
        "reserved_at_s": ["own_window_at_us"],
        "run_path": ["run_path", "root_run"],
        "user": ["end_user"],
        "usage": list(Usage._fields),
        "entry_id": ["id"],
        "choice": ["policy", "decision"],
        "content": [],
        "trace_id": [],
        "traceparent": [],
    }
    for table, event in (
        (tables.charges, ChargePosted),
        (tables.requests, RequestFinished),
        (tables.adjustments, Adjusted),
    ):
        expected = [column for field in event._fields for column in renamed.get(field, [field])]
        assert list(table.columns.keys()) == expected


def test_every_value_lies_in_its_own_column() -> None:
    """Distinct values everywhere: two columns that were swapped would show."""
    usage = Usage(*range(1, 1 + len(Usage._fields)))
    row = dict(zip(tables.charges.columns.keys(), charge_row(charged(usage=usage, at_s=12.5)), strict=True))
    assert row["at_us"] == 12_500_000
    assert {name: row[name] for name in Usage._fields} == usage._asdict()
    assert (row["cost_nano_usd"], row["price_point"], row["first_token_ms"]) == (1_500, "config:gpt", 30.0)
    event = finished(user="u", session="s", run="r", parent_run="p", rule="why", outcome="refused")
    row = dict(zip(tables.requests.columns.keys(), request_row(event), strict=True))
    assert [row[name] for name in ("end_user", "session", "run", "parent_run")] == ["u", "s", "r", "p"]
    assert (row["rule"], row["outcome"], row["sdk"]) == ("why", "refused", "openai-python/3.52.0")


def test_tags_and_profile_are_json_objects() -> None:
    profile = RequestProfile("chat", "gpt", 140, 35, None, 1, 2, 0, 0, True, False, "default")
    row = request_row(finished(tags=(("team", "ü"), ("job", "42")), profile=profile))
    assert json.loads(row[10]) == {"team": "ü", "job": "42"}
    assert json.loads(row[15]) == profile._asdict()
    assert request_row(finished())[10] == "{}"


def test_a_decision_is_a_json_object_without_what_is_as_usual() -> None:
    choice = Choice(
        "main", "cheap", "first match", considered=(Considered("m", "", score=0.5),), shadows=(Shadow("s", "n"),)
    )
    row = dict(zip(tables.requests.columns.keys(), request_row(finished(choice=choice)), strict=True))
    assert row["policy"] == "main"
    assert json.loads(row["decision"]) == {
        "policy": "main",
        "rule": "cheap",
        "reason": "first match",
        "considered": [{"model": "m", "tier": "", "score": 0.5}],
        "shadows": [{"rule": "s", "model": "n"}],
    }
    row = dict(zip(tables.requests.columns.keys(), request_row(finished()), strict=True))
    assert (row["policy"], row["decision"]) == (None, None)


def test_content_is_a_row_of_its_own() -> None:
    assert content_row(finished(content=(b"question", b"answer"))) == ("req_1", b"question", b"answer")
    assert request_of(request_row(finished()), (b"q", b"a")).content == (b"q", b"a")


@given(st.integers(0, 4_100_000_000_000_000))  # to the year 2099
def test_microseconds_survive_the_way_through_seconds(at_us: int) -> None:
    assert to_us(to_s(at_us)) == at_us


@given(st.tuples(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()))
def test_what_is_salvaged_can_be_stored(row: tuple[Any, ...]) -> None:
    (value,) = salvage(row)
    with sqlite3.connect(":memory:") as connection:
        (found,) = connection.execute("SELECT ?", (value,)).fetchone()
    connection.close()
    assert found == value
    assert not (isinstance(value, str) and "\0" in value)


def test_salvage_changes_only_what_cannot_be_stored() -> None:
    row = ("ü", 2**63 - 1, True, None, 1.5, b"\0", -(10**30), "a\0b\ud800", math.nan)
    assert salvage(row) == ("ü", 2**63 - 1, True, None, 1.5, b"\0", 1 - 2**63, "ab\\ud800", 0.0)


def test_what_lies_deeper_is_salvaged_too_and_kinds_stay() -> None:
    charge = charged(usage=Usage(input_tokens=10**30), at_s=math.inf)
    assert salvage(charge) == charge._replace(usage=Usage(input_tokens=2**63 - 1), at_s=9e12)
    request = finished(tags=(("mood", "\ud800"),))
    assert salvage(request) == request._replace(tags=(("mood", "\\ud800"),))
    assert (type(salvage(charge)), type(salvage(charge).usage)) == (ChargePosted, Usage)
    for made in (charge_row(salvage(charge)), request_row(salvage(request))):
        assert all(not isinstance(value, int) or abs(value) < 2**63 for value in made)
