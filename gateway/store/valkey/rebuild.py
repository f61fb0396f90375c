"""Fills an empty epoch from the journal: runs, what is pending, what was orphaned. One gateway does it, the leader.

The epoch has begun in Valkey already, so that every operation of an earlier one fails; but nobody uses it before
PostgreSQL says that it is ready. Each step here is refused once a later epoch has begun, and may be repeated: a leader
that dies, or wakes up too late, does no harm. Counters are not written: they are seeded when they are first asked for,
from the journal and from the reservations that are put back here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select

from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import run_of, to_us
from gateway.journal.sessions import reading
from gateway.journal.spend import latest_window_at_s, run_spent
from gateway.journal.tables import reservations, runs
from gateway.ledger.operations import Claim, Run, Unit
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.apply import ORPHANED, admitted_of
from gateway.store.valkey.client import Client, Part
from gateway.store.valkey.codec import Admitted, Body, body_of
from gateway.store.valkey.keys import Keys
from gateway.store.valkey.position import Superseded
from gateway.store.valkey.scripts import Script
from gateway.store.valkey.seeding import Seeds, seed_args

CARVE: Final = "carve:"
_UNSEEDED: Final = ("c|", "v|")
"""Slots, and how quickly runs spend: the journal does not tell. What was spent quickly is forgotten."""
_NOBODY: Final = Body((), None, None, ())
_pack = msgspec.msgpack.encode


class Remains(NamedTuple):
    """What an epoch begins with."""

    runs: Sequence[Run]
    """Those that have not reached their time to live, parents first."""
    carves: Mapping[str, tuple[Admitted, int]]
    """By run: what it carved from its parents, and what of it is spent."""
    pending: Sequence[Admitted]
    orphaned: Sequence[Admitted]


async def remains(engine: AsyncEngine, now_s: float) -> Remains:
    """What the journal says is under way. Raises JournalError."""
    async with reading(engine) as connection:
        rows = await connection.execute(select(runs).where(runs.c.closes_at_us > to_us(now_s)))
        open_runs = sorted((run_of(row).run for row in rows), key=lambda run: len(run.path))
        held = await _held(connection, orphaned=False)
        orphaned = await _held(connection, orphaned=True)
        carved = {each.id.removeprefix(CARVE): each for each in held if not each.owner}
        spent = await run_spent(connection, set(carved))
    pending = [each for each in held if each.owner]
    carves = {run: (each, spent[run].cost_nano_usd) for run, each in carved.items()}
    return Remains(_closed_with_their_parents(open_runs), carves, pending, orphaned)


def _closed_with_their_parents(parents_first: Sequence[Run]) -> list[Run]:
    """The entries of sub-runs that were closed with their parent may be lost, the parent's being kept."""
    found: dict[str, Run] = {}
    for run in parents_first:
        parent = found.get(run.path[1]) if len(run.path) > 1 else None
        closed = parent is not None and parent.state == "closed" and run.state != "closed"
        found[run.id] = run._replace(state="closed", reason=parent.reason) if closed and parent is not None else run
    return list(found.values())


async def _held(connection: AsyncConnection, *, orphaned: bool) -> list[Admitted]:
    table = reservations.c
    query = select(table.id, table.owner, table.at_us, table.reserved, table.origin)
    query = query.where(table.state == ORPHANED if orphaned else table.state != ORPHANED)
    return [admitted_of(row) for row in await connection.execute(query)]


async def latest_us(engine: AsyncEngine) -> int:
    """The latest moment of the store's clock that the journal knows; 0 without any."""
    async with reading(engine) as connection:
        return to_us(await latest_window_at_s(connection) or 0.0)


class Rebuild:
    """One attempt to fill an epoch, on one server."""

    def __init__(self, client: Client, installation: str, epoch: int) -> None:
        self._client = client
        self._meta = Keys.of(installation).meta
        self._epoch = str(epoch)

    async def sweep(self) -> None:
        """Delete what earlier epochs, or an earlier attempt at this one, have left."""
        cursor = b"0"
        while True:
            cursor = await self._call(scripts.SWEEP, cursor)
            if cursor == b"0":
                return

    async def fill(self, left: Remains) -> None:
        """Put everything back, parents before their sub-runs, carves before what is paid from them."""
        for run in left.runs:
            await self._call(scripts.RESTORE_RUN, *_run_args(run, left.carves.get(run.id)))
        await self._restore(left.pending, orphaned=False)
        await self._seed(left.pending)
        await self._restore(left.orphaned, orphaned=True)
        for run in left.runs:
            if run.state == "closed" and run.id in left.carves:
                await self._call(scripts.SETTLE_CARVE, CARVE + run.id)

    async def _seed(self, pending: Iterable[Admitted]) -> None:
        """Make the counters that would begin at nothing when first asked for, though something holds them."""
        claims = {claim.key: claim for held in pending for claim in held.body.claims if claim.key[:2] in _UNSEEDED}
        found = list(claims.values())
        posted: list[int | dict[int, int]] = [{} if claim.bucket_s else 0 for claim in found]
        if found:
            await self._call(scripts.SEED, *seed_args(found, Seeds(f"{self._epoch}-1", posted)))

    async def _restore(self, each: Iterable[Admitted], *, orphaned: bool) -> None:
        for held in each:
            await self._call(scripts.RESTORE, *_restore_args(held, orphaned=orphaned))

    async def _call(self, script: Script, *args: Part) -> bytes:
        """The answer's payload. Raises Superseded when a later epoch has begun, and StoreUnavailable."""
        reply: Any = await self._client.call(script, self._meta, (self._epoch, *args))
        if type(reply) is not list:
            raise reply if isinstance(reply, StoreUnavailable) else StoreUnavailable(f"the store refuses: {reply}")
        code, _, _, payload = reply
        if code == b"EPOCH":
            raise Superseded(f"epoch {self._epoch} is over before it was ready")
        return bytes(payload)


def _restore_args(held: Admitted, *, orphaned: bool) -> tuple[Part, ...]:
    return (
        held.owner,
        held.id,
        held.body.via or "",
        to_us(held.at_s),
        to_us(held.window_at_s),
        body_of(held.body),
        b"",
        0,
        *held.strict,
        *held.calibrated,
        "1" if orphaned else "",
    )


def _run_args(run: Run, carve: tuple[Admitted, int] | None) -> tuple[Part, ...]:
    limits = run.limits
    held, spent = carve if carve is not None else (None, 0)
    body = _NOBODY if held is None else held.body
    purse = Claim(f"k|{run.id}", Unit.MONEY, run.carve, 0, f"run:{run.id}")
    return (
        run.id,
        _pack(run.path),
        run.org,
        run.agent,
        msgspec.json.encode(limits),
        "" if limits.depth is None else limits.depth,
        "" if limits.children is None else limits.children,
        repr(run.opened_at_s),
        repr(run.closes_at_s),
        repr(run.ends_at_s),
        run.carve if held is not None else 0,
        run.state,
        run.reason,
        body.via or "",
        body_of(body),
        to_us(run.opened_at_s if held is None else held.window_at_s),
        spent,
        _pack(purse),
    )
