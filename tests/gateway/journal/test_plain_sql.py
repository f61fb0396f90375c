"""SQL that is written once."""

from __future__ import annotations

import pytest

from gateway.journal.database import JournalError
from gateway.journal.plain_sql import look, positional, run
from gateway.journal.writer import Journal


def test_marks_in_each_drivers_style() -> None:
    sql = "SELECT :b, :a, :b"
    assert positional(sql, "qmark") == ("SELECT ?, ?, ?", ("b", "a", "b"))
    assert positional(sql, "numeric_dollar") == ("SELECT $1, $2, $1", ("b", "a"))
    with pytest.raises(NotImplementedError):
        positional(sql, "format")


async def test_what_is_read(either_journal: Journal) -> None:
    engine = either_journal.database.engine
    statement = positional(
        "SELECT CAST(:a AS INTEGER) + CAST(:a AS INTEGER), CAST(:b AS TEXT)", engine.dialect.paramstyle
    )
    row = await look(engine, lambda cursor: run(cursor, statement, {"a": 2, "b": "x"}).fetchone())
    assert tuple(row) == (4, "x")


async def test_what_cannot_be_read(either_journal: Journal) -> None:
    engine = either_journal.database.engine
    statement = positional("SELECT 1 FROM nowhere", engine.dialect.paramstyle)
    with pytest.raises(JournalError, match="nowhere"):
        await look(engine, lambda cursor: run(cursor, statement, {}))
