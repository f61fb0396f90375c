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
from gateway.journal.migrate import configuration, main, migrate, upgrade
from gateway.journal.postgres import postgres_url
from gateway.journal.tables import HEAD, metadata
from routing.money import Usage


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
    assert {"charges_no_update", "charges_no_delete", "adjustments_no_update"} <= made.keys()


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


_OLD_CHARGE = (
    "INSERT INTO charges VALUES ('{0}', '{0}', 1, 42, 'o', 't', 'a', 'm', 'd', 'p', 'm', {1}, 'pp', 'default', 7, "
    "false, false, 'ok', 'useful', 200, 1.0, 2.0)"
)
_OLD_REQUEST = (
    "INSERT INTO requests VALUES ('{0}', 40, 'o', 't', 'a', 'k', {1}, NULL, 'u', '{{\"x\": \"y\"}}', NULL, NULL, "
    "'chat', 'm', NULL, 'd', 'p', 'r', 'ok', 200, '', 1.0, 2.0, 0.1, false, 7)"
)


def old_rows() -> list[str]:
    """What the first version may have left: charges with and without a run, and one without its request."""
    usage = ", ".join(["1"] * 11)
    return [
        *(_OLD_CHARGE.format(name, usage) for name in ("plain", "root", "child", "alone")),
        _OLD_REQUEST.format("plain", "NULL, NULL"),
        _OLD_REQUEST.format("root", "'1', NULL"),
        _OLD_REQUEST.format("child", "'2', '1'"),
        "INSERT INTO keys VALUES ('fb-12345678', 'digest', 'a', '', NULL, 1, NULL, NULL, 1)",
    ]


async def test_what_the_first_version_wrote_is_filled_in(either: StorageSettings) -> None:
    either.dir.mkdir()
    url = journal_url(either.dir) if either.journal_url is None else postgres_url(either.journal_url)
    engine = connect_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, "0001")
        for row in old_rows():
            await connection.exec_driver_sql(row)
    await engine.dispose()
    database = await Database.open(either)
    new = "charge_id, run_path, root_run, end_user, tags, window_at_us, resolution, reserved_nano_usd, cost_nano_usd"
    async with database.engine.connect() as opened:
        found = {row[0]: tuple(row)[1:] for row in await opened.exec_driver_sql(f"SELECT {new} FROM charges")}
        [key] = await opened.exec_driver_sql("SELECT id, revision, run FROM keys")
    await database.close()
    rest = (42, "settled", 0, 7)
    said = ("u", '{"x": "y"}')
    assert found == {
        "plain": ("", None, *said, *rest),
        "root": ("a/1", "a/1", *said, *rest),
        "child": ("a/1>a/2", "a/1", *said, *rest),
        "alone": ("", None, None, "{}", *rest),
    }
    assert tuple(key) == ("fb-12345678", 1, None)


async def test_counts_that_a_provider_made_up_stop_no_migration(either: StorageSettings) -> None:
    """The journal keeps them as the largest number there is; two of them are more than that."""
    either.dir.mkdir()
    url = journal_url(either.dir) if either.journal_url is None else postgres_url(either.journal_url)
    engine = connect_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, "0005")
        columns = "charge_id, request_id, attempt, at_us, org, team, agent, model, deployment, provider, upstream_model"
        rest = "price_point, service_tier, cost_nano_usd, estimated, unpriced, outcome, purpose, latency_ms, run_path"
        names = f"{columns}, {', '.join(Usage._fields)}, {rest}, tags, window_at_us, resolution, reserved_nano_usd"
        usage = ", ".join([str(2**63 - 1), *["2"] * (len(Usage._fields) - 1)])
        for name in ("a", "b"):
            await connection.exec_driver_sql(
                f"INSERT INTO charges ({names}) VALUES ('{name}', '{name}', 1, 42, 'o', 't', 'a', 'm', 'd', 'p', 'm', "
                f"{usage}, 'pp', '', 7, false, false, 'ok', 'useful', 1.0, '', '{{}}', 42, 'settled', 0)"
            )
    await engine.dispose()
    database = await Database.open(either)
    async with database.engine.connect() as opened:
        rows = await opened.exec_driver_sql(
            "SELECT attempts, input_tokens, output_tokens, cost_nano_usd, listed_nano_usd FROM daily"
        )
        found = [tuple(row) for row in rows]
    await database.close()
    assert found == [(2, 2**63 - 1, 4, 14, 14)]
