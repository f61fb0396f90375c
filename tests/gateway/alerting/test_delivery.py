"""A sink's queue: what it sends, how often it tries, what it gives up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.alerting.alert import Alert
from gateway.alerting.delivery import LAST_WAIT_S, MOST_WAITING, TRIES, Chance, Delivery
from gateway.alerting.sinks import Outcome
from tests.gateway.alerting.samples import alert

SENT, AGAIN, REFUSED = Outcome("sent"), Outcome("again", "status 500"), Outcome("refused", "status 404")


class Scene:
    """A sink that answers as it is told, then well; waits are noted and take no time."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self.sent: list[str] = []
        self.waits_s: list[float] = []
        self.counts: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()
        self._outcomes = list(outcomes)
        self.delivery = Delivery("ops", self._send, self._count, Chance(self._sleep, lambda: 1.0))

    async def _send(self, one: Alert) -> Outcome:
        await self.gate.wait()
        self.sent.append(one.key)
        return self._outcomes.pop(0) if self._outcomes else SENT

    async def _sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)

    def _count(self, kind: str, result: str) -> None:
        self.counts[result] += 1

    async def settled(self, count: int) -> None:
        """When so many alerts have found their end."""
        async with asyncio.timeout(20):
            while self.counts.total() < count:
                await asyncio.sleep(0)


async def test_what_fails_twice_is_sent_at_the_third_try() -> None:
    scene = Scene([AGAIN, AGAIN])
    scene.delivery.offer(alert(key="a"))
    await scene.settled(1)
    assert scene.sent == ["a", "a", "a"]
    assert scene.waits_s == [1.0, 2.0]
    assert scene.counts == {"sent": 1}
    assert scene.delivery.pending == 0
    await scene.delivery.close()


async def test_waits_grow_to_a_bound_and_end(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene([AGAIN] * TRIES)
    scene.delivery.offer(alert(key="a"))
    scene.delivery.offer(alert(key="b"))
    await scene.settled(2)
    assert scene.sent == ["a"] * TRIES + ["b"]
    assert scene.waits_s == [min(LAST_WAIT_S, 2.0**n) for n in range(TRIES - 1)]
    assert scene.counts == {"failed": 1, "sent": 1}
    assert "is given up" in caplog.text
    await scene.delivery.close()


async def test_a_receiver_may_ask_for_patience_and_a_refusal_is_final() -> None:
    scene = Scene([AGAIN._replace(after_s=30.0), REFUSED])
    scene.delivery.offer(alert(key="a"))
    await scene.settled(1)
    assert (scene.sent, scene.waits_s, scene.counts) == (["a", "a"], [30.0], {"failed": 1})
    await scene.delivery.close()


async def test_the_queue_is_bounded_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.gate.clear()
    for number in range(MOST_WAITING + 50):
        scene.delivery.offer(alert(key=str(number)))
    assert scene.delivery.pending == MOST_WAITING
    assert scene.counts == {"dropped": 50}
    assert caplog.text.count("are dropped") == 1
    scene.gate.set()
    await scene.settled(MOST_WAITING + 50)
    assert scene.sent == [str(number) for number in range(MOST_WAITING)]
    await scene.delivery.close()


async def test_the_end_sends_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.alerting.delivery.CLOSE_S", 20.0)
    scene = Scene()
    for number in range(3):
        scene.delivery.offer(alert(key=str(number)))
    await scene.delivery.close()
    assert scene.sent == ["0", "1", "2"]


async def test_the_end_waits_for_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.alerting.delivery.CLOSE_S", 0.01)
    scene = Scene()
    scene.gate.clear()
    scene.delivery.offer(alert())
    await scene.delivery.close()
    assert scene.counts == {"dropped": 1}
    assert scene.delivery.pending == 0
