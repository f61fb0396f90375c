"""Keys kept in the journal's database: made, listed, revoked, replaced. Only their digests are stored."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.identity.keys import KEY_PREFIX, KeyRecord, display_id, key_digest
from gateway.journal.database import Database
from gateway.journal.rows import to_s, to_us
from gateway.journal.tables import keys

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters and digits that nobody mistakes for one another: 5 bits each."""
_PUBLIC_CHARS = 8
_SECRET_CHARS = 32


def generate_key() -> str:
    """A new key: `fb-`, 8 characters that name it, 32 that are secret (160 bits)."""
    return KEY_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS + _SECRET_CHARS))


class KeyStore:
    """The `keys` table. Used by the gateway and, at the same time, by `farebox keys` in a process of its own."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._engine = database.engine
        self._now = now

    async def create(
        self,
        agent: str,
        name: str = "",
        allowed_models: frozenset[str] | None = None,
        expires_at_s: float | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key. The key itself is returned this once and kept nowhere."""
        async with self._writing() as connection:
            return await self._insert(connection, KeyRecord("", b"", agent, name, allowed_models, 0.0, expires_at_s))

    async def list(self) -> list[KeyRecord]:
        """All keys, revoked and expired ones too, oldest first."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(keys).order_by(keys.c.created_at_us, keys.c.id))
            return [_record(row) for row in rows]

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key now. False when there is none of that id; revoking twice changes nothing."""
        async with self._writing() as connection:
            found = await self._find(connection, key_id)
            if found is not None and found.revoked_at_s is None:
                await self._set(connection, key_id, revoked_at_us=to_us(self._now()))
            return found is not None

    async def rotate(self, key_id: str, overlap_s: float = 0.0) -> tuple[str, KeyRecord] | None:
        """Replace a key by a new one of the same agent, name and models; the old one works for `overlap_s` more.

        None when there is no such key, or it does not work any more.
        """
        now_s = self._now()
        async with self._writing() as connection:
            old = await self._find(connection, key_id)
            if old is None or old.revoked_at_s is not None or (old.expires_at_s or now_s + 1) <= now_s:
                return None
            made = await self._insert(connection, old)
            ends_s = min(old.expires_at_s or now_s + overlap_s, now_s + overlap_s)
            if overlap_s > 0:
                await self._set(connection, key_id, expires_at_us=to_us(ends_s))
            else:
                await self._set(connection, key_id, revoked_at_us=to_us(now_s))
            return made

    async def revision(self) -> int:
        """A number that rises with every change of the table."""
        async with self._engine.connect() as connection:
            return int((await connection.execute(select(func.coalesce(func.max(keys.c.revision), 0)))).scalar_one())

    def _writing(self) -> Any:
        return self._engine.execution_options(immediate=True).begin()

    async def _insert(self, connection: AsyncConnection, like: KeyRecord) -> tuple[str, KeyRecord]:
        key = generate_key()
        record = like._replace(id=display_id(key), sha256=key_digest(key), created_at_s=self._now(), revoked_at_s=None)
        await connection.execute(
            insert(keys).values(**_columns(record), revision=await self._next_revision(connection))
        )
        return key, record

    async def _set(self, connection: AsyncConnection, key_id: str, **values: int) -> None:
        revision = await self._next_revision(connection)
        await connection.execute(update(keys).where(keys.c.id == key_id).values(**values, revision=revision))

    async def _find(self, connection: AsyncConnection, key_id: str) -> KeyRecord | None:
        row = (await connection.execute(select(keys).where(keys.c.id == key_id))).first()
        return None if row is None else _record(row)

    async def _next_revision(self, connection: AsyncConnection) -> int:
        highest = await connection.execute(select(func.coalesce(func.max(keys.c.revision), 0)))
        return int(highest.scalar_one()) + 1


def _columns(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "sha256": record.sha256,
        "agent": record.agent,
        "name": record.name,
        "allowed_models": None if record.allowed_models is None else json.dumps(sorted(record.allowed_models)),
        "created_at_us": to_us(record.created_at_s),
        "expires_at_us": None if record.expires_at_s is None else to_us(record.expires_at_s),
        "revoked_at_us": None if record.revoked_at_s is None else to_us(record.revoked_at_s),
    }


def _record(row: Any) -> KeyRecord:
    return KeyRecord(
        row.id,
        bytes(row.sha256),
        row.agent,
        row.name,
        None if row.allowed_models is None else frozenset(json.loads(row.allowed_models)),
        to_s(row.created_at_us),
        None if row.expires_at_us is None else to_s(row.expires_at_us),
        None if row.revoked_at_us is None else to_s(row.revoked_at_us),
    )
