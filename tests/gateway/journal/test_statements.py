from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, MetaData, Table
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite

from gateway.journal.rows import charge_row, request_row
from gateway.journal.statements import MAX_ROWS, Inserts, insert_sql
from gateway.telemetry.events import Event, RequestStarted
from tests.gateway.telemetry.samples import charged, finished

TABLE = Table("t", MetaData(), Column("id", BigInteger), Column("order", BigInteger))


class Cursor:
    """Remembers what it was asked to run, and takes every row."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, list[object]]] = []
        self.rowcount = 0

    def execute(self, sql: str, parameters: list[object]) -> None:
        self.runs.append((sql, parameters))
        self.rowcount = sql.count("(", sql.index("VALUES"))


def test_sqlite_marks() -> None:
    sql = insert_sql(TABLE, 2, aiosqlite.dialect())
    assert sql == 'INSERT INTO t (id, "order") VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING'


def test_postgresql_marks() -> None:
    sql = insert_sql(TABLE, 2, asyncpg.dialect())
    assert sql == 'INSERT INTO t (id, "order") VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING'


def test_a_driver_with_other_marks_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="format"):
        insert_sql(TABLE, 1, mysql.dialect(paramstyle="format"))


@given(st.integers(0, 3 * MAX_ROWS), st.integers(0, 20))
def test_every_row_is_inserted_once_and_in_few_statements(charges: int, requests: int) -> None:
    posted = [charged(charge_id=f"c{number}") for number in range(charges)]
    ended = [finished(request_id=f"r{number}", content=(b"q", b"a")) for number in range(requests)]
    events: list[Event] = [*posted, RequestStarted("r", "o", "t", "a"), *ended]
    cursor = Cursor()

    assert Inserts(sqlite.dialect(paramstyle="qmark")).execute(events, None, cursor) == 0

    by_table: dict[str, list[object]] = {"charges": [], "requests": [], "contents": []}
    for sql, parameters in cursor.runs:
        by_table[sql.split()[2]] += parameters
    assert by_table["charges"] == [value for charge in posted for value in charge_row(charge)]
    assert by_table["requests"] == [value for request in ended for value in request_row(request)]
    assert len(by_table["contents"]) == 3 * requests
    sizes = [sql.count("(", sql.index("VALUES")) for sql, _ in cursor.runs]
    assert all(size <= MAX_ROWS and size & (size - 1) == 0 for size in sizes)


def test_rows_that_exist_are_counted_and_rows_are_mended() -> None:
    class Full(Cursor):
        def execute(self, sql: str, parameters: list[object]) -> None:
            super().execute(sql, parameters)
            self.rowcount = 0

    cursor = Full()
    left_out = Inserts(sqlite.dialect(paramstyle="qmark")).execute(
        [charged(), finished()], lambda row: ("mended", *row[1:]), cursor
    )
    assert left_out == 2
    assert [parameters[0] for _, parameters in cursor.runs] == ["mended", "mended"]
