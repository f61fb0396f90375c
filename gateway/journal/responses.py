"""Responses that clients come back to: the `responses` table, read and changed. New rows are `keeping.py`'s."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, select, update

from gateway.journal.engine import AsyncEngine
from gateway.journal.kept import NAMES, RUNNING, ResponseRow, to_response
from gateway.journal.plain_sql import look, positional, run
from gateway.journal.rows import to_s, to_us
from gateway.journal.sessions import writing
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


class Chain(NamedTuple):
    """Responses that follow one another."""

    latest: ResponseRow | None
    links: list[Link]
    """Those before it, latest first."""
    contents: dict[str, tuple[bytes, bytes]]
    """Input and body of those, by id."""


_LINK: Final = ("id", "previous_id", "bytes", "expires_at_us", "conversation", "conversation_items")
_LINKS: Final = (
    f"WITH RECURSIVE links ({', '.join(_LINK)}, depth) AS ("  # noqa: S608 -- own names
    f"SELECT {', '.join(_LINK)}, 1 FROM responses WHERE id = :id AND org = :org AND expires_at_us > :now "
    f"UNION ALL SELECT {', '.join(f'r.{name}' for name in _LINK)}, links.depth + 1 "
    "FROM responses r JOIN links ON r.id = links.previous_id "
    "WHERE r.org = :org AND r.expires_at_us > :now AND links.depth < :most) "
)
_GET: Final = f"SELECT {', '.join(NAMES)} FROM responses WHERE id = :id AND org = :org AND expires_at_us > :now"  # noqa: S608 -- own names


class ResponseLog:
    """The `responses` table. Every method raises JournalError. What belongs to another org is not there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        style = engine.dialect.paramstyle
        self._get = positional(_GET, style)
        self._links = positional(_LINKS + "SELECT * FROM links ORDER BY depth", style)  # noqa: S608 -- own names
        contents = "SELECT r.id, r.input, r.body FROM links JOIN responses r ON r.id = links.id"
        self._contents = positional(_LINKS + contents, style)

    async def get(self, org: str, name: str, now_s: float) -> ResponseRow | None:
        """A response whose time has not ended."""
        values = {"id": name, "org": org, "now": to_us(now_s)}
        row = await look(self.engine, lambda cursor: run(cursor, self._get, values).fetchone())
        return None if row is None else to_response(row)

    async def chain(self, org: str, name: str, now_s: float, most: tuple[int, int]) -> Chain:
        """A response and those that it follows, none before a missing one.

        `most`: when they are more than so many, or together so many bytes, they come without what they say.
        """
        most_links, most_bytes = most
        values = {"id": name, "org": org, "now": to_us(now_s), "most": most_links}

        def work(cursor: Any) -> Chain:
            row = run(cursor, self._get, values).fetchone()
            latest = None if row is None else to_response(row)
            if latest is None or latest.previous_id is None:
                return Chain(latest, [], {})
            before = {**values, "id": latest.previous_id}
            rows = run(cursor, self._links, before).fetchall()
            links = [Link(row[0], row[1], row[2], to_s(row[3]), row[4], row[5]) for row in rows]
            if len(links) >= most_links or latest.bytes + sum(link.bytes for link in links) > most_bytes:
                return Chain(latest, links, {})
            said = run(cursor, self._contents, before).fetchall()
            return Chain(latest, links, {row[0]: (bytes(row[1]), bytes(row[2])) for row in said})

        return await look(self.engine, work)

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
