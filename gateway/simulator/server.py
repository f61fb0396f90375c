"""Starting and stopping the simulator: inside a running event loop (`start`), or as a process of its own (`run`)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator import tokenizer
from gateway.simulator.app import Simulator
from gateway.simulator.bill import Bill
from gateway.simulator.listener import Listener

_GRACE_S = 2.0


class SimulatorServer:
    """A running simulator."""

    def __init__(self, simulator: Simulator, listener: Listener, host: str) -> None:
        self._simulator = simulator
        self._listener = listener
        self._host = host

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:4010`; the OpenAI API lies under `/v1`."""
        return f"http://[{self._host}]:{self.port}" if ":" in self._host else f"http://{self._host}:{self.port}"

    @property
    def bill(self) -> Bill:
        """Its bill."""
        return self._simulator.bill

    async def refuse(self) -> None:
        """Refuse connections until `accept()`; the port stays reserved."""
        await self._listener.refuse()

    async def accept(self) -> None:
        """Accept connections again."""
        await self._listener.open()

    async def stop(self, grace_s: float = 0.0) -> None:
        """Stop listening; after `grace_s` seconds break what is still being answered. It is billed as cancelled."""
        await self._simulator.control.close()  # first: what it planned may open the port again
        await self._listener.drain(grace_s)
        self._simulator.stopping.set()
        await self._listener.close()
        await self._simulator.close()


async def start(settings: SimulatorSettings, bill_file: Path | None = None) -> SimulatorServer:
    """Listen on `settings.port` (0: any free one) in the running event loop; `settings.enabled` is not asked.

    The tokenizer is loaded in the background: the port answers before. Raises OSError (port taken, bill file not
    writable) and TokenizerMissing.
    """
    tokenizer.vocabulary_file()
    simulator = Simulator(settings, Bill(bill_file))
    listener = Listener(simulator, settings.host, settings.port)
    simulator.control.listener = listener
    try:
        await listener.open()
    except OSError:
        await simulator.close()
        raise
    return SimulatorServer(simulator, listener, settings.host)


def run(settings: SimulatorSettings, bill_file: Path | None = None, *, while_stdin: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, on an event loop of its own. Raises as `start()` does.

    `while_stdin` also ends it when its standard input ends: a pipe held by a parent closes with the parent's death.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, bill_file, while_stdin=while_stdin))


async def _serve(settings: SimulatorSettings, bill_file: Path | None, *, while_stdin: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if while_stdin:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end_of_input, stopping)
    server = await start(settings, bill_file)
    print(f"Simulated provider on {server.url}/v1 (seed {settings.seed}, speed {settings.speed:g})", flush=True)
    await stopping.wait()
    await server.stop(_GRACE_S)


def _stop_at_end_of_input(stopping: asyncio.Event) -> None:
    """Readable input is read away; at its end there is nothing left to wait for."""
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stopping.set()
