"""What the process makes of breakers: logs, events, an operator's word, a new configuration, and other gateways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.config.snapshot import (
    Endpoint,
    Resilience,
    Snapshot,
)
from gateway.telemetry.events import AttemptDenied, BreakerChanged, CredentialsRefused, Event
from gateway.upstream import health as module
from gateway.upstream.health import Place, UpstreamHealth
from routing.breaker import BreakerSettings
from routing.catalog import Catalog, Deployment, Model
from routing.failures import Failure
from routing.hedge import HedgeSettings
from tests.gateway.snapshots import snapshot_of

A, B = (Deployment(f"acme/{name}", "acme", name, None) for name in "ab")
MADE_UP = Deployment("acme/zzz", "acme", "zzz", None)
REFUSED = Failure("credentials")
ENDPOINT = Endpoint("acme", "http://127.0.0.1:1", ())


def configured(*deployments: Deployment, **breaker: float) -> Snapshot:
    return snapshot_of(
        endpoints={"acme": ENDPOINT},
        catalog=Catalog({"m": Model("m", deployments)}),
        resilience=Resilience(breaker=BreakerSettings(**{"consecutive_failures": 1, "jitter": 0, **breaker})),
    )


class Bench:
    """A process's health, and what it has told."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.events: list[Event] = []
        snapshot = snapshot or configured(A, B)
        self.health = UpstreamHealth(snapshot.resilience, self.events.append)
        self.health.use(snapshot)
        self.begun = 0

    def call(self, deployment: Deployment = A, failure: Failure | None = None) -> None:
        """One call, sent and ended."""
        self.begun += 1
        assert self.health.begin(deployment, str(self.begun)) != "no"
        self.health.ended(deployment, str(self.begun), time.monotonic(), failure)

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.events if type(event) is kind]

    def admits(self, deployment: Deployment = A) -> str:
        return self.health.view((deployment,), time.monotonic())[0].admits


class Elsewhere:
    """Other gateways, which have so many places left."""

    def __init__(self, left: int = 1) -> None:
        self.left = left
        self.asked = 0
        self.changes = 0
        self.back: list[str] = []

    def changed(self) -> None:
        self.changes += 1

    async def take(self, places: Sequence[Place], holder: str) -> str | None:
        self.asked += 1
        self.left -= 1
        return places[0].breaker if self.left < 0 else None

    def give_back(self, breakers: Sequence[str], holder: str) -> None:
        self.back += breakers


async def until(satisfied: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not satisfied():
            await asyncio.sleep(0)


# --- credentials ---


def test_refused_credentials_are_told_once_until_they_are_accepted(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(configured(A, B, consecutive_failures=100))
    for deployment in (A, A, B):
        bench.call(deployment, REFUSED)
    assert bench.health.refused_credentials == ["acme"]
    assert [(each.levelname, "acme" in each.message) for each in caplog.records] == [("ERROR", True)]
    bench.call(A)
    assert bench.health.refused_credentials == ["acme"]  # not to all of it
    bench.call(A, REFUSED)
    bench.call(B)
    bench.call(A)
    assert bench.health.refused_credentials == []
    changes = [event.refused for event in bench.told(CredentialsRefused) if isinstance(event, CredentialsRefused)]
    assert changes == [True, False]
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


def test_a_new_configuration_may_have_mended_them(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(configured(A, consecutive_failures=100))
    bench.call(A, REFUSED)
    bench.health.use(configured(A, consecutive_failures=100))
    assert bench.health.refused_credentials == []
    bench.call(A, REFUSED)
    changes = [event.refused for event in bench.told(CredentialsRefused) if isinstance(event, CredentialsRefused)]
    assert changes == [True, False, True]


# --- an operator's word ---


def test_what_an_operator_forces_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    assert bench.health.force("acme", "open", "maintenance", "admin").state == "forced_open"
    assert bench.admits() == "no"
    bench.health.force("acme", "auto", "over", "admin")
    words = [(each.state_to, each.note, each.actor) for each in bench.events if isinstance(each, BreakerChanged)]
    assert words == [("forced_open", "maintenance", "admin"), ("half_open", "over", "admin")]
    assert "maintenance" in caplog.text
    bench.call(A, Failure("cut"))
    assert all((each.note, each.actor) == ("", "") for each in bench.events[2:] if isinstance(each, BreakerChanged))
    with pytest.raises(KeyError):
        bench.health.force("none", "open", "x", "admin")


# --- a new configuration ---


def test_other_settings_take_effect_and_what_is_gone_is_forgotten() -> None:
    bench = Bench(configured(A, B, consecutive_failures=2))
    bench.call(A, Failure("cut"))
    bench.health.use(configured(A, consecutive_failures=1))
    assert [each.name for each in bench.health.breakers.breakers()] == ["acme", A.id]
    bench.call(A, Failure("cut"))
    assert bench.admits() == "no"
    bench.call(MADE_UP)
    bench.health.use(configured(A))  # what a wildcard stands for is not configured, and not gone either
    assert bench.admits() == "no"
    assert bench.health.breakers.breaker(MADE_UP.id) is not None
    bench.health.use(configured())
    assert bench.health.breakers.breaker(A.id) is None


def test_retry_budgets_are_renewed() -> None:
    bench = Bench()
    snapshot = configured(A)
    budget = replace(snapshot.resilience.retry_budget, floor=0, ratio=0.0)
    bench.health.use(replace(snapshot, resilience=replace(snapshot.resilience, retry_budget=budget)))
    assert bench.health.begin(A, "1", retry=True) == "no"
    bench.health.use(snapshot)
    assert bench.health.begin(A, "2", retry=True) == "yes"


def test_hedges_that_are_not_made_are_counted() -> None:
    bench = Bench()
    model = Model("m", (A, B), hedge=HedgeSettings(ratio=0.5))
    assert not bench.health.may_hedge(model)
    for _ in range(2):
        bench.health.expect_first_byte(model, A, 0.0)
    assert bench.health.may_hedge(model)
    assert bench.told(AttemptDenied) == [AttemptDenied("m", "hedge")]


# --- other gateways ---


async def test_a_probe_needs_a_place_among_all_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, others = Bench(configured(A, open_s=0.001)), Elsewhere()
    monkeypatch.setattr(module, "ELSEWHERE_S", 0.0)
    bench.health.others = others
    bench.call(A, Failure("cut"))
    await until(lambda: bench.admits() == "probe")
    assert bench.health.begin(A, "p1") == "probe"
    assert await bench.health.may_probe(A, "p1")
    assert bench.health.begin(A, "p2") == "probe"
    assert not await bench.health.may_probe(A, "p2")
    assert bench.admits() == "no"  # so that nobody asks again and again
    assert others.asked == 2
    await until(lambda: bench.admits() == "probe")
    bench.health.answered(A, "p1", time.monotonic())
    bench.health.ended(A, "p1", time.monotonic(), None)
    assert others.back == [A.id]


async def test_alone_nobody_is_asked() -> None:
    bench = Bench(configured(A, open_s=0.001))
    bench.call(A, Failure("cut"))
    await until(lambda: bench.admits() == "probe")
    assert bench.health.begin(A, "p1") == "probe"
    assert await bench.health.may_probe(A, "p1")


def test_what_others_have_to_know_is_told() -> None:
    bench, others = Bench(), Elsewhere()
    bench.health.others = others
    bench.call(A)
    assert (others.changes, bench.health.shared()) == (0, {})
    bench.call(A, Failure("rate_limited", retry_after_s=5))
    assert others.changes == 1
    bench.call(B, Failure("cut"))
    assert others.changes == 2
    bench.call(MADE_UP, Failure("cut"))
    assert {name: each.state for name, each in bench.health.shared().items()} == {
        A.id: "closed",
        B.id: "open",
        "acme": "open",
    }


def test_what_others_told_is_not_told_back() -> None:
    told, hears, others = Bench(), Bench(), Elsewhere()
    told.call(A, Failure("cut"))
    hears.health.others = others
    hears.health.adopt(told.health.shared())
    assert hears.admits() == "no"
    assert [each.reason for each in hears.events if isinstance(each, BreakerChanged)] == ["shared"]
    assert others.changes == 0


def test_an_operators_closing_elsewhere_ends_a_park_here() -> None:
    told, hears = Bench(), Bench()
    hears.call(A, Failure("rate_limited", retry_after_s=50))
    told.health.force(A.id, "closed", "it works", "admin")
    hears.health.adopt(told.health.shared())
    assert hears.admits() == "yes"
