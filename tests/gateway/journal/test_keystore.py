from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.identity.keys import key_digest
from gateway.journal.database import Database, JournalError
from gateway.journal.keystore import KeyStore, generate_key

NOW_S = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(either: StorageSettings, clock: Clock) -> AsyncIterator[KeyStore]:
    """On SQLite, then on PostgreSQL."""
    database = await Database.open(either)
    yield KeyStore(database, clock)
    await database.close()


@pytest.fixture
def on_sqlite(database: Database, clock: Clock) -> KeyStore:
    return KeyStore(database, clock)


def test_keys_are_long_random_and_easy_to_read_out() -> None:
    made = {generate_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("fb-[a-km-np-z2-9]{40}", key) for key in made)


async def test_what_is_stored_is_a_digest_and_never_the_key(on_sqlite: KeyStore, storage: StorageSettings) -> None:
    key, record = await on_sqlite.create("crawler", "laptop", frozenset({"b", "a*"}), NOW_S + 60)
    assert record.sha256 == key_digest(key)
    assert key.startswith(record.id)
    assert await on_sqlite.list() == [record]
    on_disk = b"".join(file.read_bytes() for file in Path(storage.dir).iterdir())
    assert record.id.encode() in on_disk
    assert key.encode() not in on_disk
    assert key[11:].encode() not in on_disk


async def test_two_keys_never_share_their_public_part(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["fb-aaaaaaaa" + "x" * 32, "fb-aaaaaaaa" + "y" * 32, "fb-bbbbbbbb" + "z" * 32])
    monkeypatch.setattr("gateway.journal.keystore.generate_key", lambda: next(drawn))
    await store.create("crawler")
    key, record = await store.create("crawler")
    assert (key[-1], record.id) == ("z", "fb-bbbbbbbb")


async def test_revoking_is_for_good_and_once(store: KeyStore, clock: Clock) -> None:
    _, record = await store.create("crawler")
    assert await store.revoke(record.id)
    revision = await store.revision()
    clock.now_s += 10
    assert await store.revoke(record.id), "it is there"
    [revoked] = await store.list()
    assert revoked.revoked_at_s == NOW_S
    assert await store.revision() == revision
    assert not await store.revoke("fb-nobody00")


async def test_every_change_raises_the_revision(store: KeyStore) -> None:
    seen = [await store.revision()]
    _, record = await store.create("crawler")
    seen.append(await store.revision())
    rotated = await store.rotate(record.id, overlap_s=60)
    assert rotated is not None
    seen.append(await store.revision())
    await store.revoke(rotated[1].id)
    seen.append(await store.revision())
    assert seen == sorted(set(seen))
    assert seen[0] == 0


async def test_rotating_replaces_a_key_by_one_that_may_do_the_same(store: KeyStore) -> None:
    old_key, old = await store.create("crawler", "laptop", frozenset({"a"}), NOW_S + 86_400)
    made = await store.rotate(old.id)
    assert made is not None
    key, new = made
    assert key != old_key
    assert new[2:] == old[2:], "agent, name, models and end"
    assert [record.revoked_at_s for record in await store.list() if record.id == old.id] == [NOW_S]


@pytest.mark.parametrize(("ends_after_s", "overlap_ends_after_s"), [(None, 60), (86_400, 60), (30, 30)])
async def test_an_overlap_shortens_the_old_key_and_never_prolongs_it(
    store: KeyStore, ends_after_s: float | None, overlap_ends_after_s: float
) -> None:
    _, old = await store.create("crawler", expires_at_s=None if ends_after_s is None else NOW_S + ends_after_s)
    await store.rotate(old.id, overlap_s=60)
    [kept] = [record for record in await store.list() if record.id == old.id]
    assert (kept.expires_at_s, kept.revoked_at_s) == (NOW_S + overlap_ends_after_s, None)


@pytest.mark.parametrize("own_end_s", [None, NOW_S + 86_400])
async def test_the_end_of_an_overlap_is_not_the_next_keys(
    store: KeyStore, clock: Clock, own_end_s: float | None
) -> None:
    _, old = await store.create("crawler", expires_at_s=own_end_s)
    await store.rotate(old.id, overlap_s=60)
    clock.now_s += 30
    made = [await store.rotate(old.id), await store.rotate(old.id, overlap_s=10), await store.rotate(old.id, 999)]
    assert [None if each is None else each[1].expires_at_s for each in made] == [own_end_s] * 3
    [kept] = [record for record in await store.list() if record.id == old.id]
    assert (kept.expires_at_s, kept.revoked_at_s) == (NOW_S + 40, None), "the overlap stays, or gets shorter"
    assert await store.rotate(old.id, overlap_s=0) is not None
    assert await store.rotate(old.id) is None, "it does not work any more"


async def test_a_key_of_one_run_stays_one_when_it_is_replaced(store: KeyStore) -> None:
    _, old = await store.create("crawler", run="crawler/42", expires_at_s=NOW_S + 60)
    made = await store.rotate(old.id)
    assert made is not None
    found = [(record.run, record.expires_at_s) for record in await store.list(runs=True)]
    assert found == [("crawler/42", NOW_S + 60)] * 2
    assert await store.list() == []
    _, free = await store.create("crawler")
    assert free.run is None


async def ids(store: KeyStore) -> set[str]:
    return {record.id for record in await store.list(runs=True)}


async def test_keys_of_runs_that_are_long_over_go(
    store: KeyStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.keystore._DROPPED_AT_A_TIME", 2)
    _, own = await store.create("crawler", expires_at_s=NOW_S + 60)
    over = [(await store.create("crawler", run=f"crawler/{n}", expires_at_s=NOW_S + n))[1].id for n in (1, 2, 3, 4)]
    _, later = await store.create("crawler", run="crawler/long", expires_at_s=NOW_S + 86_400)
    clock.now_s += 86_400 + 3
    assert await ids(store) == {own.id, *over, later.id}
    _, first = await store.create("crawler", run="crawler/now", expires_at_s=NOW_S + 2 * 86_400)
    assert await ids(store) == {own.id, *over[2:], later.id, first.id}, "what ended within a day stays"
    clock.now_s += 86_400
    await store.create("crawler")
    assert over[2] in await ids(store), "only the keys of runs make room"
    _, second = await store.create("crawler", run="crawler/then", expires_at_s=NOW_S + 9 * 86_400)
    assert await ids(store) >= {own.id, later.id, first.id, second.id}
    assert not await ids(store) & set(over)


async def test_the_highest_revision_never_comes_again(store: KeyStore, clock: Clock) -> None:
    """Whoever has seen it would miss the change."""
    await store.create("crawler", run="crawler/1", expires_at_s=NOW_S + 1)
    seen = await store.revision()
    clock.now_s += 3 * 86_400
    await store.create("crawler", run="crawler/2", expires_at_s=NOW_S + 1)
    assert await store.revision() > seen


async def test_what_has_changed_is_read_page_by_page(
    store: KeyStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.keystore.PAGE", 2)
    made = [(await store.create("crawler", run=run, expires_at_s=NOW_S + 60))[1] for run in (None, "a/1", None, None)]
    free = (await store.create("crawler"))[1]
    seen = await store.revision()
    first, following = await store.changed(0)
    assert (list(first), following) == (made[:2], 2)
    await store.revoke(made[0].id)
    assert [record.id for record in (await store.changed(seen))[0]] == [made[0].id]
    assert await store.changed(seen + 1) == ([], None)
    clock.now_s += 2 * 86_400
    found = []
    since: int | None = -1
    while since is not None:
        part, since = await store.changed(since)
        found += [record.id for record in part]
    assert found == [made[2].id, made[3].id, free.id, made[0].id], "the run's is long over"


async def test_a_rotated_keys_end_can_be_given(store: KeyStore) -> None:
    _, old = await store.create("crawler", expires_at_s=NOW_S + 60)
    made = await store.rotate(old.id, expires_at_s=NOW_S + 3600)
    assert made is not None
    assert made[1].expires_at_s == NOW_S + 3600


async def test_what_does_not_work_any_more_is_not_rotated(store: KeyStore, clock: Clock) -> None:
    _, expiring = await store.create("crawler", expires_at_s=NOW_S + 1)
    _, revoked = await store.create("crawler")
    await store.revoke(revoked.id)
    clock.now_s += 1
    assert [await store.rotate(key_id) for key_id in (expiring.id, revoked.id, "fb-nobody00")] == [None] * 3
    assert len(await store.list()) == 2


async def test_processes_that_change_keys_at_once_do_so_one_after_the_other(
    database: Database, storage: StorageSettings
) -> None:
    another = await Database.open(storage)
    stores = [KeyStore(database), KeyStore(another)]
    await asyncio.gather(*(store.create("crawler") for store in stores for _ in range(5)))
    assert len(await stores[0].list()) == 10
    assert await stores[1].revision() == 10
    firsts = await asyncio.gather(*(store.create_first("crawler", "") for store in stores))
    assert firsts == [None, None]
    await another.close()


async def test_trouble_is_told_in_words(on_sqlite: KeyStore, database: Database, other: sqlite3.Connection) -> None:
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=1")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"^the journal cannot be written: database is locked$"):
        await on_sqlite.create("crawler")
    assert await on_sqlite.list() == [], "reading waits for nobody"
    other.execute("ALTER TABLE keys RENAME TO gone")
    other.execute("COMMIT")
    with pytest.raises(JournalError, match=r"^the journal cannot be read: no such table: keys$"):
        await on_sqlite.list()
