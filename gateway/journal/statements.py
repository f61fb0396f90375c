"""The journal's INSERT statements, written once per dialect.

Many rows go into one statement (`VALUES (...), (...), ...`) instead of many runs of a one-row statement: a driver lets
go of the interpreter's lock in every run and waits up to 5 ms to get it back from a busy event loop. The number of rows
is always a power of two, so that few different statements exist and the driver's cache of prepared ones holds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Dialect, Table

from gateway.journal.rows import Row, adjustment_row, charge_row, content_row, request_row, run_row
from gateway.journal.tables import adjustments, charges, contents, requests, runs
from gateway.telemetry.events import Adjusted, ChargePosted, Event, RequestFinished, RunChanged

MAX_ROWS = 32
"""Rows in one statement. Building and binding them holds the interpreter's lock for about 0.3 ms."""

Mend = Callable[[Any], Any]


class Inserts:
    """Inserts events as rows of their tables. A row whose primary key exists already is left as it is.

    Only a run's row changes: to its latest state.
    """

    def __init__(self, dialect: Dialect, to_content: Callable[[Any], Row] = content_row) -> None:
        """`to_content` makes the rows of recorded bodies, which must not show everything."""
        self._dialect = dialect
        self._to_content = to_content
        self._sql: dict[tuple[str, int], str] = {}

    def execute(self, events: Sequence[Event], mend: Mend | None, cursor: Any) -> int:
        """Insert all of `events` in the transaction open on a DBAPI cursor. Returns how many rows existed already.

        `mend` changes every event on its way to a row.
        """
        finished = [event for event in events if type(event) is RequestFinished]
        charged = [event for event in events if type(event) is ChargePosted]
        recorded = [event for event in finished if event.content is not None]
        existed = (
            self._insert(cursor, charges, charge_row, charged, mend)
            + self._insert(cursor, requests, request_row, finished, mend)
            + self._insert(cursor, contents, self._to_content, recorded, mend)
        )
        if len(charged) + len(finished) < len(events):
            adjusted = [event for event in events if type(event) is Adjusted]
            existed += self._insert(cursor, adjustments, adjustment_row, adjusted, mend)
            self._insert(cursor, runs, run_row, _latest(events), mend)  # an older change that loses is no collision
        return existed

    def _insert(
        self, cursor: Any, table: Table, to_row: Callable[[Any], Row], events: Sequence[Any], mend: Mend | None
    ) -> int:
        inserted = 0
        for part in _parts(events):
            rows = map(to_row, part if mend is None else map(mend, part))
            cursor.execute(self._statement(table, len(part)), list(chain.from_iterable(rows)))
            inserted += cursor.rowcount
        return len(events) - inserted

    def _statement(self, table: Table, rows: int) -> str:
        sql = self._sql.get((table.name, rows))
        if sql is None:
            sql = self._sql[table.name, rows] = insert_sql(table, rows, self._dialect)
        return sql


def _latest(events: Sequence[Event]) -> list[RunChanged]:
    """The latest change of each run: PostgreSQL updates no row twice in one statement."""
    found: dict[str, RunChanged] = {}
    for event in events:
        if type(event) is RunChanged and not (event.run.id in found and found[event.run.id].at_s > event.at_s):
            found[event.run.id] = event
    return list(found.values())


def _parts(events: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`events` in pieces of at most MAX_ROWS, the size of each a power of two."""
    start = 0
    while left := len(events) - start:
        size = min(MAX_ROWS, 1 << (left.bit_length() - 1))
        yield events[start : start + size]
        start += size


def insert_sql(table: Table, rows: int, dialect: Dialect) -> str:
    """An INSERT of `rows` rows with positional parameters, all columns in the table's order.

    Written here because SQLAlchemy takes long to compile one of many rows, and the loop would stand still meanwhile.
    """
    columns = [dialect.identifier_preparer.format_column(column) for column in table.columns]
    marks = iter(_marks(dialect.paramstyle, rows * len(columns)))
    values = ", ".join(f"({', '.join(next(marks) for _ in columns)})" for _ in range(rows))
    name = dialect.identifier_preparer.format_table(table)
    # Names come from tables.py, values are parameters.
    return f"INSERT INTO {name} ({', '.join(columns)}) VALUES {values} ON CONFLICT {_on_conflict(table)}"  # noqa: S608


def _on_conflict(table: Table) -> str:
    if table is not runs:
        return "DO NOTHING"
    values = ", ".join(f"{name} = excluded.{name}" for name in (column.name for column in runs.columns) if name != "id")
    return f"(id) DO UPDATE SET {values} WHERE excluded.changed_at_us >= runs.changed_at_us"


def _marks(paramstyle: str, count: int) -> list[str]:
    if paramstyle == "qmark":
        return ["?"] * count
    if paramstyle == "numeric_dollar":
        return [f"${number}" for number in range(1, count + 1)]
    raise NotImplementedError(f"a database driver with {paramstyle} parameters")
