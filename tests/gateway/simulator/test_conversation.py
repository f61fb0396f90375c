from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from gateway.simulator.conversation import reset_transport


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_resetting_a_connection_that_its_client_has_closed_already(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def leave_first() -> None:
        served: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: served.put_nowait(writer), "127.0.0.1", 0)
        async with server:
            _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer = await served.get()
            client.transport.abort()
            writer.transport.abort()
            await writer.wait_closed()
            reset_transport(cast("asyncio.Transport", writer.transport))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(leave_first())
