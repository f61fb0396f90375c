"""Responses that clients come back to: the `responses` table, read and changed. New rows are `keeping.py`'s."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, literal, select, update

from gateway.journal.engine import AsyncEngine
from gateway.journal.kept import RUNNING, ResponseRow, to_response
from gateway.journal.rows import to_s, to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import responses

_AT_A_TIME: Final = 100


class Link(NamedTuple):
    """One response of a chain, without what it says."""

    id: str
    previous_id: str | None
    bytes: int
    expires_at_s: float
    conversation: str | None
    conversation_items: int


class ResponseLog:
    """The `responses` table. Every method raises JournalError. What belongs to another org is not there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def get(self, org: str, name: str, now_s: float) -> ResponseRow | None:
        """A response whose time has not ended."""
        wanted = (responses.c.id == name) & (responses.c.org == org) & (responses.c.expires_at_us > to_us(now_s))
        async with reading(self.engine) as connection:
            row = (await connection.execute(select(responses).where(wanted))).first()
        return None if row is None else to_response(row)

    async def chain(self, org: str, name: str, now_s: float, most: int) -> list[Link]:
        """A response and those that it follows, latest first: at most `most`, and none before a missing one."""
        of, alive = responses.c, responses.c.expires_at_us > to_us(now_s)
        columns = (of.id, of.previous_id, of.bytes, of.expires_at_us, of.conversation, of.conversation_items)
        first = select(*columns, literal(1).label("depth")).where(of.id == name, of.org == org, alive)
        links = first.cte("links", recursive=True)
        before = select(*columns, links.c.depth + 1).join(links, of.id == links.c.previous_id)
        links = links.union_all(before.where(of.org == org, alive, links.c.depth < most))
        async with reading(self.engine) as connection:
            rows = (await connection.execute(select(links).order_by(links.c.depth))).all()
        return [Link(row[0], row[1], row[2], to_s(row[3]), row[4], row[5]) for row in rows]

    async def contents(self, names: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Input and body of responses, by id; a missing one is left out."""
        found: dict[str, tuple[bytes, bytes]] = {}
        async with reading(self.engine) as connection:
            for at in range(0, len(names), _AT_A_TIME):
                asked = select(responses.c.id, responses.c.input, responses.c.body)
                rows = await connection.execute(asked.where(responses.c.id.in_(names[at : at + _AT_A_TIME])))
                found |= {row.id: (bytes(row.input), bytes(row.body)) for row in rows}
        return found

    async def delete(self, org: str, name: str) -> bool:
        """Delete a response; False when there is none."""
        wanted = (responses.c.id == name) & (responses.c.org == org)
        async with writing(self.engine) as connection:
            return bool((await connection.execute(delete(responses).where(wanted))).rowcount)

    # --- of those that are still being made ---

    async def end(self, row: ResponseRow, status: str, body: bytes) -> bool:
        """End a running response from outside of it; False when it had ended by then."""
        values: dict[str, Any] = {"status": status, "body": body, "bytes": len(row.input) + len(body), "owner": None}
        there = (responses.c.id == row.id) & (responses.c.org == row.org) & responses.c.status.in_(RUNNING)
        async with writing(self.engine) as connection:
            return bool((await connection.execute(update(responses).where(there).values(values))).rowcount)

    async def beat(self, owner: str, begun: Iterable[str], alive_until_s: float) -> set[str]:
        """Say that a gateway lives; which of its responses are still to be made. `begun` are in progress."""
        of, mine = responses.c, (responses.c.owner == owner) & responses.c.status.in_(RUNNING)
        begun = list(begun)
        async with writing(self.engine) as connection:
            await connection.execute(update(responses).where(mine).values(alive_until_us=to_us(alive_until_s)))
            for at in range(0, len(begun), _AT_A_TIME):
                now = mine & of.id.in_(begun[at : at + _AT_A_TIME])
                await connection.execute(update(responses).where(now).values(status="in_progress"))
            return set((await connection.execute(select(of.id).where(mine))).scalars())
