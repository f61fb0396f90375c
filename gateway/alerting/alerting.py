"""From events to people: what is news is told to every sink that wants it. Never in a request's way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from gateway.alerting.alert import Alert, with_links
from gateway.alerting.delivery import Chance, Delivery
from gateway.alerting.memory import Memory
from gateway.alerting.news import News
from gateway.alerting.sinks import Outcome, hand_over
from gateway.config.snapshot import AlertSettings, AlertSink, Snapshot
from gateway.journal.database import JournalError
from gateway.telemetry.events import Event
from gateway.telemetry.series import Tally
from gateway.upstream.transport import Transport

if TYPE_CHECKING:
    from gateway.telemetry.exposition import Rows

log = logging.getLogger("farebox.alerts")

MOST_WAITING: Final = 1_000
"""Alerts that wait for the journal's word that no other gateway has told them."""
LAST_WORDS_S: Final = 2.0
"""How long the end of the process waits for that word."""


class Told(Protocol):
    """What has been told, by all gateways: `gateway.journal.alerts.AlertLog`."""

    async def claim(self, key: str, at_s: float, repeat_s: float) -> bool:
        """Whether it is told by nobody since `repeat_s` before; it is by the caller then. Raises JournalError."""
        ...

    async def release(self, key: str) -> None:
        """The next time is news again. Raises JournalError."""
        ...


class Alerting:
    """A `Sink` of events. Belongs to the running event loop."""

    def __init__(self, transport: Transport, told: Told, chance: Chance = Chance()) -> None:  # noqa: B008 -- immutable
        """`told` is where gateways agree on which of them tells it."""
        self._transport = transport
        self._journal = told
        self._chance = chance
        self._news = News()
        self._settings = AlertSettings()
        self._memory = Memory(self._settings.repeat_s)
        self._deliveries: dict[str, tuple[AlertSink, Delivery]] = {}
        self._counts = Tally("sink", "kind", "result")
        self._waiting: deque[Alert] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._closings: set[asyncio.Task[None]] = set()

    def use(self, snapshot: Snapshot) -> None:
        """Put a configuration's sinks in force. Those that it does not change keep what waits for them."""
        settings = self._settings = snapshot.alerts
        self._news.use(snapshot.agents)
        self._memory.repeat_s = settings.repeat_s
        wanted = {sink.name: sink for sink in settings.sinks}
        for name, (sink, delivery) in list(self._deliveries.items()):
            if wanted.get(name) != sink:
                del self._deliveries[name]
                closing = asyncio.get_running_loop().create_task(delivery.close())
                self._closings.add(closing)
                closing.add_done_callback(self._closings.discard)
        for name, sink in wanted.items():
            if name not in self._deliveries:
                self._deliveries[name] = (sink, self._delivery(sink))
        if wanted and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="alerts")

    def receive(self, events: Sequence[Event]) -> None:
        """Take a batch of events: what is news among them is told soon."""
        if not self._deliveries:
            return
        for alert in self._news.read(events):
            if not self._memory.is_news(alert):
                self._count_all(alert, "repeated")
            elif len(self._waiting) >= MOST_WAITING:
                self._count_all(alert, "dropped")
            else:
                self._waiting.append(with_links(alert, self._settings.links))
                self._idle.clear()
                self._wake.set()

    async def close(self) -> None:
        """Tell what waits, for a moment at most. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._idle.wait()
            task.cancel()
            await asyncio.wait((task,))
        self._give_up()
        deliveries = [delivery for _, delivery in self._deliveries.values()]
        self._deliveries.clear()
        await asyncio.gather(*(delivery.close() for delivery in deliveries), *self._closings)

    def copy(self) -> Iterator[tuple[str, Rows]]:
        """What has been counted, as metrics."""
        yield "alerts_total", self._counts.copy()
        yield "alerts_pending", [((name,), each.pending) for name, (_, each) in self._deliveries.items()]

    def _delivery(self, sink: AlertSink) -> Delivery:
        async def send(alert: Alert) -> Outcome:
            try:
                return await hand_over(self._transport, sink, alert)
            except Exception:  # an outermost edge: one alert's defect must not cost the others theirs
                log.exception("an alert to %s could not be written", sink.name)
                return Outcome("refused", "a defect, see above")

        def count(kind: str, result: str) -> None:
            self._counts.add((sink.name, kind, result))

        return Delivery(sink.name, send, count, self._chance)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._tell_waiting()
            self._idle.set()

    async def _tell_waiting(self) -> None:
        while self._waiting:
            alert = self._waiting[0]  # it waits until it is known whose it is: the end may come before
            ours = await self._is_ours(alert)
            self._waiting.popleft()
            if ours:
                for sink, delivery in self._deliveries.values():
                    if sink.kinds is None or alert.kind in sink.kinds:
                        delivery.offer(alert)
            else:
                self._memory.told_elsewhere(alert)
                self._count_all(alert, "repeated")

    async def _is_ours(self, alert: Alert) -> bool:
        """Whether no other gateway tells it, as far as is known."""
        if alert.decided:
            return True
        try:
            if alert.status == "firing":
                return await self._journal.claim(alert.key, alert.at_s, self._settings.repeat_s)
            await self._journal.release(alert.key)
        except JournalError as error:
            log.warning("an alert is told without knowing whether another gateway tells it: %s", error)
        return True

    def _give_up(self) -> None:
        """Count and log what nobody will be told of any more."""
        for alert in self._waiting:
            self._count_all(alert, "dropped")
            log.error("an alert was not told before the end: %s", alert.title)
        self._waiting.clear()
        self._idle.set()

    def _count_all(self, alert: Alert, result: str) -> None:
        for name, (sink, _) in self._deliveries.items():
            if sink.kinds is None or alert.kind in sink.kinds:
                self._counts.add((name, alert.kind, result))
