from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.dialects.postgresql import asyncpg

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME, Database, JournalError, connect_engine, in_one_transaction, journal_url
from gateway.journal.tables import HEAD


async def test_the_directory_is_made_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state"
    await (await Database.open(StorageSettings(dir=directory))).close()
    assert (directory / FILE_NAME).is_file()
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_only_the_owner_may_read_the_files(database: Database, other: sqlite3.Connection) -> None:
    other.execute("INSERT INTO contents VALUES ('r', x'00', x'01')")
    directory = Path(database.engine.url.database or "").parent
    files = {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}
    assert files == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


async def test_the_mode_that_an_operator_gave_stays(storage: StorageSettings) -> None:
    await (await Database.open(storage)).close()
    (storage.dir / FILE_NAME).chmod(0o640)
    await (await Database.open(storage)).close()
    assert (storage.dir / FILE_NAME).stat().st_mode & 0o777 == 0o640


async def test_a_file_system_without_shared_memory_is_refused() -> None:
    """SQLite says so by answering with the mode that it has instead; a database in memory has no log either."""
    engine = connect_engine(make_url("sqlite+aiosqlite://"))
    with pytest.raises(JournalError, match="`memory`"):
        async with engine.connect():
            pass
    await engine.dispose()


async def test_errors_are_the_drivers_words(
    storage: StorageSettings, database: Database, other: sqlite3.Connection
) -> None:
    other.execute("PRAGMA query_only=1")
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA query_only=1")
    with pytest.raises(JournalError) as caught:
        await database.check_writable()
    assert str(caught.value) == (
        f"the journal {storage.dir / FILE_NAME} cannot be written: attempt to write a readonly database"
    )


async def test_null_and_truth_values_are_stored_without_a_search_for_how(database: Database) -> None:
    async with database.engine.connect() as connection:
        stored = await connection.exec_driver_sql("SELECT ?, ?, ?, typeof(?)", (None, True, False, True))
        assert stored.one() == (None, 1, 0, "integer")
    assert {kind for kind, _ in sqlite3.adapters} >= {type(None), bool}


async def test_every_connection_writes_ahead_and_does_not_sync_each_commit(database: Database) -> None:
    async with database.engine.connect() as first, database.engine.connect() as second:
        for connection in (first, second):
            assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
            assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 1  # NORMAL
            assert (await connection.execute(text("PRAGMA busy_timeout"))).scalar() == 5000


async def test_opening_again_keeps_what_is_there(storage: StorageSettings) -> None:
    first = await Database.open(storage)
    async with first.engine.begin() as connection:
        await connection.execute(text("INSERT INTO contents VALUES ('r', x'00', x'01')"))
    await first.close()
    second = await Database.open(storage)
    async with second.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM contents"))).scalar() == 1
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == HEAD
    await second.close()
    await second.close()


async def test_a_current_database_is_opened_without_alembic(storage: StorageSettings, database: Database) -> None:
    """Importing it costs 12 MB and 150 ms: only the process that migrates pays for it."""
    import subprocess
    import sys

    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.config.snapshot import StorageSettings\n"
        "from gateway.journal.writer import Journal\n"
        "async def run():\n"
        "    await (await Journal.open(StorageSettings(dir=pathlib.Path(sys.argv[1])))).close()\n"
        "asyncio.run(run())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    for directory in (storage.dir, storage.dir / "new"):
        subprocess.run([sys.executable, "-c", program, str(directory)], check=True)


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, " * 100)
    with pytest.raises(JournalError, match=r"cannot be opened.*not a database"):
        await Database.open(StorageSettings(dir=tmp_path))


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be made"):
        await Database.open(StorageSettings(dir=tmp_path / "file" / "state"))


async def test_a_transaction_is_one_or_nothing(database: Database, other: sqlite3.Connection) -> None:
    def insert(cursor: sqlite3.Cursor, *, fail: bool) -> str:
        cursor.execute("INSERT INTO contents VALUES ('r', x'00', x'01')")
        if fail:
            raise LookupError("half way")
        return "done"

    async with database.engine.connect() as connection:
        with pytest.raises(LookupError):
            await in_one_transaction(connection, lambda cursor: insert(cursor, fail=True))
        assert other.execute("SELECT count(*) FROM contents").fetchall() == [(0,)]
        assert await in_one_transaction(connection, lambda cursor: insert(cursor, fail=False)) == "done"
    assert other.execute("SELECT count(*) FROM contents").fetchall() == [(1,)]


async def test_other_dialects_use_sqlalchemys_transaction(
    database: Database, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same work, committed or rolled back as a whole. SQLite stands in for a server, under another name."""

    def insert(cursor: sqlite3.Cursor, number: int) -> None:
        cursor.execute("INSERT INTO contents VALUES (?, x'00', x'01')", (f"r{number}",))
        if number == 2:
            raise LookupError("half way")

    monkeypatch.setattr(database.engine.dialect, "name", "another")
    async with database.engine.connect() as connection:
        await in_one_transaction(connection, lambda cursor: insert(cursor, 1))
        with pytest.raises(LookupError):
            await in_one_transaction(connection, lambda cursor: insert(cursor, 2))
    assert other.execute("SELECT request_id FROM contents").fetchall() == [("r1",)]


def test_the_url_is_a_file_of_the_directory(tmp_path: Path) -> None:
    assert journal_url(tmp_path).render_as_string() == f"sqlite+aiosqlite:///{tmp_path}/{FILE_NAME}"


async def test_only_sqlite_gets_pragmas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncpg.dialect, "import_dbapi", classmethod(lambda _: sqlite3))
    engine = connect_engine(make_url("postgresql+asyncpg://journal@localhost/farebox"))
    assert not engine.sync_engine.dispatch.begin
    await engine.dispose()
