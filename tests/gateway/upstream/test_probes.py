"""Providers are asked for their models between calls, and only what fails is heard of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from gateway.config.snapshot import Endpoint, Snapshot
from gateway.upstream.pool import Pool
from gateway.upstream.probes import Probes, kind_of, request_of
from routing.breaker import BreakerSettings
from routing.catalog import Catalog, Deployment, Model
from routing.failures import Failure
from routing.health import Health
from routing.retry_budget import RetryBudgetSettings
from tests.gateway.snapshots import snapshot_of
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, Request, answer, eventually

ONE = Deployment("acme/one", "acme", "one", None)
TWO = Deployment("acme/two", "acme", "two", None)
ELSEWHERE = Deployment("other/one", "other", "one", None)


class Heard(NamedTuple):
    deployment: str
    attempt: str
    began_s: float
    failure: Failure | None


class Ears:
    """Who hears of failures."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def view(self, candidates: Sequence[Deployment], now_s: float) -> None:
        pass

    def ended(self, deployment: Deployment, attempt_id: str, began_s: float, failure: Failure | None) -> None:
        self.heard.append(Heard(deployment.id, attempt_id, began_s, failure))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._ticks: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._ticks.get()

    async def tick(self) -> None:
        """Let one interval pass, and what it brings happen."""
        slept = len(self.asked)
        self._ticks.put_nowait(None)
        await eventually(lambda: len(self.asked) > slept)


def snapshot(*endpoints: Endpoint) -> Snapshot:
    models = {"a": Model("a", (ONE, ELSEWHERE)), "b": Model("b", (TWO, ONE))}
    return snapshot_of(
        endpoints={endpoint.provider: endpoint for endpoint in endpoints},
        catalog=Catalog(models),
    )


class World(NamedTuple):
    probes: Probes
    ears: Ears
    clock: Clock


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    ears, clock = Ears(), Clock()
    probes = Probes(pool, ears, sleep=clock.sleep, now_s=lambda: 7.0, draw=lambda: 0.5)
    try:
        yield World(probes, ears, clock)
    finally:
        await probes.close()


async def asked(world: World, endpoint: Endpoint, times: int = 1) -> None:
    world.probes.use(snapshot(endpoint))
    await eventually(lambda: len(world.clock.asked) == 1)
    for _ in range(times):
        await world.clock.tick()


async def test_a_list_that_comes_is_not_heard_of(world: World) -> None:
    seen: list[Request] = []

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.send(OK)

    async with RawServer(serve) as server:
        headers = (("Authorization", "Bearer key"),)
        await asked(world, replace(server.endpoint(), probe_s=30.0, headers=headers), 2)
        assert server.accepted == 1, "its connection is kept"

    assert [request.line for request in seen] == [b"GET /v1/models HTTP/1.1"] * 2
    assert seen[0].header(b"authorization") == b"Bearer key"
    assert world.ears.heard == []
    assert world.clock.asked == [27.0] * 3, "intervals vary, so that gateways do not all ask at once"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (b"500 Oh", "server_error"),
        (b"503 Oh", "server_error"),
        (b"401 No", "credentials"),
        (b"403 No", "credentials"),
        (b"429 Slow", None),
        (b"400 Bad", None),
    ],
)
async def test_an_error_is_heard_of_for_every_deployment_of_the_provider(
    world: World, status: bytes, kind: Any
) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(b"{}", status=status))

    async with RawServer(serve) as server:
        await asked(world, replace(server.endpoint(), probe_s=30.0))

    failure = Failure(kind)
    expected = [Heard("acme/one", "probe-1", 7.0, failure), Heard("acme/two", "probe-1", 7.0, failure)]
    assert world.ears.heard == ([] if kind is None else expected)


async def test_a_provider_that_is_gone(world: World) -> None:
    async with RawServer() as server:
        endpoint = replace(server.endpoint(), probe_s=30.0)
    await asked(world, endpoint)

    assert {heard.failure for heard in world.ears.heard} == {Failure("unreachable")}


async def test_a_connection_that_breaks(world: World) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        peer.abort()

    async with RawServer(serve) as server:
        await asked(world, replace(server.endpoint(), probe_s=30.0))

    assert {heard.failure for heard in world.ears.heard} == {Failure("cut")}


async def test_a_provider_without_a_list_is_asked_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(b"", status=b"404 Not Found"))

    async with RawServer(serve) as server:
        world.probes.use(snapshot(replace(server.endpoint(), probe_s=30.0)))
        await eventually(lambda: len(world.clock.asked) == 1)
        world.clock._ticks.put_nowait(None)
        await eventually(lambda: "not probed any more" in caplog.text)

    assert world.ears.heard == []


async def test_a_configuration_that_changes(world: World) -> None:
    async with RawServer() as server:
        first = replace(server.endpoint(), probe_s=30.0)
        await asked(world, first)
        world.probes.use(snapshot(replace(first)))
        await asyncio.sleep(0)
        assert len(world.clock.asked) == 2, "what stays the same goes on as it is"
        world.probes.use(snapshot(replace(first, probe_s=10.0)))
        await eventually(lambda: world.clock.asked[2:] == [9.0])
        world.probes.use(snapshot(replace(first, probe_s=None)))
        await world.probes.close()
    assert world.clock.asked == [27.0, 27.0, 9.0]


async def test_enough_failures_open_the_breakers_and_a_list_closes_none(pool: Pool) -> None:
    clock, working = Clock(), False
    health = Health(BreakerSettings(consecutive_failures=3, open_s=1_000.0), RetryBudgetSettings())

    class Listener:
        def view(self, candidates: Sequence[Deployment], now_s: float) -> None:
            health.availability(candidates, now_s)

        def ended(self, deployment: Deployment, attempt_id: str, began_s: float, failure: Failure | None) -> None:
            health.record(deployment.id, failure, attempt_id, began_s, 100.0, 0.0)

    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(OK if working else answer(b"", status=b"502 Bad Gateway"))

    probes = Probes(pool, Listener(), sleep=clock.sleep, now_s=lambda: 100.0, draw=lambda: 0.0)
    async with RawServer(serve) as server:
        probes.use(snapshot(replace(server.endpoint(), probe_s=30.0)))
        await eventually(lambda: len(clock.asked) == 1)
        for _ in range(3):  # nobody has ever called them
            assert all(breaker.state == "closed" for breaker in health.breakers())
            await clock.tick()
        assert [each.admits for each in health.availability((ONE, TWO), 100.0)] == ["no", "no"]
        working = True
        for _ in range(5):
            await clock.tick()
        assert [each.admits for each in health.availability((ONE, TWO), 100.0)] == ["no", "no"]
        await probes.close()


@pytest.mark.parametrize(
    ("changes", "path", "version"),
    [
        ({}, b"/models", False),
        ({"dialect": "anthropic"}, b"/models", True),
        ({"dialect": "gemini"}, b"/models", False),
        ({"dialect": "azure", "base_url": "https://a.openai.azure.com/openai/v1"}, b"/models", False),
        (
            {"dialect": "azure", "base_url": "https://a.openai.azure.com", "api_version": "2024-10-21"},
            b"/openai/models?api-version=2024-10-21",
            False,
        ),
    ],
)
def test_where_the_list_is(changes: dict[str, Any], path: bytes, version: bool) -> None:
    found, headers = request_of(
        Endpoint(**{"provider": "acme", "base_url": "https://a.example", "headers": (), **changes})
    )

    assert found == path
    assert (b"anthropic-version: 2023-06-01\r\n" in headers) == version


def test_a_list_that_is_not_implemented_is_no_outage() -> None:
    assert kind_of(501) is None
