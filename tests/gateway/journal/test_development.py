from __future__ import annotations

import asyncio

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.identity.keys import KeyRecord, key_digest
from gateway.journal.database import Database
from gateway.journal.development import ensure_development_key
from gateway.journal.keystore import KeyStore
from tests.gateway.identity.test_keyring import snapshot


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


async def test_it_is_made_once_ever(store: KeyStore) -> None:
    key = await ensure_development_key(store, snapshot())
    [record] = await store.list()
    assert key is not None
    assert record.sha256 == key_digest(key)
    assert (record.agent, record.name) == ("crawler", "development"), "the first agent's"
    assert await ensure_development_key(store, snapshot()) is None
    await store.revoke(record.id)
    assert await ensure_development_key(store, snapshot()) is None, "whoever revoked it did not ask for another"


async def test_it_is_the_agent_devs_if_there_is_one(store: KeyStore) -> None:
    await ensure_development_key(store, snapshot(agents=("crawler", "dev")))
    assert [record.agent for record in await store.list()] == ["dev"]


async def test_nobody_who_has_keys_or_no_agents_gets_one(store: KeyStore) -> None:
    declared = KeyRecord("config:ci", key_digest("fb-x"), "coder")
    assert await ensure_development_key(store, snapshot(declared)) is None
    assert await ensure_development_key(store, snapshot(agents=())) is None
    assert await store.list() == []


async def test_two_first_starts_at_once_make_one(store: KeyStore, storage: StorageSettings) -> None:
    another = await Database.open(storage)
    made = await asyncio.gather(
        *(ensure_development_key(each, snapshot()) for each in (store, KeyStore(another), store))
    )
    assert sum(key is not None for key in made) == 1
    assert len(await store.list()) == 1
    await another.close()
