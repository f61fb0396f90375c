"""The journal's database: opening it, and what differs between SQLite and PostgreSQL.

SQLite runs in WAL mode, so that reading never waits for writing, and with `synchronous=NORMAL`: a committed row
survives the death of the process at any point; when the machine itself loses power, the last commits before it may be
gone, whole ones only, and the database stays consistent.

An empty database gets its tables straight from `tables.py`; an older one is brought up by Alembic in a process of its
own, because importing Alembic costs 12 MB that a gateway would keep for the rest of its life.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Dialect,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    event,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.util import await_only

from gateway.config.snapshot import StorageSettings
from gateway.journal.engine import AsyncConnection, AsyncEngine, create_async_engine
from gateway.journal.postgres import ValueRefused, connect_postgres, postgres_url, refuses_value, take_lock
from gateway.journal.tables import HEAD, metadata

Result = TypeVar("Result")

FILE_NAME = "journal.db"
BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for another process's transaction before it fails."""
_LOCKED_RETRY_S = 0.02
_CACHE_KIB = 512
"""Pages that SQLite keeps: rows arrive in order, so that only the ends of its trees are in use."""
_WAL_KEPT_BYTES = 67_108_864

_alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class JournalError(Exception):
    """The journal's database cannot be opened, read, brought up to date or written."""


class Database:
    """An open database whose schema is this version's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    async def open(cls, storage: StorageSettings) -> Self:
        """Open, and where needed make or migrate, the database at `storage.journal_url`, else the one in `storage.dir`.

        Raises JournalError.
        """
        if storage.journal_url is not None:
            url = postgres_url(storage.journal_url)
            place = f"at {_without_secrets(url)}"
        else:
            _make_private(storage.dir)
            url = journal_url(storage.dir)
            place = f"in {storage.dir}"
        engine = connect_engine(url)
        try:
            await _bring_up(engine)
        except Exception as error:
            await engine.dispose()
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"the journal {place} cannot be opened: {reason(error)}") from error
        return cls(engine)

    async def check_writable(self) -> None:
        """Write a page and commit it, changing nothing. Raises JournalError: read-only, a full disk, another's lock."""
        stamp = _alembic_version.c.version_num
        try:
            async with begin_immediate(self.engine) as connection:
                await connection.execute(_alembic_version.update().values({stamp: stamp}))
        except (SQLAlchemyError, OSError) as error:
            raise JournalError(f"the journal {self.engine.url.database} cannot be written: {reason(error)}") from error

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self.engine.dispose()


def reason(error: BaseException) -> str:
    """What the driver itself said, without the statement and the link that SQLAlchemy puts around it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, TimeoutError):
        return "its server does not answer"  # the driver says nothing
    return str(cause) or type(cause).__name__


def _without_secrets(url: URL) -> str:
    """Where a server is. The query may hold a password as well as the user's part."""
    return f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _make_private(directory: Path) -> None:
    """Make the directory and an empty database for nobody else's eyes. What SQLite puts beside it is as private.

    The modes of what exists stay: an operator may have let others read.
    """
    file = directory / FILE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            file.touch(mode=0o600)
    except OSError as error:
        raise JournalError(f"the journal in {directory} cannot be made: {error.strerror or error}") from error


def journal_url(directory: Path) -> URL:
    """Where the SQLite journal of a storage directory is."""
    return URL.create("sqlite+aiosqlite", database=str(directory / FILE_NAME))


def connect_engine(url: URL) -> AsyncEngine:
    """An engine for the journal. On SQLite the execution option `immediate` takes the write lock at BEGIN."""
    if url.get_backend_name() != "sqlite":
        return connect_postgres(url)
    _adapt_quickly()
    # Without `isolation_level=None` the driver would begin transactions by itself, and not before DDL.
    engine = create_async_engine(url, connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S})
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _adapt_quickly() -> None:
    """Spare the driver its search for how NULL and truth values are stored, with two exceptions raised for each.

    A row has a dozen. Nothing is stored in another way than before.
    """
    none: dict[None, None] = {}
    sqlite3.register_adapter(type(None), none.get)  # of None it gives None, and runs no Python
    sqlite3.register_adapter(bool, int)


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    try:
        _write_ahead(cursor)
        _check_mode(*cursor.fetchone())
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        cursor.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
        cursor.close()
    except BaseException:
        connection.close()  # SQLAlchemy forgets a connection that fails in here, and its thread would live on
        raise


def _write_ahead(cursor: Any) -> None:
    """Ask for WAL mode. While another process does so for the same new file SQLite refuses at once, without waiting."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline_s:
                raise
            await_only(asyncio.sleep(_LOCKED_RETRY_S))
        else:
            return


def _check_mode(mode: str) -> None:
    """SQLite tells, and goes on, when it cannot write ahead: `synchronous=NORMAL` would not be safe then."""
    if mode != "wal":
        raise JournalError(f"SQLite cannot write ahead (its journal mode is `{mode}`); is this a local file system?")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@asynccontextmanager
async def begin_immediate(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that holds the write lock from its beginning: for what reads before it writes."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(immediate=True)
        async with connection.begin():
            if engine.dialect.name == "postgresql":
                await connection.run_sync(take_lock)
            yield connection


async def _bring_up(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        version, empty = await connection.run_sync(_state)
    if version == HEAD:
        return
    if empty:
        async with begin_immediate(engine) as connection:
            await connection.run_sync(_create)
    else:
        await _migrate(engine.url)


def _state(connection: Connection) -> tuple[str | None, bool]:
    """The schema's version, and whether there is no table at all."""
    names = inspect(connection).get_table_names()
    if _alembic_version.name not in names:
        return None, not names
    return connection.scalar(select(_alembic_version.c.version_num)), False


def _create(connection: Connection) -> None:
    """Make every table and stamp the version, unless another process has just done it."""
    if _state(connection)[1]:
        metadata.create_all(connection)
        _alembic_version.create(connection)
        connection.execute(_alembic_version.insert().values(version_num=HEAD))


async def in_one_transaction(connection: AsyncConnection, work: Callable[[Any], Result]) -> Result:
    """Run `work` with a DBAPI cursor inside a transaction that is committed after it, or rolled back if it raises.

    On SQLite all of it is one call in the driver's thread. Statement by statement, each would make that thread get the
    interpreter's lock back from a busy loop some ten times: measured, a third more processor time for every row, and a
    loop without a pause starves the writer altogether (docs/adr/0003-journal.md).
    """
    if connection.dialect.name != "sqlite":
        try:
            async with connection.begin():
                return await connection.run_sync(_with_cursor, work)
        except Exception as error:
            if connection.dialect.name == "postgresql" and refuses_value(error):
                raise ValueRefused(str(error)) from error
            raise
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # aiosqlite has no public way to run a function in its thread; SQLAlchemy's own dialect uses its queue as well.
    result: Result = await driver._execute(_transaction, driver._conn, work)
    return result


def _with_cursor(connection: Connection, work: Callable[[Any], Result]) -> Result:
    cursor = connection.connection.cursor()
    try:
        return work(cursor)
    finally:
        cursor.close()


def _transaction(connection: sqlite3.Connection, work: Callable[[Any], Result]) -> Result:
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN IMMEDIATE")
        result = work(cursor)
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise
    finally:
        cursor.close()
    return result


def value_errors(dialect: Dialect) -> tuple[type[Exception], ...]:
    """What a driver raises for a value that its database cannot hold, as opposed to a database in trouble."""
    if dialect.name == "postgresql":
        return (ValueRefused,)
    driver: Any = dialect.dbapi
    return (OverflowError, UnicodeError, driver.IntegrityError)


async def _migrate(url: URL) -> None:
    """Run `gateway.journal.migrate` in a process of its own. The URL goes by its input: it may hold a password."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.journal.migrate",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, messages = await process.communicate(url.render_as_string(hide_password=False).encode())
    if process.returncode:
        lines = messages.decode(errors="replace").strip().splitlines()
        raise JournalError(f"the journal could not be migrated: {lines[-1] if lines else process.returncode}")
