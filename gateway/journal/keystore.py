"""Keys kept in the journal's database: made, listed, revoked, replaced. Only their digests are stored."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, true, update

from gateway.identity.keys import KEY_PREFIX, KeyRecord, display_id, key_digest
from gateway.journal.database import Database
from gateway.journal.engine import AsyncConnection
from gateway.journal.rows import to_s, to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import key_overlaps, keys

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters and digits that nobody mistakes for one another: 5 bits each."""
RUN_KEYS_KEPT_S: Final = 86_400.0
"""So long after it has ended the key of a run is kept, for whoever asks why it does not work any more."""
PAGE: Final = 500
"""Records that are read at a time: making 500 of rows holds the loop up for some 10 ms."""
_DROPPED_AT_A_TIME: Final = 100
_PUBLIC_CHARS = 8
_SECRET_CHARS = 32


def generate_key() -> str:
    """A new key: `fb-`, 8 characters that name it, 32 that are secret (160 bits)."""
    return KEY_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS + _SECRET_CHARS))


class KeyStore:
    """The `keys` table. Used by the gateway and, at the same time, by `farebox keys` in a process of its own.

    Every method raises JournalError when the database cannot be read or written. Changes take the write lock before
    they look, so that processes which change at once do so one after the other.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._engine = database.engine
        self._now = now

    async def create(
        self,
        agent: str,
        name: str = "",
        allowed_models: frozenset[str] | None = None,
        expires_at_s: float | None = None,
        run: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key, of the one run `run` (`agent/run`) when given. It is returned this once and kept nowhere.

        Each key of a run takes some that are long over with it, so that they do not pile up.
        """
        like = KeyRecord("", b"", agent, name, allowed_models, 0.0, expires_at_s, None, run)
        async with writing(self._engine) as connection:
            if run is not None:
                await self._drop_run_keys(connection)
            return await self._insert(connection, like)

    async def create_first(self, agent: str, name: str) -> tuple[str, KeyRecord] | None:
        """Make a key unless there has ever been one; None then."""
        async with writing(self._engine) as connection:
            if (await connection.execute(select(keys.c.id).limit(1))).first() is not None:
                return None
            return await self._insert(connection, KeyRecord("", b"", agent, name))

    async def list(self, *, runs: bool = False) -> list[KeyRecord]:
        """All keys, revoked and expired ones too, oldest first; those of runs only when asked for."""
        query = select(keys).order_by(keys.c.created_at_us, keys.c.id)
        async with reading(self._engine) as connection:
            rows = await connection.execute(query if runs else query.where(keys.c.run.is_(None)))
            return [_record(row) for row in rows]

    async def changed(self, since: int) -> tuple[Sequence[KeyRecord], int | None]:
        """PAGE keys at most that were made or changed after a revision, and the one to go on from; None at the end.

        Keys of runs that are long over are left out.
        """
        over = keys.c.run.is_not(None) & (keys.c.expires_at_us < self._dropped_before_us())
        wanted = (keys.c.revision > since) & func.coalesce(~over, true())
        query = select(keys).where(wanted).order_by(keys.c.revision).limit(PAGE)
        async with reading(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        return [_record(row) for row in rows], rows[-1].revision if len(rows) == PAGE else None

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key now. False when there is none of that id; revoking twice changes nothing."""
        async with writing(self._engine) as connection:
            found = await self._find(connection, key_id)
            if found is not None and found.revoked_at_s is None:
                await self._set(connection, key_id, revoked_at_us=to_us(self._now()))
            return found is not None

    async def rotate(
        self, key_id: str, overlap_s: float | None = None, expires_at_s: float | None = None
    ) -> tuple[str, KeyRecord] | None:
        """Replace a key by a new one of the same agent, name, models and run; the old one works for `overlap_s` more.

        The new key has the end that the old one had of its own, unless `expires_at_s` says otherwise: replacing a key
        must not quietly prolong it. One that was replaced before ends with its overlap, which was never its own end;
        without an `overlap_s` that overlap stays, and any other key ends now. None when there is no such key, or it
        does not work any more.
        """
        now_s = self._now()
        async with writing(self._engine) as connection:
            old = await self._find(connection, key_id)
            if old is None or old.revoked_at_s is not None:
                return None
            ends_s = float("inf") if old.expires_at_s is None else old.expires_at_s
            if ends_s <= now_s:
                return None
            before = (await connection.execute(select(key_overlaps).where(key_overlaps.c.key_id == key_id))).first()
            own_end_us = _columns(old)["expires_at_us"] if before is None else before.expires_at_us
            if expires_at_s is None and own_end_us is not None:
                expires_at_s = to_s(own_end_us)
            made = await self._insert(connection, old._replace(expires_at_s=expires_at_s))
            if overlap_s:
                if before is None:
                    await connection.execute(insert(key_overlaps).values(key_id=key_id, expires_at_us=own_end_us))
                await self._set(connection, key_id, expires_at_us=to_us(min(ends_s, now_s + overlap_s)))
            elif before is None or overlap_s is not None:
                await self._set(connection, key_id, revoked_at_us=to_us(now_s))
            return made

    async def revision(self) -> int:
        """A number that rises with every change of the table. One step down an index: cheap enough to poll.

        (SQLite's own `PRAGMA data_version` would not do: it changes with every commit of the journal.)
        """
        async with reading(self._engine) as connection:
            return await self._highest_revision(connection)

    def _dropped_before_us(self) -> int:
        return to_us(self._now() - RUN_KEYS_KEPT_S)

    async def _drop_run_keys(self, connection: AsyncConnection) -> None:
        """Never the one of the highest revision: the next change would get that again, and be missed by who has it."""
        ended = (
            select(keys.c.id)
            .where(
                keys.c.run.is_not(None),
                keys.c.expires_at_us < self._dropped_before_us(),
                keys.c.revision < select(func.max(keys.c.revision)).scalar_subquery(),
            )
            .order_by(keys.c.expires_at_us)
            .limit(_DROPPED_AT_A_TIME)
        )
        await connection.execute(delete(key_overlaps).where(key_overlaps.c.key_id.in_(ended.scalar_subquery())))
        await connection.execute(delete(keys).where(keys.c.id.in_(ended.scalar_subquery())))

    async def _insert(self, connection: AsyncConnection, like: KeyRecord) -> tuple[str, KeyRecord]:
        key = generate_key()
        while await self._find(connection, display_id(key)) is not None:
            key = generate_key()  # the public part names the key, and two of the same name would be one in a list
        record = like._replace(id=display_id(key), sha256=key_digest(key), created_at_s=self._now(), revoked_at_s=None)
        revision = await self._highest_revision(connection) + 1
        await connection.execute(insert(keys).values(**_columns(record), revision=revision))
        return key, record

    async def _set(self, connection: AsyncConnection, key_id: str, **values: int) -> None:
        revision = await self._highest_revision(connection) + 1
        await connection.execute(update(keys).where(keys.c.id == key_id).values(**values, revision=revision))

    async def _find(self, connection: AsyncConnection, key_id: str) -> KeyRecord | None:
        row = (await connection.execute(select(keys).where(keys.c.id == key_id))).first()
        return None if row is None else _record(row)

    async def _highest_revision(self, connection: AsyncConnection) -> int:
        highest = await connection.execute(select(func.coalesce(func.max(keys.c.revision), 0)))
        return int(highest.scalar_one())


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
        "run": record.run,
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
        row.run,
    )
