"""One gateway with simulated providers and clients, on virtual time: everything between them is the real thing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any

from gateway import context
from gateway.admission.admission import Admission
from gateway.admission.intents import Intents
from gateway.admission.watch import Watch
from gateway.deciding.deciding import Deciding, Knowledge
from gateway.exchange import Upstreams
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import Principal
from gateway.learned.expectations import Expectations
from gateway.learned.quality import LearnedQuality
from gateway.ledger.operations import CounterState
from gateway.pipeline import Pipeline, Stages
from gateway.services import CatalogModels
from gateway.store.clock import StoreClock
from gateway.store.force import Force
from gateway.store.live import LiveBook
from gateway.store.lock import StorageLock
from gateway.store.memory import MemoryStore
from gateway.telemetry.events import BreakerChanged, ChargePosted, Event, RequestFinished
from gateway.telemetry.recorder import Recorder
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.load import Loads
from tests.simulation.client import SimClient
from tests.simulation.provider import Providers, SimCall
from tests.simulation.resilience import Began, Entry, Saw, Turned
from tests.simulation.scenario import MODEL, Scenario, Wanted, key_of

_LOOKS_EVERY_S = 0.05
_ENDS_WITHIN_S = 300.0
"""Every time-out of the scenario, several times over."""


class Sink:
    """Keeps what was recorded."""

    def __init__(self) -> None:
        self.charges: list[ChargePosted] = []
        self.finished: list[RequestFinished] = []

    def receive(self, events: Sequence[Event]) -> None:
        """Take a batch."""
        for event in events:
            if isinstance(event, ChargePosted):
                self.charges.append(event)
            elif isinstance(event, RequestFinished):
                self.finished.append(event)


@dataclass
class Evidence:
    """What is left of a simulation, for the invariants to look at."""

    scenario: Scenario
    clients: list[SimClient]
    calls: list[SimCall]
    charges: list[ChargePosted]
    finished: list[RequestFinished]
    counters: list[CounterState]
    pending: int
    now_s: float
    log: list[Entry]
    """Calls, breakers' turns and first bytes, in their order."""
    complaints: list[str] = field(default_factory=list)
    """What was seen to be wrong while it ran."""


class _Journal:
    """What the store has of a journal: it is empty, and takes everything."""

    def __init__(self) -> None:
        self.database: Any = SimpleNamespace(engine=None)

    def write(self, events: Sequence[Event]) -> None:
        """Take rows."""

    async def flush(self) -> None:
        """All is written."""


class _Keys:
    """The configuration's keys."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def principal(self, key: bytes) -> Principal | None:
        """Whose key it is."""
        return self._ring.authenticate(key, time.time())


class _Open:
    """A process that takes everything on."""

    def refusal(self) -> None:
        """None: it does."""


def open_store(scenario: Scenario) -> tuple[MemoryStore, LiveBook]:
    """A memory store with its log on the disk, and without a past.

    `MemoryStore.open` reads the past in threads, which would come back whenever they like.
    """
    journal: Any = _Journal()
    book, clock = LiveBook(), StoreClock(time.time, time.monotonic)
    force = Force(book, journal.database, journal.flush, clock)
    force.take(scenario.snapshot)
    store = MemoryStore(book, clock, journal, force)
    store._start(scenario.snapshot, StorageLock.take(scenario.snapshot.storage.dir), journal.flush)
    return store, book


@contextmanager
def chance_of(seed: int) -> Iterator[None]:
    """Let what our own code draws depend on the seed."""
    bits, context._random_bits = context._random_bits, Random(f"ids {seed}").getrandbits
    try:
        yield
    finally:
        context._random_bits = bits


class World:
    """Runs one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._loop = asyncio.get_running_loop()
        self._sink = Sink()
        self._recorder = Recorder([self._sink])
        self._store, self._book = open_store(scenario)
        deployments = {(each.provider, each.upstream_model): each for each in scenario.deployments}
        self._log: list[Entry] = []
        self._providers = Providers(
            scenario.manners, deployments, scenario.seed, lambda call: self._log.append(Began(call))
        )
        self._loads = Loads(draw=Random(f"balance {scenario.seed}").random)
        self._pipeline = self._assemble()
        self._numbers = count()
        self._clients: list[SimClient] = []
        self._complaints: list[str] = []

    def _assemble(self) -> Pipeline:
        recorder, store, scenario = self._recorder, self._store, self._scenario
        expectations = Expectations()
        admission = Admission(store, expectations, recorder)
        intents = Intents(store)
        quality = LearnedQuality()
        recorder.add(intents)
        health = UpstreamHealth(scenario.snapshot.resilience, self._turned)
        health._draw = Random(f"jitter {scenario.seed}").random
        stages = Stages(
            _Open(),
            _Keys(KeyRing(scenario.snapshot)),
            None,
            Watch(store, admission.runs, recorder),
            CatalogModels(),
            Deciding(Knowledge(store, health, self._loads, expectations.expect, quality)),
            Upstreams(admission, intents, health, self._providers, recorder, self._loads),
        )
        return Pipeline(stages)

    def _turned(self, event: Event) -> None:
        if isinstance(event, BreakerChanged):
            self._log.append(Turned(event))
        self._recorder.record(event)

    async def run(self) -> Evidence:
        """Let everything happen, and wait until it is over."""
        began_s = self._loop.time()
        looking = asyncio.create_task(self._look())
        tasks = []
        for wanted in self._scenario.requests:
            await asyncio.sleep(max(0.0, began_s + wanted.at_s - self._loop.time()))
            tasks.append(asyncio.create_task(self._request(wanted)))
        done, late = await asyncio.wait(tasks, timeout=_ENDS_WITHIN_S)
        self._complaints += [f"a request has not ended after {_ENDS_WITHIN_S:g} s"] * len(late)
        self._complaints += [f"{type(error).__name__}: {error}" for task in done if (error := _error(task)) is not None]
        looking.cancel()
        self._recorder.flush()
        counters = await self._store.counters()
        await self._store.close()
        return Evidence(
            self._scenario,
            self._clients,
            self._providers.calls,
            self._sink.charges,
            self._sink.finished,
            list(counters),
            len(self._book.pending()) + len(self._store._log._pending),
            self._loop.time(),
            self._log,
            self._complaints + self._providers.complaints,
        )

    async def _request(self, wanted: Wanted) -> None:
        client = self._client(wanted)
        serving = asyncio.create_task(self._pipeline.serve(self._scenario.snapshot, client, client))
        timers = []
        if wanted.leaves_after_s is not None:
            timers.append(self._loop.call_later(wanted.leaves_after_s, client.leave))
        if wanted.cancelled_after_s is not None:
            timers.append(self._loop.call_later(wanted.cancelled_after_s, _cancel, serving, client))
        try:
            await serving
        finally:
            for timer in timers:
                timer.cancel()

    def _client(self, wanted: Wanted) -> SimClient:
        number = next(self._numbers)
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "word " * wanted.words}]}
        if wanted.max_tokens is not None:
            body["max_tokens"] = wanted.max_tokens
        if wanted.stream:
            body["stream"] = True
        if wanted.include_usage:
            body["stream_options"] = {"include_usage": True}
        headers = [(b"authorization", b"Bearer " + key_of(wanted.agent).encode())]
        if wanted.timeout_s is not None:
            headers.append((b"x-farebox-timeout-s", b"%g" % wanted.timeout_s))
        data = json.dumps(body).encode()
        client = SimClient(number, headers, data, stream=wanted.stream, slow_s=wanted.slow_s)
        client.timeout_s = wanted.timeout_s
        client.on_start = lambda request_id: self._log.append(Saw(request_id, self._loop.time()))
        self._clients.append(client)
        return client

    async def _look(self) -> None:
        """No budget is ever exceeded, by what is posted and reserved together."""
        shadows = {budget.id for budget in self._scenario.snapshot.budgets if not budget.enforce}
        while True:
            for state in await self._store.counters():
                over = state.posted + state.reserved - state.limit
                if over > 0 and state.key.split("|")[1] not in shadows:
                    shadows.add(state.key.split("|")[1])  # it is told once
                    self._complaints.append(f"{state.key} is {over} beyond its limit of {state.limit}")
            await asyncio.sleep(_LOOKS_EVERY_S)


def _cancel(serving: asyncio.Task[None], client: SimClient) -> None:
    client.cancelled = True
    serving.cancel()


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
