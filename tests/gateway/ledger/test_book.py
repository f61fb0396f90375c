"""The book against the model, in any order of operations; and what the machine does not reach."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import settings

from gateway.ledger.book import Book
from gateway.ledger.operations import (
    Amounts,
    CounterState,
    Extension,
    Granted,
    Opening,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from tests.gateway.store.machine import Adapter, StoreMachine

NOON_S = 1_795_003_200.0


class BookAdapter:
    """The book with a clock."""

    def __init__(self) -> None:
        self.book = Book()
        self._now_s = NOON_S

    def now_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
        self.book.expire(self._now_s)

    def admit(self, ticket: Ticket) -> Granted | Refused:
        return self.book.admit(ticket, self._now_s)

    def extend(self, id: str, more: Amounts) -> Extension:
        return self.book.extend(id, more, self._now_s)

    def settle(self, id: str, spent: Amounts) -> None:
        self.book.settle(id, spent, self._now_s)

    def release(self, id: str) -> None:
        self.book.release(id, self._now_s)

    def orphan(self, id: str) -> None:
        self.book.orphan(id, self._now_s)

    def open_run(self, opening: Opening) -> Run | RunRefused:
        return self.book.open_run(opening, self._now_s)

    def run(self, run: str) -> Run | None:
        return self.book.run(run, self._now_s)

    def close_run(self, run: str, reason: str) -> None:
        self.book.close_run(run, reason, self._now_s)

    def pause_run(self, run: str, reason: str) -> None:
        self.book.pause_run(run, reason, self._now_s)

    def resume_run(self, run: str) -> None:
        self.book.resume_run(run, self._now_s)

    def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        return self.book.adjust(key, amount, entry, self._now_s)

    def set_limit(self, key: str, limit: int, version: int) -> None:
        self.book.set_limit(key, limit, version)

    def counters(self, keys: Sequence[str]) -> Sequence[CounterState]:
        return self.book.counters(keys, self._now_s)

    def close(self) -> None:
        """Nothing is held."""


class BookMachine(StoreMachine):
    def adapter(self) -> Adapter:
        return BookAdapter()


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.long
class TestLongBook(BookMachine.TestCase):
    settings = settings(max_examples=1000, stateful_step_count=50, deadline=None)
