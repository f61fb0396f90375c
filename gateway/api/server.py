"""The listeners: uvicorn servers with our limits, whose signals and shutdown the application commands itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from gateway.api.asgi import AsgiApp
from gateway.api.connection import close_slow, connection_class
from gateway.config.snapshot import ServerSettings
from gateway.lean.uvicorn import Config, Server

BACKLOG = 2048
SWEEP_S = 1.0
CANCEL_S = 2.0
"""How long answers that were cut at the end of a drain have to tell their clients."""


class _CommandedServer(Server):
    """A uvicorn server that leaves signals to the application."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Listener:
    """One address that the gateway serves on."""

    def __init__(self, app: AsgiApp, settings: ServerSettings, *, host: str, port: int) -> None:
        """Bind at once: raises OSError when the address is taken. Port 0 picks a free one."""
        self._socket = _bind(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.scheme = "https" if settings.tls else "http"
        options: dict[str, Any] = {}
        if settings.tls is not None:
            options = {"ssl_certfile": settings.tls.certificate, "ssl_keyfile": settings.tls.key}
        self._server = _CommandedServer(
            Config(
                app,
                http=connection_class(settings),
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_keep_alive=settings.keepalive_s,  # type: ignore[arg-type]
                timeout_graceful_shutdown=settings.drain_s,  # type: ignore[arg-type]
                **options,
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def active(self) -> int:
        """Requests being served."""
        return len(self._server.server_state.tasks)

    async def start(self) -> None:
        """Serve; returns as soon as connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve([self._socket]), name="listener")
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(0)
        if self._serving.done():
            await self._serving
        self._sweeping = asyncio.create_task(self._sweep(), name="listener-sweep")

    def hurry(self) -> None:
        """Cut at once what `stop` is waiting for."""
        self._server.force_exit = True
        for task in self._server.server_state.tasks:
            task.cancel()

    async def stop(self) -> None:
        """Refuse new connections, let requests finish for `drain_s`, then cut what is left."""
        if self._serving is None:
            self._socket.close()
            return
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._server.should_exit = True
        await self._serving
        await self._tasks_end()
        for connection in list(self._server.server_state.connections):
            connection.transport.close()
        if self._server.server_state.tasks:  # clients that do not read: nothing may wait for them, their rows neither
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await self._tasks_end()

    async def _tasks_end(self) -> None:
        tasks = list(self._server.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            close_slow(self._server.server_state.connections, loop.time())


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)  # from here on clients wait instead of being refused
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
