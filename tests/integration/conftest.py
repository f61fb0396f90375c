"""A gateway and a simulated provider, both real servers on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from gateway.app import App
from gateway.config import load
from gateway.config.snapshot import SimulatorSettings
from gateway.simulator import server as simulator_server
from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.gateway import ENVIRONMENT, GatewayUnderTest, configuration


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    """A simulated provider that never waits."""
    running = await simulator_server.start(SimulatorSettings(enabled=True, port=0, seed=1, speed=0.0))
    yield running
    await running.stop()


StartGateway = Callable[..., Awaitable[GatewayUnderTest]]


@pytest.fixture
async def start_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartGateway]:
    """Start gateways in front of an upstream's base URL; they are stopped at the end of the test."""
    running: list[GatewayUnderTest] = []
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    async def start(base_url: str, **changes: Any) -> GatewayUnderTest:
        folder = tmp_path / f"gateway-{len(running)}"
        folder.mkdir()
        file = folder / "config.yaml"
        access_log = changes.pop("access_log", False)
        file.write_text(json.dumps(configuration(base_url, folder, **changes)))  # JSON is YAML
        snapshot = await asyncio.to_thread(load, file)
        app = await App.start(snapshot, host="127.0.0.1", port=0, access_log=access_log)
        gateway = GatewayUnderTest(app, file)
        running.append(gateway)
        return gateway

    yield start
    for gateway in running:
        await gateway.stop()


@pytest.fixture
async def gateway(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    """A gateway in front of the simulator."""
    return await start_gateway(f"{simulator.url}/v1")


@pytest.fixture
async def openai(gateway: GatewayUnderTest) -> AsyncIterator[AsyncOpenAI]:
    """The real SDK, pointed at the gateway, as the agent `tester`."""
    async with gateway.sdk() as client:
        yield client


@pytest.fixture
def bill(simulator: SimulatorServer) -> Callable[[], list[Record]]:
    """The provider's own bill."""
    return lambda: list(simulator.bill.records)
