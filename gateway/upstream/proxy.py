"""The CONNECT handshake: asking an HTTP proxy for a tunnel to an https upstream (RFC 9110, 9.3.6)."""

from __future__ import annotations

import asyncio
import re
from typing import cast

from gateway.config.proxies import Proxy
from gateway.upstream.transport import Unreachable

_MAX_HEAD_BYTES = 16_384
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")


class TunnelHandshake(asyncio.Protocol):
    """Owns a connection to the proxy until the tunnel stands; TLS to the upstream then takes it over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, origin: str) -> None:
        self._proxy = proxy
        self._origin = origin
        self._head = b""
        self._established: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the tunnel."""
        lines = [f"CONNECT {self._origin} HTTP/1.1\r\nHost: {self._origin}\r\n".encode()]
        if self._proxy.authorization is not None:
            lines.append(b"Proxy-Authorization: %b\r\n" % self._proxy.authorization)
        cast("asyncio.Transport", transport).write(b"".join((*lines, b"\r\n")))

    async def established(self) -> None:
        """Wait for the proxy's consent. Raises Unreachable, with the proxy's status if it refused."""
        await self._established

    def data_received(self, data: bytes) -> None:
        """Collect the proxy's answer."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > _MAX_HEAD_BYTES:
                self._fail("its answer to CONNECT is too long")
            return
        status = _STATUS_LINE.match(self._head)
        if status is None:
            self._fail("its answer to CONNECT is no HTTP")
        elif not status[1].startswith(b"2"):
            self._fail(f"it refused the tunnel with status {status[1].decode()}")
        elif len(self._head) > end + 4:
            # The upstream speaks second in TLS: bytes before ours can only be the proxy's.
            self._fail("it sent data before the tunnel was used")
        elif not self._established.done():
            self._established.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy hung up."""
        self._fail("it closed the connection during CONNECT")

    def _fail(self, problem: str) -> None:
        if not self._established.done():
            where = f"{self._proxy.host}:{self._proxy.port}"
            self._established.set_exception(Unreachable(f"proxy {where} for {self._origin}: {problem}", sent=False))
            # Whoever waited may have been cancelled; then nobody will fetch the exception.
            self._established.exception()
