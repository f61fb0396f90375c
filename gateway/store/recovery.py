"""What the memory store does before it admits anything: the log of its last life is brought into the journal.

    read the log -> charges that the journal lacks, orphans, requests nobody finished, runs -> journal, on disk
                 -> runs and their counters, from the journal; budgets follow (`gateway.store.force`)

The log stays as it is until all of that is done: a start that is killed half-way is made again by the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from gateway.journal.aliases import Place, names_of
from gateway.journal.database import Database, JournalError
from gateway.journal.rows import run_of, to_us
from gateway.journal.sessions import reading
from gateway.journal.spend import latest_window_at_s
from gateway.journal.tables import charges as charge_table
from gateway.journal.tables import requests as request_table
from gateway.journal.tables import runs as run_table
from gateway.journal.writer import Journal
from gateway.ledger.held import Carved
from gateway.ledger.operations import Amounts, Claim, Run
from gateway.store.live import LiveBook
from gateway.store.orphans import orphan_charge
from gateway.store.records import Intended, Reserved, RunNoted
from gateway.store.replay import replay
from gateway.store.seeding import in_parts, is_limited, run_claims, spend_of_runs, written
from gateway.telemetry.events import ChargePosted, RequestFinished, RunChanged
from routing.money import NanoUsd

_log = logging.getLogger("farebox.store")

CarveClaims = Callable[[Run, str | None], tuple[Claim, ...]]
"""Of a carved run and its parent's carve: the claims of its carve on budgets."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the next life of the store begins with."""

    last_at_s: float
    """The latest time that the store has shown: its clock must not go behind it."""
    carved: dict[str, RunNoted]
    """Runs of the log that have carved, as they are now."""
    orphans: tuple[ChargePosted, ...]
    """Of attempts under way when the last life ended."""
    lost: int
    """Requests under way then."""


async def recover(directory: Path, journal: Journal, wall_s: float) -> Recovered:
    """Bring the log into the journal. `wall_s`: the time that orphaned charges are posted at.

    Raises JournalError when the log cannot be read or the journal not be written: nothing is lost by trying again.
    """
    try:
        found = await asyncio.to_thread(replay, directory)
    except OSError as error:
        raise JournalError(f"the log of reservations in {directory} cannot be read: {error}") from error
    database = journal.database
    for forgotten in await _forgotten(database, found.runs):
        del found.runs[forgotten]
    journal.write([RunChanged(noted.run, noted.at_s) for noted in found.runs.values()])
    await journal.flush()
    carves = await _carves_of(database, found.pending.values())
    orphans = {name: orphan_of(each, carves, wall_s) for name, each in found.pending.items()}
    orphans |= {name: _intended(each, wall_s) for name, each in found.intents.items()}
    charges = found.charges | {name: orphan for name, orphan in orphans.items() if name not in found.charges}
    there = await written(database, charges)
    missing = [charge for name, charge in charges.items() if name not in there]
    journal.write(missing)
    await journal.flush()
    lost = await _finish_requests(journal, charges.values())
    orphaned = tuple([charge for charge in missing if charge.resolution == "orphaned"])
    if missing or lost:
        _log.warning(
            "the last gateway did not end in order: %d charges written now, %d of them for attempts it left under way, "
            "at what was reserved for them; %d requests without an end",
            len(missing),
            len(orphaned),
            lost,
        )
    last_at_s = max(found.last_at_s, await latest_window_at_s(database) or 0.0)
    return Recovered(last_at_s, {name: run for name, run in found.runs.items() if run.claims}, orphaned, lost)


async def _forgotten(database: Database, runs: Collection[str]) -> list[str]:
    """Runs whose names the journal has forgotten: they are over, and in there under others."""
    places = {Place(None, run): run for run in runs}
    async with reading(database.engine) as connection:
        return [places[place] for place in await names_of(connection, list(places))]


def orphan_of(reserved: Reserved, carves: dict[str, float], at_s: float) -> ChargePosted:
    """The charge of an attempt whose gateway died: all that it had reserved. `carves`: when runs carved, by run."""
    origin = reserved.origin
    window_at_s = reserved.at_s
    if reserved.via is not None:
        window_at_s = next((carves[run] for run in origin.run_path.split(">") if run in carves), reserved.at_s)
    return orphan_charge(
        reserved.id, origin, at_s, window_at_s, Amounts(reserved.money, reserved.tokens), own_s=reserved.at_s
    )


def _intended(intent: Intended, at_s: float) -> ChargePosted:
    """The charge of an attempt that nothing governed, if the journal has none."""
    amounts = Amounts(intent.money, intent.tokens)
    charge = orphan_charge(intent.id, intent.origin, at_s, intent.at_s, amounts)
    return charge._replace(reserved_nano_usd=NanoUsd(0))


async def _carves_of(database: Database, pending: Collection[Reserved]) -> dict[str, float]:
    """When the runs carved that these attempts are in: the charge counts in the windows of the outermost carve."""
    names = {run for each in pending if each.via is not None for run in each.origin.run_path.split(">")}
    found: dict[str, float] = {}
    for run in await _runs(database, names):
        if run.carve:
            found[run.id] = run.opened_at_s
    return found


async def _runs(database: Database, names: Collection[str]) -> list[Run]:
    found = []
    async with reading(database.engine) as connection:
        for part in in_parts(names):
            rows = await connection.execute(select(run_table).where(run_table.c.id.in_(part)))
            found += [run_of(row).run for row in rows]
    return found


async def _finish_requests(journal: Journal, charges: Collection[ChargePosted]) -> int:
    """Write a row for each charged request that has none: it was under way when its gateway died."""
    firsts = {charge.request_id: charge for charge in sorted(charges, key=lambda charge: -charge.attempt)}
    totals: dict[str, int] = {}
    async with reading(journal.database.engine) as connection:
        for part in in_parts(firsts):
            there = select(request_table.c.request_id).where(request_table.c.request_id.in_(part))
            lacking = set(part) - set((await connection.execute(there)).scalars())
            sums = (
                select(charge_table.c.request_id, func.sum(charge_table.c.cost_nano_usd))
                .where(charge_table.c.request_id.in_(lacking))
                .group_by(charge_table.c.request_id)
            )
            if lacking:
                totals |= {request: int(total) for request, total in await connection.execute(sums)}
    journal.write([_lost_request(firsts[request], total) for request, total in totals.items()])
    await journal.flush()
    return len(totals)


def _lost_request(charge: ChargePosted, total: int) -> RequestFinished:
    """The row of a request whose end nobody saw; what only its headers and body said is gone. Status 0: none."""
    runs = charge.run_path.split(">") if charge.run_path else []
    return RequestFinished(
        request_id=charge.request_id,
        at_s=charge.window_at_s or charge.at_s,
        org=charge.org,
        team=charge.team,
        agent=charge.agent,
        key_id="",
        run=runs[-1].partition("/")[2] if runs else None,
        parent_run=runs[-2] if len(runs) > 1 else None,
        session=None,
        user=charge.user,
        tags=charge.tags,
        value_nano_usd=None,
        sdk=None,
        endpoint="",
        model=charge.model,
        profile=None,
        deployment=charge.deployment,
        provider=charge.provider,
        rule="",
        outcome="lost",
        status=0,
        error_code="gateway_lost",
        latency_ms=0.0,
        first_token_ms=None,
        overhead_ms=0.0,
        streamed=False,
        cost_nano_usd=NanoUsd(total),
    )


async def restore_runs(
    book: LiveBook, database: Database, recovered: Recovered, carve_claims: CarveClaims, now_s: float
) -> None:
    """Put the runs whose time is not over, and what they carved, into an empty book. Raises JournalError.

    `carve_claims` tells the counters of budgets that a run's carve is reserved in now: they may have changed.
    """
    async with reading(database.engine) as connection:
        alive = select(run_table).where(run_table.c.closes_at_us > to_us(now_s))
        runs = [run_of(row).run for row in await connection.execute(alive)]
    runs.sort(key=lambda run: (run.depth, run.opened_at_s))
    spends = await spend_of_runs(database, [run.id for run in runs if run.carve or is_limited(run)])
    for run in runs:
        spend = spends.get(run.id)
        noted = recovered.carved.get(run.id)
        carved = None
        if noted is not None and spend is not None and run.state != "closed":
            others = tuple(claim for claim in noted.claims if not claim.key.startswith("b|"))
            carved = Carved((*carve_claims(run, noted.via), *others), noted.via, spend.cost_nano_usd)
        try:
            book.restore_run(run, carved)
        except LookupError as error:  # the journal has lost a parent: whoever names the run is refused
            _log.error("a run cannot be taken up again: %s", error)
            continue
        if spend is not None:
            for claim, posted in run_claims(run, spend):
                book.seed(claim, posted)
