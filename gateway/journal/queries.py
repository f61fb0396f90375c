"""Questions to the journal that the gateway answers itself. Reports have their own place."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Integer, cast, func, select

from gateway.journal.database import JournalError
from gateway.journal.rows import charge_of, request_of, to_us
from gateway.journal.sessions import reading
from gateway.journal.tables import charges, requests
from gateway.journal.writer import Journal
from gateway.telemetry.events import ChargePosted, RequestFinished
from routing.money import NanoUsd


class RequestCost(NamedTuple):
    """A request and what it was charged."""

    request: RequestFinished
    charges: tuple[ChargePosted, ...]


class AgentTotal(NamedTuple):
    """What an agent did in a stretch of time."""

    agent: str
    requests: int
    errors: int
    """Requests whose outcome was not `ok`."""
    input_tokens: int
    output_tokens: int
    cost_nano_usd: NanoUsd
    estimated_nano_usd: NanoUsd
    """The part of the cost whose usage the provider did not report."""


async def request_cost(journal: Journal, request_id: str, agent: str | None) -> RequestCost | None:
    """A request of `agent` (of any, when None) with its charges, or None. Rows that wait are written first.

    Raises JournalError when the database cannot be read.
    """
    await _flushed(journal)
    query = select(requests).where(requests.c.request_id == request_id)
    if agent is not None:
        query = query.where(requests.c.agent == agent)
    async with reading(journal.database.engine) as connection:
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        of_request = select(charges).where(charges.c.request_id == request_id).order_by(charges.c.attempt)
        found = [charge_of(charge) for charge in await connection.execute(of_request)]
    return RequestCost(request_of(row), tuple(found))


async def totals(journal: Journal, since_s: float = 0.0) -> list[AgentTotal]:
    """Totals per agent since a Unix time, the dearest first. Requests count by arrival, charges by settlement.

    Raises JournalError when the database cannot be read.
    """
    await _flushed(journal)
    asked = (
        select(
            requests.c.agent,
            func.count().label("requests"),
            func.sum(cast(requests.c.outcome != "ok", Integer)).label("errors"),
        )
        .where(requests.c.at_us >= to_us(since_s))
        .group_by(requests.c.agent)
    )
    charged = (
        select(
            charges.c.agent,
            func.sum(charges.c.input_tokens),
            func.sum(charges.c.output_tokens),
            func.sum(charges.c.cost_nano_usd),
            func.sum(charges.c.cost_nano_usd * cast(charges.c.estimated, Integer)),
        )
        .where(charges.c.at_us >= to_us(since_s))
        .group_by(charges.c.agent)
    )
    async with reading(journal.database.engine) as connection:
        counts = {row[0]: tuple(row)[1:] for row in await connection.execute(asked)}
        sums = {row[0]: tuple(row)[1:] for row in await connection.execute(charged)}
    found = []
    for agent in counts.keys() | sums.keys():
        calls, errors = counts.get(agent, (0, 0))
        inputs, outputs, cost, estimated = (int(value) for value in sums.get(agent, (0, 0, 0, 0)))
        found.append(AgentTotal(agent, calls, int(errors), inputs, outputs, NanoUsd(cost), NanoUsd(estimated)))
    return sorted(found, key=lambda total: (-total.cost_nano_usd, total.agent))


async def _flushed(journal: Journal) -> None:
    try:
        await journal.flush()
    except JournalError:
        pass  # a disk that cannot be written can still be read; what waits is not in the answer
