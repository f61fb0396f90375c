"""The gateways that share a store, as PostgreSQL knows them: who lives, and what each holds.

Heartbeats are told by PostgreSQL's clock. A gateway that has not been heard of for `dead_after_s` is given up in a
rebuild: what it had reserved is charged in full. If it comes back it finds that, and makes it right by corrections.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import text

from gateway.journal.database import in_one_transaction
from gateway.journal.engine import AsyncEngine
from gateway.journal.statements import Inserts
from gateway.store.orphans import orphan_charge
from gateway.store.valkey.apply import ORPHANED, PENDING, admitted_of, write_pending
from gateway.store.valkey.codec import Admitted, allowance_entry
from gateway.store.valkey.position import NOWHERE, Standing, Superseded, standing
from gateway.telemetry.events import Adjusted, ChargePosted, Event, RunChanged

ORPHANS_KEPT_S: Final = 7 * 86_400
"""So long a late settlement finds what was charged in its place."""

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_BEAT = text(
    f"INSERT INTO gateways (owner, started_at_us, heartbeat_at_us, epoch) VALUES (:owner, {_NOW}, {_NOW}, 0) "  # noqa: S608
    "ON CONFLICT (owner) DO UPDATE SET heartbeat_at_us = excluded.heartbeat_at_us"
)
_LOCK = "SELECT epoch, ready, server FROM stores WHERE installation = $1 "
_DECLARED = "UPDATE gateways SET epoch = $1 WHERE owner = $2"
_ALL = f"SELECT owner, epoch, {_NOW} - heartbeat_at_us FROM gateways"  # noqa: S608 -- our own words
_ENDED = "SELECT id FROM reservations WHERE id = ANY($1::text[]) AND state = $2"
_FORGET = f"DELETE FROM reservations WHERE owner = $1 AND state = '{PENDING}' AND NOT id = ANY($2::text[])"  # noqa: S608
_END = f"DELETE FROM reservations WHERE id = ANY($1::text[]) AND state = '{PENDING}'"  # noqa: S608
_LOST = (
    "SELECT id, owner, at_us, reserved, origin FROM reservations "  # noqa: S608
    f"WHERE state = '{PENDING}' AND owner <> '' AND NOT owner = ANY($1::text[]) FOR UPDATE"
)
_CARVES = "SELECT id, owner, at_us, reserved, origin FROM reservations WHERE id = ANY($1::text[])"
_ORPHAN = f"UPDATE reservations SET state = '{ORPHANED}' WHERE id = ANY($1::text[])"  # noqa: S608
_FORGET_ORPHANS = f"DELETE FROM reservations WHERE state = '{ORPHANED}' AND at_us < {_NOW} - $1::bigint"  # noqa: S608
_KNOWN = "SELECT id FROM reservations WHERE id = ANY($1::text[]) UNION SELECT charge_id FROM charges WHERE charge_id = ANY($1::text[])"  # noqa: E501


class Declaration(NamedTuple):
    """What one gateway knows of its own, and Valkey may have lost."""

    pending: Sequence[Admitted]
    charges: Sequence[ChargePosted]
    """Of attempts that have ended; the journal may have them already."""
    released: Sequence[str]
    """Reservations that ended without an entry."""
    runs: Sequence[RunChanged]
    carves: Sequence[Admitted]


class Gateways:
    """This process among the gateways of an installation. Everything raises what the database's driver raises."""

    def __init__(self, engine: AsyncEngine, installation: str, owner: str, dead_after_s: float = 10.0) -> None:
        self._engine = engine
        self._installation = installation
        self._owner = owner
        self._dead_after_s = dead_after_s
        self._inserts = Inserts(engine.dialect)
        self._heard_since_s: float | None = None

    async def beat(self) -> Standing:
        """Say that this gateway lives; how the installation stands."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(_BEAT, {"owner": self._owner})
                found = await standing(connection, self._installation)
        except BaseException:
            self._heard_since_s = None
            raise
        if self._heard_since_s is None:
            self._heard_since_s = time.monotonic()
        return found

    async def leave(self) -> None:
        """This gateway has ended in an orderly way and holds nothing."""
        async with self._engine.begin() as connection:
            await connection.execute(text("DELETE FROM gateways WHERE owner = :owner"), {"owner": self._owner})

    async def propose(self, seen: Standing, target: int) -> bool:
        """Have everybody prepare epoch `target`. False when the installation does not stand as it was seen any more."""
        values = {"name": self._installation, "target": target, "epoch": seen.epoch, "ready": seen.ready}
        if seen == NOWHERE:
            sql = (
                "INSERT INTO stores (installation, epoch, ready, server, drained_epoch, drained_seq) "
                "VALUES (:name, :target, false, '', 0, 0) ON CONFLICT DO NOTHING"
            )
        else:
            sql = (
                "UPDATE stores SET epoch = :target, ready = false, server = '' "
                "WHERE installation = :name AND epoch = :epoch AND ready = :ready"
            )
        async with self._engine.begin() as connection:
            result = await connection.execute(text(sql), values)
        return result.rowcount == 1

    async def finish(self, epoch: int, server: str) -> None:
        """The epoch is complete in the Valkey server of this run id: everybody may go on. Raises Superseded."""
        sql = "UPDATE stores SET ready = true, server = :server WHERE installation = :name AND epoch = :epoch"
        async with self._engine.begin() as connection:
            values = {"server": server, "name": self._installation, "epoch": epoch}
            result = await connection.execute(text(f"{sql} AND NOT ready"), values)
            if result.rowcount != 1:
                raise Superseded(f"epoch {epoch} is not prepared any more")

    async def unknown(self, reservations: Sequence[str]) -> set[str]:
        """Which of these reservations the journal has never heard of."""
        async with self._engine.connect() as connection:
            found = await in_one_transaction(connection, partial(_ask, _KNOWN, (list(reservations),)))
        return set(reservations) - {row[0] for row in found}

    async def declare(self, epoch: int, declaration: Declaration) -> set[str]:
        """Put down, for the epoch that is prepared, what this gateway holds, and what of it has ended.

        Returns the ids of those of its reservations that were orphaned: their ends are for Valkey to correct.
        Raises Superseded when the epoch is not prepared any more, or is past taking declarations.
        """
        async with self._engine.connect() as connection:
            return await in_one_transaction(connection, partial(self._declare, epoch, declaration))

    def _declare(self, epoch: int, declaration: Declaration, cursor: Any) -> set[str]:
        self._lock(cursor, epoch, "FOR SHARE")
        mine = [each.id for each in declaration.pending]
        ended = [charge.charge_id for charge in declaration.charges] + list(declaration.released)
        orphaned = {row[0] for row in _ask(_ENDED, (mine + ended, ORPHANED), cursor)}
        events: list[Event] = [charge for charge in declaration.charges if charge.charge_id not in orphaned]
        events += declaration.runs
        if events:
            self._inserts.execute(events, None, cursor)
        cursor.execute(_FORGET, (self._owner, mine))
        cursor.execute(_END, (ended,))
        for carve in declaration.carves:  # parents first: what is carved of a carve counts in its windows too
            write_pending(cursor, _in_their_windows([carve], set(), cursor))
        write_pending(cursor, _in_their_windows(declaration.pending, orphaned, cursor))
        cursor.execute(_DECLARED, (epoch, self._owner))
        return orphaned

    async def collect(self, epoch: int, server: str) -> bool:
        """Close the declarations for an epoch; False when living gateways have not declared yet.

        What belongs to gateways that have not declared and are not heard of is charged in full. Raises Superseded.
        """
        async with self._engine.connect() as connection:
            return await in_one_transaction(connection, partial(self._collect, epoch, server))

    def _collect(self, epoch: int, server: str, cursor: Any) -> bool:
        self._lock(cursor, epoch, "FOR UPDATE")
        declared, missing = [], []
        for owner, declared_epoch, silent_us in _ask(_ALL, (), cursor):
            if declared_epoch == epoch:
                declared.append(owner)
            elif silent_us < self._dead_after_s * 1e6 or not self._patient():
                return False
            else:
                missing.append(owner)
        now_us = _ask(f"SELECT {_NOW}", (), cursor)[0][0]
        lost = [admitted_of(row) for row in _ask(_LOST, (declared,), cursor)]
        entries: list[Event] = [_in_full(each, now_us / 1e6) for each in lost]
        self._inserts.execute(entries, None, cursor)
        cursor.execute(_ORPHAN, ([each.id for each in lost],))
        cursor.execute(_FORGET_ORPHANS, (ORPHANS_KEPT_S * 1_000_000,))
        cursor.execute("DELETE FROM gateways WHERE owner = ANY($1::text[])", (missing,))
        cursor.execute("UPDATE stores SET server = $1 WHERE installation = $2", (server, self._installation))
        return True

    def _patient(self) -> bool:
        """Whether the database has answered for so long that silence is the others' own: not just an outage's."""
        return self._heard_since_s is not None and time.monotonic() - self._heard_since_s >= self._dead_after_s

    def _lock(self, cursor: Any, epoch: int, how: str) -> None:
        """Hold the installation's row. Declarations share it, and whoever closes them waits for all that have begun."""
        rows = _ask(_LOCK + how, (self._installation,), cursor)
        if len(rows) != 1 or tuple(rows[0]) != (epoch, False, ""):
            raise Superseded(f"epoch {epoch} takes no declarations (any more)")


def _in_their_windows(pending: Sequence[Admitted], left_out: set[str], cursor: Any) -> list[Admitted]:
    """What a carve pays counts in the carve's windows, which its gateway is not told."""
    vias = list({each.body.via for each in pending if each.body.via is not None})
    windows = {row[0]: admitted_of(row).window_at_s for row in _ask(_CARVES, (vias,), cursor)} if vias else {}
    return [
        each._replace(window_at_s=windows.get(each.body.via or "", each.window_at_s))
        for each in pending
        if each.id not in left_out
    ]


def _in_full(lost: Admitted, now_s: float) -> ChargePosted | Adjusted:
    if lost.body.origin is None:
        return allowance_entry(lost.id, lost.body.claims[0], lost.held.money, now_s, lost.window_at_s)
    return orphan_charge(lost.id, lost.body.origin, now_s, lost.window_at_s, lost.held, own_s=lost.at_s)


def _ask(sql: str, values: tuple[Any, ...], cursor: Any) -> list[Any]:
    cursor.execute(sql, values)
    return list(cursor.fetchall())
