from __future__ import annotations

import asyncio
import io
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME, Database, JournalError, connect_engine, journal_url
from gateway.journal.migrate import configuration, main, migrate
from gateway.journal.tables import HEAD, metadata


def schema(file: Path) -> dict[str, str | None]:
    """Every table, index and trigger, by its SQL without regard to white space."""
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    connection.close()
    return {name: None if sql is None else " ".join(sql.split()) for name, sql in rows}


def stamp(file: Path, version: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (version,))
    connection.commit()
    connection.close()


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD


async def test_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    await migrate(journal_url(tmp_path))
    engine = connect_engine(journal_url(tmp_path))
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), metadata)
        )
    await engine.dispose()
    assert differences == []


async def test_a_migrated_database_is_the_same_as_a_new_one(tmp_path: Path) -> None:
    """To the letter: triggers and partial indexes are in there too, which alembic does not compare."""
    (tmp_path / "old").mkdir()
    await migrate(journal_url(tmp_path / "old"))
    await (await Database.open(StorageSettings(dir=tmp_path / "new"))).close()
    migrated, made = schema(tmp_path / "old" / FILE_NAME), schema(tmp_path / "new" / FILE_NAME)
    assert migrated == made
    assert {"charges_no_update", "charges_no_delete"} <= made.keys()


async def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    await migrate(journal_url(tmp_path))
    before = schema(tmp_path / FILE_NAME)
    await migrate(journal_url(tmp_path))
    assert schema(tmp_path / FILE_NAME) == before


async def test_an_older_database_is_brought_up_when_it_is_opened(tmp_path: Path) -> None:
    """An empty version table is what alembic leaves of a database before its first migration."""
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.close()
    await (await Database.open(StorageSettings(dir=tmp_path))).close()
    assert "charges" in schema(tmp_path / FILE_NAME)


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    stamp(tmp_path / FILE_NAME, "9999")
    with pytest.raises(JournalError, match=r"Can't locate revision.*9999.*written by a newer Farebox"):
        await Database.open(StorageSettings(dir=tmp_path))
    assert list(schema(tmp_path / FILE_NAME)) == ["alembic_version"]


async def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE keys (in_the_way INTEGER)")
    connection.close()
    with pytest.raises(JournalError, match="keys already exists"):
        await Database.open(StorageSettings(dir=tmp_path))
    assert list(schema(tmp_path / FILE_NAME)) == ["keys"]


def test_the_command_tells_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = journal_url(tmp_path).render_as_string()
    monkeypatch.setattr("sys.stdin", io.StringIO(url))
    assert main() == 0
    assert "requests" in schema(tmp_path / FILE_NAME)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("UPDATE alembic_version SET version_num = 'nope'")
    connection.commit()
    connection.close()
    monkeypatch.setattr("sys.stdin", io.StringIO(url))
    assert main() == 1
    assert capsys.readouterr().err == (
        "Can't locate revision identified by 'nope'; was it written by a newer Farebox?\n"
    )


async def test_two_first_starts_at_once_make_one_database(tmp_path: Path) -> None:
    storage = StorageSettings(dir=tmp_path)
    for database in await asyncio.gather(Database.open(storage), Database.open(storage)):
        await database.close()
    assert "charges" in schema(tmp_path / FILE_NAME)
