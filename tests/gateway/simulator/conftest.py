from collections.abc import AsyncIterator

import openai
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


@pytest.fixture
async def client(sim: SimulatorServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{sim.url}/v1", max_retries=0) as made:
        yield made
