"""SQL that is written once for all databases and run by the driver itself, in one call in its thread.

Through SQLAlchemy's expressions a statement costs ten times as much processor time, and each another trip to that
thread: too much where a request waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from gateway.journal.database import JournalError, reason
from gateway.journal.engine import AsyncEngine

Result = TypeVar("Result")
Statement = tuple[str, tuple[str, ...]]
"""SQL with positional marks, and which value each mark stands for."""

_MARK: Final = re.compile(r":(\w+)")


def positional(sql: str, paramstyle: str) -> Statement:
    """A statement with marks such as `:name`, in a driver's own style."""
    if paramstyle not in {"qmark", "numeric_dollar"}:
        raise NotImplementedError(f"a database driver with {paramstyle} parameters")
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        if paramstyle == "qmark":
            names.append(found[1])
            return "?"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return _MARK.sub(mark, sql), tuple(names)


def run(cursor: Any, statement: Statement, values: Mapping[str, Any]) -> Any:
    """Run it on a DBAPI cursor; the cursor."""
    sql, names = statement
    cursor.execute(sql, [values[name] for name in names])
    return cursor


async def look(engine: AsyncEngine, work: Callable[[Any], Result]) -> Result:
    """What `work` reads with a DBAPI cursor. Raises JournalError when the database cannot be read."""
    driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
    try:
        async with engine.connect() as connection:
            if engine.dialect.name != "sqlite":
                return await connection.run_sync(_look, work)
            driver: Any = (await connection.get_raw_connection()).driver_connection
            result: Result = await driver._execute(_with_cursor, driver._conn, work)
            return result
    except (SQLAlchemyError, OSError, driver_error) as error:
        raise JournalError(f"the journal cannot be read: {reason(error)}") from error


def _look(connection: Any, work: Callable[[Any], Result]) -> Result:
    return _with_cursor(connection.connection, work)


def _with_cursor(connection: Any, work: Callable[[Any], Result]) -> Result:
    cursor = connection.cursor()
    try:
        return work(cursor)
    finally:
        cursor.close()
