"""What clients say of answers: entered in the journal, and learned from. One per process; no HTTP in here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from gateway.journal.database import JournalError
from gateway.journal.feedback import FeedbackLog
from gateway.learned.quality import Heard, LearnedQuality


class Said(NamedTuple):
    """A client's word."""

    request_id: str
    score: float
    """0 (of no use) to 1 (right)."""
    comment: str | None = None


class Feedback:
    """Enters what clients say, and lets the gateway learn from it."""

    def __init__(self, log: FeedbackLog, learned: LearnedQuality, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` returns when everything that has happened is in the journal."""
        self._log = log
        self._learned = learned
        self._flush = flush

    async def say(self, agent: str, said: Said) -> str | None:
        """Take an agent's word on one of its requests; the model that answered, or None when there is no such answer.

        Raises JournalError, and has entered nothing then.
        """
        with suppress(JournalError):  # what waits to be written is only not found
            await self._flush()
        entered = await self._log.enter(said.request_id, agent, said.score, said.comment)
        if entered is None:
            return None
        self._learned.hear(Heard(agent, entered.model, said.request_id, said.score, entered.before))
        return entered.model
