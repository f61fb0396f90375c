"""Conversations that clients go on with: the tables `conversations` and `conversation_items`.

Items that responses add come through `keeping.py`; both go by the row of the conversation, which says how many there
are, so that two that come at once stand one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.kept import Append, Statements
from gateway.journal.plain_sql import look, positional, run
from gateway.journal.rows import to_s, to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import conversation_items, conversations

_NAMES: Final = [column.name for column in conversations.columns]
_TIMES: Final = ("created_at", "expires_at")
_GET: Final = f"SELECT {', '.join(_NAMES)} FROM conversations WHERE id = :id AND org = :org AND expires_at_us > :now"  # noqa: S608 -- own names
_ITEMS: Final = (
    "SELECT position, item FROM conversation_items WHERE conversation = :conversation AND position < :before "
    "ORDER BY position"
)


class ConversationRow(NamedTuple):
    """A conversation, without its items."""

    id: str
    org: str
    team: str
    agent: str
    key_id: str
    user: str | None
    created_at_s: float
    expires_at_s: float
    bytes: int
    items: int
    """How many it has had: the position of the next."""
    tokens: int
    """What all of it counts as input."""
    metadata: str
    """A JSON object."""


class Page(NamedTuple):
    """A part of a list."""

    items: list[bytes]
    more: bool


class ConversationLog:
    """The two tables. Every method raises JournalError. What belongs to another org is not there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._statements = Statements(engine.dialect)
        self._get = positional(_GET, engine.dialect.paramstyle)
        self._items = positional(_ITEMS, engine.dialect.paramstyle)

    async def create(self, row: ConversationRow) -> None:
        """Make a conversation; its items come by `append`."""
        async with writing(self.engine) as connection:
            await connection.execute(insert(conversations).values(_columns(row)))

    async def get(self, org: str, name: str, now_s: float) -> ConversationRow | None:
        """A conversation whose time has not ended."""
        values = {"id": name, "org": org, "now": to_us(now_s)}
        row = await look(self.engine, lambda cursor: run(cursor, self._get, values).fetchone())
        return None if row is None else _to_conversation(row)

    async def set_metadata(self, org: str, name: str, metadata: str, now_s: float) -> ConversationRow | None:
        """Replace what its client says of it."""
        there = (conversations.c.id == name) & (conversations.c.org == org)
        async with writing(self.engine) as connection:
            await connection.execute(update(conversations).where(there).values(metadata=metadata))
        return await self.get(org, name, now_s)

    async def delete(self, org: str, name: str) -> bool:
        """Delete a conversation with its items; False when there is none."""
        there = (conversations.c.id == name) & (conversations.c.org == org)
        async with writing(self.engine) as connection:
            if not (await connection.execute(delete(conversations).where(there))).rowcount:
                return False
            await connection.execute(delete(conversation_items).where(conversation_items.c.conversation == name))
            return True

    async def append(self, append: Append) -> bool:
        """Put items at the end; False when there is no such conversation."""
        async with writing(self.engine) as connection:
            return await _append(connection, self._statements, append)

    async def all_items(self, name: str, before: int) -> list[tuple[int, bytes]]:
        """Items by position, oldest first, those from position `before` on left out."""
        values = {"conversation": name, "before": before}
        rows = await look(self.engine, lambda cursor: run(cursor, self._items, values).fetchall())
        return [(position, bytes(item)) for position, item in rows]

    async def page(self, name: str, *, limit: int, ascending: bool, after: str | None) -> Page | None:
        """A part of the items; None when `after` is none of them."""
        of = conversation_items.c
        async with reading(self.engine) as connection:
            wanted = select(of.item).where(of.conversation == name)
            if after is not None:
                at = (
                    await connection.execute(select(of.position).where(of.conversation == name, of.id == after))
                ).scalar()
                if at is None:
                    return None
                wanted = wanted.where(of.position > at if ascending else of.position < at)
            ordered = wanted.order_by(of.position if ascending else of.position.desc()).limit(limit + 1)
            items = [bytes(item) for item in (await connection.execute(ordered)).scalars()]
        return Page(items[:limit], len(items) > limit)

    async def item(self, name: str, item_id: str) -> bytes | None:
        """One item."""
        of = conversation_items.c
        async with reading(self.engine) as connection:
            wanted = select(of.item).where(of.conversation == name, of.id == item_id)
            found = (await connection.execute(wanted)).scalar()
        return None if found is None else bytes(found)

    async def delete_item(self, org: str, name: str, item_id: str) -> bool:
        """Delete one item; False when there is none."""
        of = conversation_items.c
        there = (of.conversation == name) & (of.id == item_id)
        async with writing(self.engine) as connection:
            size = (await connection.execute(select(func.length(of.item)).where(there))).scalar()
            if size is None:
                return False
            await connection.execute(delete(conversation_items).where(there))
            its = (conversations.c.id == name) & (conversations.c.org == org)
            await connection.execute(update(conversations).where(its).values(bytes=conversations.c.bytes - size))
            return True


async def _append(connection: AsyncConnection, statements: Statements, append: Append) -> bool:
    def work(sync_connection: Any) -> bool:
        cursor = sync_connection.connection.cursor()
        try:
            return statements.append(append, cursor)
        finally:
            cursor.close()

    return bool(await connection.run_sync(work))


def _to_conversation(values: Sequence[Any]) -> ConversationRow:
    found = dict(zip(_NAMES, values, strict=True))
    found["user"] = found.pop("end_user")
    for name in _TIMES:
        found[f"{name}_s"] = to_s(found.pop(f"{name}_us"))
    return ConversationRow(**found)


def _columns(row: ConversationRow) -> dict[str, Any]:
    values: dict[str, Any] = row._asdict()
    values["end_user"] = values.pop("user")
    for name in _TIMES:
        values[f"{name}_us"] = to_us(values.pop(f"{name}_s"))
    return values
