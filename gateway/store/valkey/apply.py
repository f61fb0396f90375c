"""Writes a batch of the stream's events into PostgreSQL, inside a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Dialect

from gateway.journal.rows import salvage, to_us
from gateway.journal.statements import Inserts
from gateway.ledger.operations import Amounts
from gateway.store.valkey.batch import Batch
from gateway.store.valkey.codec import Admitted, Body
from gateway.telemetry.events import Event

PENDING: Final = "pending"
ORPHANED: Final = "orphaned"
"""Charged in full because its gateway was lost; a late settlement may still correct it."""

_UPSERT = (
    "INSERT INTO reservations (id, owner, at_us, state, reserved, origin) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) "
    "ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, at_us = excluded.at_us, state = excluded.state, "
    "reserved = excluded.reserved, origin = excluded.origin"
)
_EXTEND = (
    "UPDATE reservations SET reserved = more.reserved FROM unnest($1::text[], $2::text[]) AS more (id, reserved) "
    "WHERE reservations.id = more.id"
)
_END = "DELETE FROM reservations WHERE id = ANY($1::text[])"
_ORPHAN = f"UPDATE reservations SET state = '{ORPHANED}' WHERE id = ANY($1::text[])"  # noqa: S608 -- our own word

_encode = msgspec.json.encode


class _Origin(msgspec.Struct, array_like=True):
    window_at_us: int
    body: Body


_reserved = msgspec.json.Decoder(tuple[Amounts, Amounts])
_origin = msgspec.json.Decoder(_Origin)


class BatchWriter:
    """Every statement is one, however many rows it writes. Repeating a batch changes nothing."""

    def __init__(self, dialect: Dialect) -> None:
        self._inserts = Inserts(dialect)

    def write(self, cursor: Any, batch: Batch, *, mend: bool = False) -> None:
        """Write with a DBAPI cursor. `mend` changes values that PostgreSQL refuses to the nearest that it takes."""
        events: list[Event] = [*batch.charges, *batch.entries, *batch.runs.values()]
        if events:
            self._inserts.execute(events, salvage if mend else None, cursor)
        if batch.pending:
            write_pending(cursor, batch.pending.values(), orphaned=batch.orphaned)
        if batch.extended:
            amounts = [_encode((event.strict, event.calibrated)).decode() for event in batch.extended.values()]
            cursor.execute(_EXTEND, (list(batch.extended), amounts))
        if batch.ended:
            cursor.execute(_END, (list(batch.ended),))
        if batch.orphaned:
            cursor.execute(_ORPHAN, (list(batch.orphaned),))


def write_pending(cursor: Any, admitted: Iterable[Admitted], *, orphaned: Collection[str] = ()) -> None:
    """Insert or replace the rows of reservations."""
    rows = [
        (
            event.id,
            event.owner,
            to_us(event.at_s),
            ORPHANED if event.id in orphaned else PENDING,
            _encode((event.strict, event.calibrated)).decode(),
            _encode(_Origin(to_us(event.window_at_s), event.body)).decode(),
        )
        for event in admitted
    ]
    if rows:
        cursor.execute(_UPSERT, tuple(map(list, zip(*rows, strict=True))))


def admitted_of(row: Any) -> Admitted:
    """The reservation that a row (id, owner, at_us, reserved, origin) was made from."""
    name, owner, at_us, reserved, text = row
    strict, calibrated = _reserved.decode(reserved)
    origin = _origin.decode(text)
    return Admitted(name, owner, at_us / 1e6, origin.window_at_us / 1e6, strict, calibrated, origin.body)
