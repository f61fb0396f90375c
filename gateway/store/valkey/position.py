"""Where the stream has been read to, and the row of `stores` that says so.

Everything that moves an installation from one state to the next is an UPDATE that names the state it starts from. Who
finds another one changes nothing (`Superseded`), however late it wakes up: no lock has to be trusted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import select

from gateway.journal.engine import AsyncConnection
from gateway.journal.tables import stores


class Superseded(Exception):
    """Somebody else has moved the installation on meanwhile. Nothing was written."""


class Position(NamedTuple):
    """An entry of the stream. Sorts as the stream does."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @property
    def next(self) -> Position:
        """The id that the entry after it has, if the epoch goes on."""
        return Position(self.epoch, self.seq + 1)


def position_of(entry_id: bytes) -> Position:
    """The position of an entry's id."""
    epoch, _, seq = entry_id.partition(b"-")
    return Position(int(epoch), int(seq))


class Standing(NamedTuple):
    """A row of `stores`."""

    epoch: int
    ready: bool
    """False while the epoch is being prepared."""
    server: str
    """Run id of the Valkey server that the epoch lives in."""
    drained: Position
    """Everything up to this entry, the earlier epochs included, is in the journal."""


NOWHERE = Standing(0, False, "", Position(0, 0))
"""Of an installation that has never had a store."""

SELECT = select(stores.c.epoch, stores.c.ready, stores.c.server, stores.c.drained_epoch, stores.c.drained_seq)


async def standing(connection: AsyncConnection, installation: str) -> Standing:
    """How an installation stands, as `connection`'s transaction sees it."""
    row = (await connection.execute(SELECT.where(stores.c.installation == installation))).one_or_none()
    return NOWHERE if row is None else Standing(row[0], row[1], row[2], Position(row[3], row[4]))


_ADVANCE = (
    "UPDATE stores SET drained_epoch = $1, drained_seq = $2 "
    "WHERE installation = $3 AND drained_epoch = $4 AND drained_seq = $5"
)


def advance(cursor: Any, installation: str, start: Position, end: Position) -> None:
    """Move the drained position, in the transaction open on a DBAPI cursor. Raises Superseded."""
    cursor.execute(_ADVANCE, (*end, installation, *start))
    if cursor.rowcount != 1:
        raise Superseded(f"the stream was read past {start} already")
