from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database
from gateway.journal.tables import charges, reservations, stores
from gateway.ledger.operations import Amounts
from gateway.store.valkey.apply import admitted_of
from gateway.store.valkey.client import Client
from gateway.store.valkey.codec import body_of
from gateway.store.valkey.drain import BATCH, Drain
from gateway.store.valkey.locks import holding
from gateway.store.valkey.position import Position, Superseded, standing
from gateway.telemetry.events import ChargePosted, OrphanReturned
from tests.gateway.store.valkey import samples
from tests.gateway.store.valkey.samples import append, until

INSTALLATION = "test"


@pytest.fixture
async def database(tmp_path: Any, postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(StorageSettings(dir=tmp_path, journal_url=postgres_url))
    async with opened.engine.begin() as connection:
        await connection.execute(
            insert(stores).values(
                installation=INSTALLATION, epoch=1, ready=True, server="s", drained_epoch=0, drained_seq=0
            )
        )
    yield opened
    await opened.close()


@pytest.fixture
async def commands(valkey_url: str) -> AsyncIterator[Client]:
    async with samples.connected(valkey_url) as client:
        yield client


async def write(commands: Client, *events: dict[str, Any], epoch: int = 1, first: int = 1) -> None:
    for number, event in enumerate(events, first):
        await append(commands, INSTALLATION, f"{epoch}-{number}", event)


async def rows(database: Database, query: Any) -> list[Any]:
    async with database.engine.connect() as connection:
        return list(await connection.execute(query))


async def drain_all(drain: Drain, database: Database) -> int:
    total = 0
    async with database.engine.connect() as connection:
        while count := await drain.step(connection):
            total += count
    return total


async def costs(database: Database) -> dict[str, int]:
    found = await rows(database, select(charges.c.charge_id, charges.c.cost_nano_usd))
    return {row.charge_id: row.cost_nano_usd for row in found}


async def test_events_become_rows(database: Database, commands: Client) -> None:
    await write(
        commands,
        samples.admit("a"),
        samples.admit("b"),
        samples.settle("a", 70),
        samples.extend("b", Amounts(100, 10), Amounts(90, 9)),
        samples.orphan("c", 100),
        samples.correct("c", 30),
    )
    drain = Drain(commands, database.engine, INSTALLATION)
    told: list[ChargePosted | OrphanReturned] = []
    drain.on_orphans = told.extend
    assert await drain_all(drain, database) == 6
    orphan, returned = told
    assert isinstance(orphan, ChargePosted)
    assert (orphan.charge_id, orphan.cost_nano_usd) == ("c.1", 100)
    assert isinstance(returned, OrphanReturned)
    assert (returned.agent, returned.cost_nano_usd) == ("researcher", 100)
    assert await costs(database) == {"a.1": 70, "c.1": 100, "c.1.c": -70}
    found = await rows(
        database,
        select(
            reservations.c.id,
            reservations.c.owner,
            reservations.c.at_us,
            reservations.c.reserved,
            reservations.c.origin,
        ),
    )
    (pending,) = map(admitted_of, found)
    assert (pending.id, pending.owner, pending.at_s) == ("b.1", "g1", 1.0)
    assert (pending.strict, pending.calibrated) == (Amounts(100, 10), Amounts(90, 9))
    assert pending.body == samples.body("b")
    async with database.engine.connect() as connection:
        assert (await standing(connection, INSTALLATION)).drained == Position(1, 6)
    assert await commands.command("XLEN", f"{{{INSTALLATION}}}:events") == 0


async def test_the_charge_of_a_killed_gateway_says_whose_it_is_without_its_requests_row(
    database: Database, commands: Client
) -> None:
    whose = samples.body("a")._replace(origin=samples.origin("a", "researcher/root>researcher/sub"))
    await write(commands, {**samples.orphan("a"), "b": body_of(whose)})
    await drain_all(Drain(commands, database.engine, INSTALLATION), database)
    whose_it_is = ("request_id", "org", "team", "agent", "run_path", "root_run", "end_user", "tags")
    what_it_is = ("model", "deployment", "provider", "resolution")
    (found,) = await rows(database, select(*(charges.c[name] for name in (*whose_it_is, *what_it_is))))
    assert tuple(found) == (
        "a",
        "acme",
        "research",
        "researcher",
        "researcher/root>researcher/sub",
        "researcher/root",
        "ann",
        '{"feature":"search"}',
        "m",
        "d",
        "p",
        "orphaned",
    )


async def test_what_was_committed_but_not_trimmed_is_not_written_twice(database: Database, commands: Client) -> None:
    await write(commands, samples.admit("a"), samples.extend("a", Amounts(100, 10), Amounts(60, 6)))
    await drain_all(Drain(commands, database.engine, INSTALLATION), database)
    await append(commands, INSTALLATION, "1-3", samples.settle("a"))
    first, second = (Drain(commands, database.engine, INSTALLATION) for _ in range(2))
    async with database.engine.connect() as one, database.engine.connect() as two, one.begin():
        await first.step(two)  # both have read the same entries; only one may write them
    second._position = Position(1, 2)
    await append(commands, INSTALLATION, "1-4", samples.admit("b"))
    async with database.engine.connect() as connection:
        with pytest.raises(Superseded):
            await second.step(connection)
    assert await drain_all(second, database) == 1
    assert await costs(database) == {"a.1": 70}
    assert [row.id for row in await rows(database, select(reservations.c.id))] == ["b.1"]


async def test_more_than_a_batch(database: Database, commands: Client) -> None:
    count = BATCH + 7
    for number in range(count):
        await append(commands, INSTALLATION, f"1-{number + 1}", samples.settle(f"r{number}", number))
    assert await drain_all(Drain(commands, database.engine, INSTALLATION), database) == count
    assert sum((await costs(database)).values()) == sum(range(count))


async def test_a_value_that_postgres_refuses_holds_up_nothing(database: Database, commands: Client) -> None:
    bad = samples.charge("bad")._replace(user="a\0b")
    event = samples.settle("bad") | {"b": samples.charge_body(bad)}
    await write(commands, samples.settle("a"), event, {"k": "nonsense"}, samples.settle("c"))
    await drain_all(Drain(commands, database.engine, INSTALLATION), database)
    assert await costs(database) == {"a.1": 70, "bad.1": 70, "c.1": 70}


async def test_one_drains_and_another_takes_over(database: Database, commands: Client) -> None:
    drains = [Drain(commands, database.engine, INSTALLATION, 0.01) for _ in range(2)]
    reached: list[Position] = []
    for drain in drains:
        drain.on_drained = reached.append
        drain.start()
    await until(lambda: any(drain.active for drain in drains))
    assert sum(drain.active for drain in drains) == 1
    await write(commands, samples.settle("a"))
    await until(lambda: reached == [Position(1, 1)])
    active = next(drain for drain in drains if drain.active)
    await active.close()
    await write(commands, samples.settle("b"), first=2)
    await until(lambda: reached == [Position(1, 1), Position(1, 2)])
    assert await costs(database) == {"a.1": 70, "b.1": 70}
    await asyncio.gather(*(drain.close() for drain in drains))


async def test_it_stands_in_for_one_that_holds_the_lock_and_does_nothing(database: Database, commands: Client) -> None:
    """Stopped, or swapped out: its connection lives on."""
    async with holding(database.engine, f"drain {INSTALLATION}") as connection:
        assert connection is not None
        drain = Drain(commands, database.engine, INSTALLATION)
        drain.start()
        await write(commands, samples.admit("a"), samples.settle("a", 70))
        async with asyncio.timeout(samples.DEADLINE_S):
            while not await costs(database):
                await asyncio.sleep(0.01)
        assert not drain.active
        await drain.close()


async def test_the_database_goes_away_and_comes_back(database: Database, commands: Client) -> None:
    drain = Drain(commands, database.engine, INSTALLATION, 0.01)
    drain.start()
    await until(lambda: drain.active)
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
        )
    await write(commands, samples.settle("a"))
    async with asyncio.timeout(samples.DEADLINE_S):
        while await costs(database) != {"a.1": 70}:
            await asyncio.sleep(0.01)
    await drain.close()
