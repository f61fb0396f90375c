"""A stage to admit requests on: a real book as the store, one agent, one model with two deployments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from gateway.admission.admission import Admission
from gateway.admission.turn import Turn
from gateway.config.snapshot import Agent, QueueSettings
from gateway.context import RequestContext
from gateway.errors import FareboxError
from gateway.identity.attribution import Attribution
from gateway.identity.keys import Principal
from gateway.learned.expectations import Expectations
from gateway.ledger.book import Book
from gateway.ledger.budgets import Budget, RateLimit
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
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.pricing.override import compile_override
from gateway.reply import Headers
from gateway.telemetry.events import ChargePosted, Event
from gateway.telemetry.recorder import Recorder
from gateway.wire.requests import CHAT, ModelRequest, read_request
from routing.catalog import Catalog, Deployment, Metering, Model
from routing.money import NanoUsd
from routing.router import route
from tests.gateway.snapshots import snapshot_of

NOW_S = 1_796_000_000.0
TOKEN_NANO = 1_000
"""A token costs so many nano-USD, in and out."""


class BookStore:
    """A book behind the store's interface; `ask` may be made to wait."""

    def __init__(self) -> None:
        self.book = Book()
        self.asked: list[Ticket] = []
        self.gate: asyncio.Event | None = None
        """Answers of `admit` come once it is set."""
        self._wake: list[Callable[[], None]] = []

    def now_s(self) -> float:
        return NOW_S

    def on_room(self, callback: Callable[[], None]) -> None:
        self._wake.append(callback)

    def room(self) -> None:
        for callback in self._wake:
            callback()

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        self.asked.append(ticket)
        answer = self.book.admit(ticket, NOW_S)
        if self.gate is not None:
            await self.gate.wait()
        return answer

    def admit_at_once(self, ticket: Ticket, now_s: float) -> Granted | Refused | None:
        return None

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        return self.book.extend(reservation, more, NOW_S)

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted | None = None) -> None:
        self.book.settle(reservation, spent, NOW_S)
        self.room()

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        self.book.release(reservation, NOW_S)
        self.room()

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        return self.book.open_run(opening, NOW_S)

    async def run(self, run: str) -> Run | None:
        return self.book.run(run, NOW_S)

    async def runs(self, *, state: str | None = None, limit: int = 100) -> Sequence[Run]:
        return self.book.runs(NOW_S, state, limit)

    async def close_run(self, run: str, reason: str) -> Run | None:
        return self.book.close_run(run, reason, NOW_S)

    async def pause_run(self, run: str, reason: str) -> Run | None:
        return self.book.pause_run(run, reason, NOW_S)

    async def resume_run(self, run: str) -> Run | None:
        return self.book.resume_run(run, NOW_S)

    async def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        return self.book.adjust(key, amount, entry, NOW_S)

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        return self.book.counters(keys, NOW_S)

    async def close(self) -> None:
        pass

    @property
    def reserved(self) -> int:
        """In all counters together."""
        return sum(state.reserved for state in self.book.counters(None, NOW_S))


class Client:
    """The client's side: only whether it is there."""

    started = False
    blocked = False

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None
        self._gone = False

    def asked(self, context: RequestContext) -> None:
        """It speaks OpenAI's wire."""

    def as_it_is(self) -> None:
        """So nothing is translated."""

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        if callback is not None and self._gone:
            callback()
        else:
            self._callback = callback

    def leave(self) -> None:
        self._gone = True
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        raise NotImplementedError

    async def start(self, status: int, headers: Headers) -> None:
        raise NotImplementedError

    async def send(self, chunk: bytes) -> None:
        raise NotImplementedError

    async def finish(self) -> None:
        raise NotImplementedError

    async def error(self, error: FareboxError, request_id: str) -> None:
        raise NotImplementedError


class Events(list[Event]):
    """A sink that keeps everything."""

    def receive(self, events: Sequence[Event]) -> None:
        self.extend(events)


def deployment(provider: str, **changes: Any) -> Deployment:
    price = compile_override({"input": "1", "output": "1"}, "test")
    written: dict[str, Any] = {"context_tokens": 100_000, "max_output_tokens": 1_000, **changes}
    return Deployment(f"{provider}/gpt", provider, "gpt", price, **written)


METERED = {"metering": Metering(tokens_per_event=1, tokens_per_s=100, cancel_s=0.1)}


def budget(name: str, tokens: int, scope: Scope = Scope("agent", "*"), **changes: Any) -> Budget:  # noqa: B008 -- a value
    """A budget worth so many tokens."""
    return Budget(name, scope, NanoUsd(tokens * TOKEN_NANO), **{"window": Window("total"), **changes})


class QuickStore(BookStore):
    """One that has nothing to wait for."""

    def admit_at_once(self, ticket: Ticket, now_s: float) -> Granted | Refused | None:
        if self.gate is not None:
            return None
        self.asked.append(ticket)
        return self.book.admit(ticket, NOW_S)


class Stage:
    """An `Admission` with all that it needs."""

    stores: ClassVar[type[BookStore]] = BookStore
    """What it is made with, unless it is told."""

    def __init__(
        self,
        *budgets: Budget,
        limits: tuple[RateLimit, ...] = (),
        deployments: tuple[Deployment, ...] | None = None,
        queue: QueueSettings = QueueSettings(),  # noqa: B008 -- a value
        store: BookStore | None = None,
        **agent: Any,
    ) -> None:
        self.store = store or self.stores()
        self.events = Events()
        self.recorder = Recorder([self.events])
        self.learned = Expectations()
        self.admission = Admission(self.store, self.learned, self.recorder, at_once=self.store)
        self.agent = Agent("tester", "quality", "acme", **{"clamp_min_output_tokens": None, **agent})
        self.model = Model("gpt", deployments or (deployment("one"),))
        self.snapshot = snapshot_of(
            catalog=Catalog({"gpt": self.model}),
            agents={self.agent.id: self.agent},
            budgets=budgets,
            rate_limits=limits,
            queue=queue,
            limits_version=1,
        )

    def request(self, output_tokens: int | None = 100, **fields: Any) -> ModelRequest:
        """A chat request with a bound on its answer."""
        body = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], **fields}
        if output_tokens is not None:
            body["max_tokens"] = output_tokens
        return read_request(CHAT, json.dumps(body).encode())

    def context(self, *, key_run: str | None = None, **labels: Any) -> RequestContext:
        """A request that was identified, attributed and routed."""
        context = RequestContext(CHAT, self.snapshot)
        context.principal = Principal("acme", "quality", "tester", "config:tester", None, key_run)
        context.attribution = Attribution(**labels)
        context.route = route(self.model)
        return context

    def turn(self, number: int = 1, *, patient: bool = True) -> Turn:
        """An attempt at any of the model's deployments."""
        return Turn(number, self.model.deployments, patient)

    def noticed(self) -> list[Event]:
        """All that was recorded."""
        self.recorder.flush()
        return list(self.events)


async def turns(count: int = 20) -> None:
    """Let every task run until all of them wait."""
    for _ in range(count):
        await asyncio.sleep(0)
