from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.errors import ServiceUnavailable
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import KeyRecord, key_digest
from gateway.journal.database import Database
from gateway.journal.keystore import KeyStore
from gateway.journal.keysync import LEASE_S, READ_ALL_S, KeySync
from gateway.telemetry.events import Event, KeysReloaded
from tests.gateway.identity.test_keyring import snapshot

DECLARED = b"fb-declared-in-the-configuration"


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now_s = time.monotonic()

    def __call__(self) -> float:
        return self.now_s


class CountingStore(KeyStore):
    """Counts how often the database is asked, and can be held up in the middle."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0
        self.records = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def revision(self) -> int:
        self.reads += 1
        found = await super().revision()
        await self.go_on.wait()
        return found

    async def changed(self, since: int) -> tuple[Sequence[KeyRecord], int | None]:
        found = await super().changed(since)
        self.records += len(found[0])
        return found


class Synced:
    """A ring that is kept as the database has it, in a process of its own as it were."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.store = CountingStore(database)
        self.ring = KeyRing(snapshot(KeyRecord("config:ci", key_digest(DECLARED), "coder")))
        self.events: list[Event] = []
        self.sync = KeySync(self.store, self.ring, self.events.append, self.clock)

    async def agent(self, key: str | bytes) -> str | None:
        found = await self.sync.principal(key if isinstance(key, bytes) else key.encode())
        return None if found is None else found.agent


@pytest.fixture
async def synced(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Synced]:
    monkeypatch.setattr("gateway.journal.keysync.PAUSE_S", 0.0)
    monkeypatch.setattr("gateway.journal.keysync.POLL_S", 3600.0)  # tests say when
    made = Synced(database)
    await made.sync.start()
    yield made
    made.store.go_on.set()
    await made.sync.close()


@pytest.fixture
def elsewhere(database: Database) -> KeyStore:
    """The store as another process uses it."""
    return KeyStore(database)


def break_keys(other: sqlite3.Connection, *, broken: bool) -> None:
    other.execute("ALTER TABLE keys RENAME TO gone" if broken else "ALTER TABLE gone RENAME TO keys")


async def test_a_key_that_was_just_made_works_at_once(synced: Synced, elsewhere: KeyStore) -> None:
    key, _ = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    reads = synced.store.reads
    assert await synced.agent(key) == "crawler"
    assert synced.store.reads == reads, "a known key costs no query"


async def test_a_revocation_arrives_with_the_next_read(synced: Synced, elsewhere: KeyStore) -> None:
    key, record = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    await elsewhere.revoke(record.id)
    await synced.sync.refresh()
    assert await synced.agent(key) is None


async def test_a_revocation_arrives_by_itself(
    database: Database, elsewhere: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.keysync.PAUSE_S", 0.0)
    monkeypatch.setattr("gateway.journal.keysync.POLL_S", 0.001)
    polled = Synced(database)
    key, record = await elsewhere.create("crawler")
    await polled.sync.start()
    assert await polled.agent(key) == "crawler"
    await elsewhere.revoke(record.id)
    while polled.ring.authenticate(key.encode(), time.time()) is not None:
        await asyncio.sleep(0)
    await polled.sync.close()
    await polled.sync.close()


async def test_a_revocation_by_another_process_arrives(synced: Synced, elsewhere: KeyStore, database: Database) -> None:
    key, record = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.config.snapshot import StorageSettings\n"
        "from gateway.journal.database import Database\n"
        "from gateway.journal.keystore import KeyStore\n"
        "async def run():\n"
        "    database = await Database.open(StorageSettings(dir=pathlib.Path(sys.argv[1]).parent))\n"
        "    assert await KeyStore(database).revoke(sys.argv[2])\n"
        "    await database.close()\n"
        "asyncio.run(run())\n"
    )
    command = [sys.executable, "-c", program, str(database.engine.url.database), record.id]
    await asyncio.to_thread(subprocess.run, command, check=True)
    await synced.sync.refresh()
    assert await synced.agent(key) is None


async def test_many_unknown_keys_at_once_share_a_read(synced: Synced) -> None:
    before = synced.store.reads
    found = await asyncio.gather(*(synced.agent(f"fb-guess-{number}") for number in range(500)))
    assert set(found) == {None}
    assert synced.store.reads - before <= 2


async def test_who_asks_during_a_read_waits_for_the_next(synced: Synced, elsewhere: KeyStore) -> None:
    """The read that is under way may have begun before the key was made."""
    synced.store.go_on.clear()
    before = synced.store.reads
    early = asyncio.create_task(synced.agent("fb-guess"))
    while synced.store.reads == before:
        await asyncio.sleep(0)
    key, _ = await elsewhere.create("crawler")
    late = asyncio.create_task(synced.agent(key))
    await asyncio.sleep(0)
    synced.store.go_on.set()
    assert (await early, await late) == (None, "crawler")
    assert synced.store.reads - before == 2


async def test_who_leaves_while_waiting_harms_nobody(synced: Synced, elsewhere: KeyStore) -> None:
    synced.store.go_on.clear()
    leaving = asyncio.create_task(synced.agent("fb-guess"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    synced.store.go_on.set()
    key, _ = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"


async def test_one_failed_read_changes_nothing(
    synced: Synced, elsewhere: KeyStore, other: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    break_keys(other, broken=True)
    for _ in range(3):
        await synced.sync.refresh()
    assert await synced.agent(key) == "crawler"
    assert await synced.agent("fb-guess") is None
    break_keys(other, broken=False)
    await synced.sync.refresh()
    assert [record.getMessage() for record in caplog.records if record.name == "farebox.identity"] == [
        f"keys cannot be read; stored ones are not accepted after {LEASE_S:g} s: "
        "the journal cannot be read: no such table: keys",
        "keys can be read again",
    ]


async def test_a_database_that_stays_unreadable_ends_what_stored_keys_may_do(
    synced: Synced, elsewhere: KeyStore, other: sqlite3.Connection
) -> None:
    """Nobody knows whether such a key has been revoked: after the promised 5 s it is not accepted."""
    key, record = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    await elsewhere.revoke(record.id)
    break_keys(other, broken=True)
    synced.clock.now_s += LEASE_S - 0.001
    assert await synced.agent(key) == "crawler"
    synced.clock.now_s += 0.001
    for unsure in (key, "fb-guess"):
        with pytest.raises(ServiceUnavailable) as caught:
            await synced.agent(unsure)
        assert caught.value.status == 503
    assert await synced.agent(DECLARED) == "coder", "the configuration's own keys need no database"
    break_keys(other, broken=False)
    assert await synced.agent(key) is None


async def test_a_process_that_slept_past_its_lease_reads_before_it_answers(synced: Synced, elsewhere: KeyStore) -> None:
    key, record = await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    await elsewhere.revoke(record.id)
    synced.clock.now_s += LEASE_S
    assert await synced.agent(key) is None


async def test_a_row_that_makes_no_sense_does_not_end_the_reading(
    synced: Synced, elsewhere: KeyStore, other: sqlite3.Connection
) -> None:
    _, record = await elsewhere.create("crawler", allowed_models=frozenset({"a"}))
    other.execute("UPDATE keys SET allowed_models = 'no JSON', revision = revision + 1")
    await synced.sync.refresh()
    other.execute("UPDATE keys SET allowed_models = NULL, revision = revision + 1")
    key, _ = await elsewhere.create("coder")
    assert await synced.agent(key) == "coder"
    assert synced.ring.record(record.id) is not None


async def test_each_change_is_told_once(synced: Synced, elsewhere: KeyStore) -> None:
    await elsewhere.create("crawler")
    for _ in range(3):
        await synced.sync.refresh()
    assert synced.events == [KeysReloaded(1), KeysReloaded(2)]


async def test_only_what_has_changed_is_read(synced: Synced, elsewhere: KeyStore) -> None:
    made = [await elsewhere.create("crawler") for _ in range(20)]
    await synced.sync.refresh()
    before = synced.store.records
    key, _ = await elsewhere.create("coder")
    await elsewhere.revoke(made[3][1].id)
    assert await synced.agent(key) == "coder"
    assert synced.store.records == before + 2
    found = [await synced.agent(key) for key, _ in made]
    assert [number for number, agent in enumerate(found) if agent is None] == [3]


async def test_an_older_copy_of_the_database_is_read_as_a_whole(
    synced: Synced, elsewhere: KeyStore, other: sqlite3.Connection
) -> None:
    key, record = await elsewhere.create("crawler")
    for _ in range(3):
        later, gone = await elsewhere.create("crawler")
    assert await synced.agent(later) == "crawler"
    other.execute("DELETE FROM keys WHERE id <> ?", (record.id,))
    await synced.sync.refresh()
    assert await synced.agent(key) == "crawler"
    assert await synced.agent(later) is None
    assert synced.ring.record(gone.id) is None


async def test_now_and_then_all_keys_are_read(synced: Synced, elsewhere: KeyStore, other: sqlite3.Connection) -> None:
    key, record = await elsewhere.create("crawler")
    await elsewhere.create("crawler")
    assert await synced.agent(key) == "crawler"
    other.execute("DELETE FROM keys WHERE id = ?", (record.id,))
    synced.clock.now_s += READ_ALL_S
    assert await synced.agent(key) is None
    assert synced.ring.record(record.id) is None


async def test_who_waits_at_the_end_is_answered(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.keysync.PAUSE_S", 3600.0)
    ending = Synced(database)
    await ending.sync.start()
    waiting: asyncio.Task[Any] = asyncio.create_task(ending.agent("fb-guess"))
    await asyncio.sleep(0)
    await ending.sync.close()
    assert await waiting is None
