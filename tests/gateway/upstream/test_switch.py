"""Each provider is reached its own way, and the way through the SDK is not even imported where nobody takes it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec
import pytest

from gateway.config.snapshot import Endpoint, LiteLLM
from gateway.upstream.dialects.litellm import Order
from gateway.upstream.dialects.litellm_bridge.bridge import Bridge
from gateway.upstream.dialects.litellm_bridge.call import BridgeCall
from gateway.upstream.dialects.litellm_bridge.sdk import Sdk
from gateway.upstream.switch import Switch
from gateway.upstream.transport import Unreachable
from tests.gateway.upstream.raw_server import RawServer, quick

SDK = Endpoint("acme", "", (), dialect="litellm", timeouts=quick(), litellm=LiteLLM("bedrock"))


def never(_loop: asyncio.AbstractEventLoop) -> Bridge:
    pytest.fail("nobody needs the bridge")


async def test_openais_wire_goes_by_our_own_client() -> None:
    switch = Switch(never)
    async with RawServer() as server:
        switch.use([server.endpoint()])
        call = switch.start(server.endpoint(), b"POST", b"/chat/completions", b"", b"{}")
        assert await (await call.response()).read() == b"ok"
        assert switch.stats().idle == 1
        await switch.close()


async def test_the_sdk_is_loaded_once_for_those_who_need_it() -> None:
    loaded = asyncio.Event()
    loop = asyncio.get_running_loop()
    loads = 0

    def load() -> Sdk:
        nonlocal loads
        loads += 1
        loop.call_soon_threadsafe(loaded.set)
        return Sdk({})

    switch = Switch(lambda loop: Bridge(loop, load=load))
    switch.use([SDK])
    await loaded.wait()
    call = switch.start(SDK, b"POST", b"acompletion", b"", msgspec.json.encode(Order({})))
    assert isinstance(call, BridgeCall)
    with pytest.raises(Unreachable):  # it knows no such function
        await call.response()
    switch.use([SDK])
    assert loads == 1
    await switch.close()
    with pytest.raises(Unreachable, match="closed"):
        await switch.start(SDK, b"POST", b"acompletion", b"", msgspec.json.encode(Order({}))).response()


def test_nothing_of_it_is_imported_where_nobody_needs_it() -> None:
    code = (
        "import asyncio, sys\n"
        "from gateway.config.snapshot import Endpoint\n"
        "from gateway.upstream.switch import Switch\n"
        "async def run():\n"
        "    switch = Switch()\n"
        "    switch.use([Endpoint('acme', 'http://127.0.0.1:9/v1', ())])\n"
        "    await switch.close()\n"
        "asyncio.run(run())\n"
        "heavy = [name for name in sys.modules if 'litellm' in name or name in ('httpx', 'httpcore')]\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )

    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
