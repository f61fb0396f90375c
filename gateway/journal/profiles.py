"""Recorded requests as a backtest reads them: features, usage and cost from the journal, never words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Row, and_, func, or_, select

from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import profile_of, tags_of, to_s, to_us
from gateway.journal.sessions import reading
from gateway.journal.spend import COUNTED
from gateway.journal.tables import charges, feedback, requests
from routing.money import NANO_PER_USD, ZERO, NanoUsd, Usage
from routing.profile import RequestProfile
from routing.recorded import Recorded

PAGE_ROWS: Final = 500
_USEFUL: Final = ("ok", "shortened")
_ASKED = (
    *(requests.c[name] for name in ("request_id", "at_us", "org", "team", "agent", "run", "session", "tags")),
    *(requests.c[name] for name in ("value_nano_usd", "profile", "outcome", "error_code", "decision")),
)
_USAGE = tuple(charges.c[name] for name in Usage._fields)


class _Weighed(msgspec.Struct):
    model: str = ""
    p_correct: float | None = None


class _Decided(msgspec.Struct):
    """What of a decision belongs to the request rather than to the policy."""

    value_usd: float = 0.0
    complexity: float | None = None
    priority: str = "normal"
    run_depth: int = 0
    parallel_tools: bool = False
    in_tool_loop: bool = False
    considered: list[_Weighed] = []


class _Charged(NamedTuple):
    """What the calls of a request came to."""

    model: str
    usage: Usage
    cost: int
    own_cost: int
    """Of the call that answered."""


_UNCHARGED = _Charged("", Usage(), 0, 0)
_UNDECIDED = _Decided()
_decoder = msgspec.json.Decoder(_Decided)


async def count(engine: AsyncEngine, since_s: float, until_s: float) -> int:
    """How many requests `recorded` will give. Raises JournalError."""
    query = select(func.count()).select_from(requests).where(_between(since_s, until_s))
    async with reading(engine) as connection:
        return int((await connection.execute(query)).scalar_one())


async def recorded(engine: AsyncEngine, since_s: float, until_s: float) -> AsyncIterator[Recorded]:
    """Requests that arrived from `since_s` until before `until_s`, in the order of their arrival. Raises JournalError.

    Left out: those that could not be read.
    """
    after: tuple[int, str] | None = None
    async with reading(engine) as connection:
        while True:
            query = select(*_ASKED).where(_between(since_s, until_s))
            if after is not None:
                at_us, request_id = after
                later = and_(requests.c.at_us == at_us, requests.c.request_id > request_id)
                query = query.where(or_(requests.c.at_us > at_us, later))
            query = query.order_by(requests.c.at_us, requests.c.request_id).limit(PAGE_ROWS)
            page = (await connection.execute(query)).all()
            if not page:
                return
            after = (page[-1].at_us, page[-1].request_id)
            ids = [row.request_id for row in page]
            charged, scores = await _charged(connection, ids), await _scores(connection, ids)
            for row in page:
                yield _recorded(row, charged.get(row.request_id, _UNCHARGED), scores)


def _between(since_s: float, until_s: float) -> Any:
    at_us = requests.c.at_us
    return and_(at_us >= to_us(since_s), at_us < to_us(until_s), requests.c.profile.is_not(None))


async def _charged(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, _Charged]:
    columns = (charges.c.request_id, charges.c.model, charges.c.outcome, charges.c.resolution, charges.c.cost_nano_usd)
    query = select(*columns, *_USAGE).where(charges.c.request_id.in_(ids))
    found: dict[str, _Charged] = {}
    useful: set[str] = set()
    for row in await connection.execute(query.order_by(charges.c.attempt)):
        request_id, model, outcome, resolution, cost = row[: len(columns)]
        if resolution not in COUNTED:
            continue
        before = found.get(request_id, _UNCHARGED)
        answers = outcome in _USEFUL
        if resolution == "correction":  # of a call that is there already
            found[request_id] = before._replace(cost=before.cost + cost, own_cost=before.own_cost + cost)
        elif answers or request_id not in useful:  # the latest call that answered, else the latest at all
            found[request_id] = _Charged(model, Usage(*row[len(columns) :]), before.cost + cost, cost)
        else:
            found[request_id] = before._replace(cost=before.cost + cost)
        if answers:
            useful.add(request_id)
    return found


async def _scores(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, float]:
    query = select(feedback.c.request_id, feedback.c.score).where(feedback.c.request_id.in_(ids))
    return {row[0]: row[1] for row in await connection.execute(query)}


def _recorded(row: Row[Any], charged: _Charged, scores: Mapping[str, float]) -> Recorded:
    agent, run, session = row.agent, row.run, row.session
    decided = _UNDECIDED if row.decision is None else _decoder.decode(row.decision)
    declared = None if row.value_nano_usd is None else row.value_nano_usd / NANO_PER_USD
    profile: RequestProfile = profile_of(row.profile)
    return Recorded(
        row.request_id,
        to_s(row.at_us),
        row.org,
        row.team,
        agent,
        profile,
        charged.model,
        charged.usage,
        NanoUsd(charged.cost),
        NanoUsd(charged.cost - charged.own_cost) if charged.model else ZERO,
        row.outcome,
        row.error_code,
        dict(tags_of(row.tags)),
        f"{agent}/{run}" if run else "",
        f"{agent}/{session}" if session else "",
        decided.value_usd or declared,
        decided.priority,
        decided.complexity,
        in_tool_loop=decided.in_tool_loop,
        parallel_tools=decided.parallel_tools,
        run_depth=decided.run_depth,
        score=scores.get(row.request_id),
        p_correct={each.model: each.p_correct for each in decided.considered if each.p_correct is not None},
    )
