from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator.server import SimulatorServer, start


@pytest.fixture
async def sim() -> AsyncIterator[SimulatorServer]:
    server = await start(SimulatorSettings(port=0, speed=0))
    try:
        yield server
    finally:
        await server.stop()
