"""What gateways tell each other of breakers, through a real Valkey."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.snapshot import (
    Resilience,
    Snapshot,
)
from gateway.store.valkey import scripts
from gateway.store.valkey.breakers import Known, SharedBreakers, read
from gateway.store.valkey.client import Client
from gateway.telemetry.events import BreakerChanged, Event
from gateway.upstream.health import UpstreamHealth
from routing.breaker import BreakerSettings, Shared, State
from routing.catalog import Catalog, Deployment, Model
from routing.failures import Failure
from tests.gateway.snapshots import snapshot_of
from tests.gateway.store.valkey.samples import until
from tests.servers import start_valkey

A, B = (Deployment(f"acme/{name}", "acme", name, None) for name in "ab")
MADE_UP = Deployment("acme/zzz", "acme", "zzz", None)
HASH = "{test}:breakers"
SETTINGS = BreakerSettings(consecutive_failures=1, open_s=0.001, jitter=0, probes=2, successes=2)


def configured(breaker: BreakerSettings = SETTINGS, *deployments: Deployment) -> Snapshot:
    catalog = Catalog({"m": Model("m", deployments or (A, B))})
    return snapshot_of(catalog=catalog, resilience=Resilience(breaker=breaker))


class Gateway:
    """What one gateway knows of its providers."""

    def __init__(self, url: str, snapshot: Snapshot) -> None:
        self.heard: list[Event] = []
        self.health = UpstreamHealth(snapshot.resilience, self.heard.append)
        self.health.use(snapshot)
        self.client = Client(url, 0.5, scripts.ALL)
        self.breakers = SharedBreakers(self.client, "test", self.health)
        self._numbers = iter(range(1_000_000))

    def state(self, name: str = A.id) -> State:
        breaker = self.health.breakers.breaker(name)
        assert breaker is not None
        return breaker.state

    def admits(self, deployment: Deployment = A) -> str:
        return self.health.view((deployment,), time.monotonic())[0].admits

    def fail(self, deployment: Deployment = A, failure: Failure = Failure("server_error")) -> None:  # noqa: B008 -- frozen
        attempt = self.name()
        assert self.health.begin(deployment, attempt) == "yes"
        self.health.ended(deployment, attempt, time.monotonic(), failure)

    def name(self) -> str:
        return f"{id(self)}.{next(self._numbers)}"

    async def probe(self, deployment: Deployment = A) -> str | None:
        """The attempt that is a probe now; None when there is no place for one."""
        attempt = self.name()
        admits = self.health.begin(deployment, attempt)
        assert admits != "yes"
        return attempt if admits == "probe" and await self.health.may_probe(deployment, attempt) else None


@asynccontextmanager
async def gateways(url: str, count: int = 2, breaker: BreakerSettings = SETTINGS) -> AsyncIterator[list[Gateway]]:
    made = [Gateway(url, configured(breaker)) for _ in range(count)]
    try:
        for each in made:
            await each.client.ready()
            await each.breakers.start()
        yield made
    finally:
        for each in made:
            await each.breakers.close()
            await each.client.close()


async def test_one_opens_and_the_other_does_not_call(valkey_url: str) -> None:
    async with gateways(valkey_url, breaker=replace(SETTINGS, open_s=60)) as (first, second):
        first.fail()
        await until(lambda: second.state() == "open")
        assert second.admits() == "no"
        (told,) = [event for event in second.heard if isinstance(event, BreakerChanged)]
        assert (told.breaker, told.state_to, told.reason) == (A.id, "open", "shared")
        mine, others = (each.health.view((A,), 0.0)[0].retry_at_s for each in (first, second))
        assert others == pytest.approx(mine, abs=0.5)


async def test_a_gateway_that_joins_knows_at_once(valkey_url: str) -> None:
    async with gateways(valkey_url) as (first, second):
        first.health.force(A.id, "open", "a test", "admin")
        await until(lambda: second.state() == "forced_open")
        async with gateways(valkey_url, 1) as (third,):
            assert third.state() == "forced_open"
            assert third.admits() == "no"


async def test_a_park_reaches_the_others_and_a_closing_ends_it(valkey_url: str) -> None:
    async with gateways(valkey_url) as (first, second):
        first.fail(failure=Failure("rate_limited", retry_after_s=60))
        await until(lambda: second.admits() == "no")
        assert second.health.view((A,), time.monotonic())[0].parked
        second.health.force(A.id, "closed", "they said so", "admin")
        assert second.admits() == "yes"
        await until(lambda: first.state() == "forced_closed")
        assert first.admits() == "yes"
        first.fail(failure=Failure("rate_limited", retry_after_s=60))
        await until(lambda: second.admits() == "no")


async def test_all_together_have_the_probes_of_one(valkey_url: str) -> None:
    async with gateways(valkey_url) as (first, second):
        first.fail()
        await until(lambda: second.state() == "open")
        await until(lambda: first.admits() == second.admits() == "probe")
        one, two = await first.probe(), await second.probe()
        assert one is not None
        assert two is not None
        assert await first.probe() is None
        assert first.admits() == "no"  # it is not asked again at once
        assert await second.probe() is None
        first.health.answered(A, one, time.monotonic())
        await until(lambda: second.admits() == "probe")  # after a while
        three = await second.probe()
        assert three is not None
        second.health.answered(A, two, time.monotonic())
        second.health.answered(A, three, time.monotonic())
        await until(lambda: first.state() == second.state() == "closed")
        first.health.ended(A, one, 0.0, None)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_a_place_comes_back(valkey_url: str, end: str) -> None:
    async with gateways(valkey_url, breaker=replace(SETTINGS, probes=1)) as (first, second):
        first.fail()
        await until(lambda: second.state() == "open")
        await until(lambda: first.admits() == "probe")
        attempt = await first.probe()
        assert attempt is not None
        if end == "cancelled":
            first.health.cancel(A, attempt)
        else:
            first.health.ended(A, attempt, time.monotonic(), Failure("cut"))
        async with asyncio.timeout(10):
            while True:
                if second.admits() == "probe" and (found := await second.probe()) is not None:
                    break
                await asyncio.sleep(0.01)
        assert found


async def test_the_store_goes_and_every_gateway_goes_by_what_it_knows(tmp_path: Path) -> None:
    server = start_valkey(tmp_path / "one")
    port = server.port
    try:
        async with gateways(f"valkey://127.0.0.1:{port}/0") as (first, second):
            server.terminate()
            await until(lambda: not first.client.connected and not second.client.connected)
            first.fail()
            await until(lambda: first.admits() == "probe")
            assert [await first.probe() is None for _ in range(3)] == [False, False, True]
            assert second.admits() == "yes"
            server = start_valkey(tmp_path / "two", port)
            await until(lambda: second.state() != "closed")
    finally:
        server.terminate()


async def test_a_store_that_says_nothing_holds_a_probe_up_for_its_time_out_only(tmp_path: Path) -> None:
    server = start_valkey(tmp_path / "one")
    assert server._process is not None
    pid = server._process.pid
    try:
        async with gateways(f"valkey://127.0.0.1:{server.port}/0") as (first, _):
            first.fail()
            await until(lambda: first.admits() == "probe")
            os.kill(pid, signal.SIGSTOP)
            attempt = await first.probe()
            assert attempt is not None
            os.kill(pid, signal.SIGCONT)
            first.health.cancel(A, attempt)
    finally:
        os.kill(pid, signal.SIGCONT)
        server.terminate()


async def test_a_store_that_was_emptied_is_told_again(valkey_url: str) -> None:
    async with gateways(valkey_url, breaker=replace(SETTINGS, open_s=60)) as (first, second):
        first.fail()
        await until(lambda: second.state() == "open")
        await first.client.command("FLUSHALL")
        async with gateways(valkey_url, 1) as (third,):
            await until(lambda: third.state() == "open")


async def test_what_a_wildcard_stands_for_stays_here(valkey_url: str) -> None:
    async with gateways(valkey_url) as (first, second):
        first.fail(MADE_UP)
        first.fail(A)
        await until(lambda: second.state(A.id) != "closed")
        assert MADE_UP.id.encode() not in await first.client.command("HKEYS", HASH)


async def test_what_is_no_state_of_ours_is_overwritten(valkey_url: str) -> None:
    async with gateways(valkey_url, breaker=replace(SETTINGS, open_s=60)) as (first, second):
        await first.client.command("HSET", HASH, A.id, "what is this")
        await first.client.command("HSET", HASH, "", "0")
        first.fail()
        await until(lambda: second.state() == "open")


# --- the store's order ---

states = st.sampled_from(("closed", "open", "half_open", "forced_open", "forced_closed"))
knowns = st.builds(Known, st.integers(1, 3), st.integers(1, 3), states, st.just(7), st.just(1), st.integers(0, 3))


def merged(mine: Known, theirs: Known | None) -> Known:
    """What the store has afterwards."""
    if theirs is None:
        return mine
    newer = mine[:3] > theirs[:3]
    closing = newer and mine.state == "forced_closed"
    parked_us = mine.parked_us if closing else max(mine.parked_us, theirs.parked_us)
    return (mine if newer else theirs)._replace(parked_us=parked_us)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ab"), knowns), min_size=1, max_size=8))
def test_the_store_keeps_what_is_newest(valkey_url: str, told: list[tuple[str, Known]]) -> None:
    with redis.Redis.from_url(valkey_url.replace("valkey", "redis")) as server:
        server.flushall()
        script = server.register_script(scripts.BREAKERS.text)
        wanted: dict[str, Known] = {}
        number = b""
        for name, known in told:
            before = wanted.get(name)
            wanted[name] = merged(known, before)
            now, _, fields = script(keys=[HASH], args=[number, name, *known])
            assert (now == number) is (wanted[name] == before)
            assert read(fields) == ({} if now == number else wanted)
            number = now


@given(
    st.floats(0, 1e7),
    st.floats(1.7e9, 1.9e9),
    st.integers(0, 100),
    states,
    st.floats(0, 1e7) | st.just(-float("inf")),
)
def test_a_time_that_goes_there_and_back_is_the_same(
    at_s: float, offset_s: float, version: int, state: State, parked_s: float
) -> None:
    there = Known.of(Shared(version, at_s, state, at_s, 1, parked_s), offset_s)
    here = there.here(offset_s)
    assert Known.of(here, offset_s) == there
    assert here.changed_at_s == pytest.approx(at_s, abs=2e-6)
