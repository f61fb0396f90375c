"""The gateway as a child process: started by the command that people use, and always ended."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from gateway.demo.probe import get_json

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 10.0
"""More than `server.drain_s` of the demo's configuration."""
_LOG_LINES = 15


class GatewayFailed(Exception):
    """The gateway did not start, or ended by itself. The message has the end of its log."""


def free_ports(count: int) -> list[int]:
    """So many different ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class GatewayProcess:
    """`farebox serve` with a configuration of its own. An async context manager: leaving it ends the process."""

    def __init__(self, config: Path, port: int, log: Path, secrets: Mapping[str, str]) -> None:
        self._config = config
        self._port = port
        self._log = log
        self._secrets = secrets
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.cli", "serve", "--config", str(self._config), "--port", str(self._port),
                env={**os.environ, **self._secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo; it ends the gateway after the agents
            )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def wait_until_ready(self, *urls: str) -> None:
        """Wait until all `urls` answer. Raises GatewayFailed."""
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
        for url in urls:
            while not await _answers(url):
                if self._child.returncode is not None:
                    raise GatewayFailed(f"the gateway ended at once. Its last words:\n{self.last_words()}")
                if asyncio.get_running_loop().time() > deadline:
                    raise GatewayFailed(f"{url} does not answer. The gateway's last words:\n{self.last_words()}")
                await asyncio.sleep(0.05)

    async def wait(self) -> int:
        """Wait for its end; the exit status."""
        return await self._child.wait()

    async def stop(self) -> None:
        """End it: politely first, so that it writes down what is left to write."""
        process = self._child
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
            except TimeoutError:
                pass  # it had its time
            finally:  # also when a second Ctrl-C interrupts the wait
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def last_words(self) -> str:
        """The end of its output."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])

    @property
    def _child(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "entered first"  # noqa: S101 -- guards a programming error
        return self._process


async def _answers(url: str) -> bool:
    try:
        await get_json(url)
    except OSError:
        return False
    return True
