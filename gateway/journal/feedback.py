"""What clients said of answers: the `feedback` table, one row a request, the latest word."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import case, delete, insert, select

from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import writing
from gateway.journal.tables import charges, feedback, requests

_ANSWERED = ("ok", "shortened", "unverified")
"""Outcomes of calls whose answer the client may have got; an unverified one only where nothing better came."""


class Entered(NamedTuple):
    """A word that was entered."""

    model: str
    """The one that answered."""
    before: float | None
    """The score that it replaces; None: there was none."""


class FeedbackLog:
    """The `feedback` table. Every method raises JournalError."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._now = now

    async def enter(self, request_id: str, agent: str, score: float, comment: str | None) -> Entered | None:
        """Enter what the agent says of its request's answer, in place of what it said before.

        None, and nothing is entered, when the agent has no such request, or the request no answer.
        """
        async with writing(self._engine) as connection:
            model = await _answered_by(connection, request_id, agent)
            if model is None:
                return None
            of_request = feedback.c.request_id == request_id
            before = (await connection.execute(select(feedback.c.score).where(of_request))).scalar()
            await connection.execute(delete(feedback).where(of_request))
            row = {"request_id": request_id, "at_us": to_us(self._now()), "agent": agent, "model": model}
            await connection.execute(insert(feedback), [{**row, "score": score, "comment": comment}])
        return Entered(model, before)


async def _answered_by(connection: AsyncConnection, request_id: str, agent: str) -> str | None:
    asked = select(requests.c.request_id).where(requests.c.request_id == request_id, requests.c.agent == agent)
    if (await connection.execute(asked)).first() is None:
        return None
    calls = select(charges.c.model).where(charges.c.request_id == request_id, charges.c.outcome.in_(_ANSWERED))
    best_first = calls.order_by(case((charges.c.outcome == "unverified", 1), else_=0), charges.c.attempt.desc())
    return (await connection.execute(best_first.limit(1))).scalar()
