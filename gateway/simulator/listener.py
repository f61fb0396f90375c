"""The listening socket: opened, closed for a while and opened again on the same port, while the process lives on."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from gateway.lean.uvicorn import Config, HttpToolsProtocol, ServerState
from gateway.simulator.conversation import TRANSPORT, reset_transport

_KEEPALIVE_S = 75
_BACKLOG = 2048


class Listener:
    """uvicorn's HTTP protocol on a socket of our own: its own server takes over signals and cannot listen again."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        self.reset_next = 0
        """So many of the next connections are reset as soon as they are accepted."""
        self._config = Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=_KEEPALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._state.default_headers = [(b"server", b"farebox-simulator")]
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._address = (host, port)

    @property
    def port(self) -> int:
        """The port, also while refusing."""
        return self._address[1]

    async def open(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self._server is not None:
            return
        held, self._held = self._held or self._bind(), None
        self._address = (self._address[0], held.getsockname()[1])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=held, backlog=_BACKLOG)

    async def refuse(self) -> None:
        """Refuse new connections and close idle ones; answers in progress are finished. The port stays ours."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._state.connections):
            connection.shutdown()
        for attempt in range(100):
            try:
                self._held = self._bind()  # bound but not listening: connects are refused, and nobody takes the port
            except OSError:
                if attempt == 99:
                    raise
                await asyncio.sleep(0.001)  # the event loop has yet to close the old socket
            else:
                return

    async def drain(self, grace_s: float) -> None:
        """Stop listening for good, close idle connections and give answers in progress `grace_s` seconds."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._held is not None:
            self._held.close()
            self._held = None
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks and grace_s > 0:
            await asyncio.wait(list(self._state.tasks), timeout=grace_s)

    async def close(self) -> None:
        """After `drain()`: break what is still open. Returns when the last answer is billed."""
        for connection in list(self._state.connections):
            connection.transport.abort()
        while self._state.tasks:
            await asyncio.wait(list(self._state.tasks))
        while self._state.connections:  # noqa: ASYNC110 - uvicorn's set has no event; the loop has yet to tell the protocols
            await asyncio.sleep(0)

    def _bind(self) -> socket.socket:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        return bound

    def _protocol(self) -> _Protocol:
        return _Protocol(self, self._config, self._state)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, showing the application its transport."""

    def __init__(self, listener: Listener, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.access_log = False
        self._listener = listener

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self._listener.reset_next > 0:
            self._listener.reset_next -= 1
            reset_transport(transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]  # an extension of ours
