import asyncio

import pytest

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator.server import SimulatorServer, start
from tests.gateway.simulator.helpers import chat, connected, post, read_tokens


async def test_refuse_and_accept_again(sim: SimulatorServer) -> None:
    port = sim.port
    for _ in range(2):
        await sim.refuse()
        with pytest.raises(ConnectionRefusedError):
            await post(sim, chat())
        await sim.accept()
        assert (await post(sim, chat())).status == 200
    assert sim.port == port
    await sim.refuse()


async def test_idle_connections_are_closed_when_refusing(sim: SimulatorServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: sim\r\n\r\n")
    await reader.readuntil(b"ok")
    await sim.refuse()
    assert (await reader.read()).endswith(b"}")
    writer.close()
    await writer.wait_closed()


async def test_two_at_once_and_a_taken_port(sim: SimulatorServer) -> None:
    other = await start(SimulatorSettings(port=0, speed=0))
    assert other.port != sim.port
    with pytest.raises(OSError, match="in use"):
        await start(SimulatorSettings(port=other.port))
    await other.stop()


async def test_stopping_bills_what_was_on_its_way() -> None:
    server = await start(SimulatorSettings(port=0, speed=0))
    async with connected(server, chat(stream=True), x_sim_fault="stall-mid;after=5") as (reader, _):
        await read_tokens(reader, 4)
        await server.stop()
    [record] = server.bill.records
    assert record.outcome == "cancelled"
    assert record.completion_tokens >= 5


async def test_a_graceful_stop_lets_answers_finish() -> None:
    server = await start(SimulatorSettings(port=0, speed=0))
    async with connected(server, chat(stream=True, max_tokens=10), x_sim_fault="slow;token_ms=3") as (reader, _):
        await read_tokens(reader, 1)
        await server.stop(grace_s=30)
        assert b"[DONE]" in await reader.read()
    assert server.bill.records[0].outcome == "ok"


async def test_a_real_pace_is_streamed_as_it_goes() -> None:
    server = await start(SimulatorSettings(port=0, speed=50))
    try:
        answer = await post(server, chat(stream=True))
    finally:
        await server.stop()
    assert answer.data()[-1] == b"[DONE]"


async def test_nothing_lingers_past_the_end() -> None:
    server = await start(SimulatorSettings(port=0, speed=0))
    faults = "slow;first_ms=0;token_ms=3600000, linger;ms=36000000"
    async with connected(server, chat(stream=True), x_sim_fault=faults) as (reader, _):
        await read_tokens(reader, 1)
    await server.stop()
    [record] = server.bill.records
    assert record.outcome == "cancelled"
    assert 1 <= record.completion_tokens <= 4
