"""Opening a TCP connection to a name: resolve, then try its addresses side by side (RFC 8305, "happy eyeballs").

uvloop's `create_connection` tries them one by one, so a dead IPv6 route would eat the whole connect time-out.
"""

from __future__ import annotations

import asyncio
import socket
from itertools import chain, zip_longest
from typing import Any

_HEAD_START_S = 0.25
"""How long an address is alone before the next one joins (RFC 8305, section 5)."""
_KEEPALIVE_IDLE_S = 60
"""A model may think for minutes without a byte; NATs and load balancers forget silent connections after about five."""

_Address = tuple[socket.AddressFamily, Any]
"""A family and a socket address in the form that the family has."""


async def dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError (gaierror when the name does not resolve)."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = _interleave([(family, address) for family, _, _, _, address in found])
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    return await _race(loop, addresses)


def _interleave(addresses: list[_Address]) -> list[_Address]:
    """Alternate the families, beginning with the one that the resolver put first."""
    if not addresses:
        raise OSError("the name has no address")
    first = [entry for entry in addresses if entry[0] == addresses[0][0]]
    second = [entry for entry in addresses if entry[0] != addresses[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, second)) if entry is not None]


async def _race(loop: asyncio.AbstractEventLoop, addresses: list[_Address]) -> socket.socket:
    """The first socket that connects; a failure starts the next address at once. Raises the first failure."""
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    winner: socket.socket | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(loop.create_task(_connect(loop, waiting.pop())))
            done, running = await asyncio.wait(
                running, timeout=_HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None and winner is None:
                    winner = task.result()
                elif error is None:
                    task.result().close()
                elif isinstance(error, OSError):
                    failures.append(error)
                else:
                    raise error
    finally:
        for task in running:
            task.add_done_callback(_close_late_winner)
            task.cancel()
    if winner is None:
        raise failures[0]
    return winner


def _close_late_winner(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, socket_address = address
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):  # absent on some systems, whose own default then holds
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        await loop.sock_connect(sock, socket_address)
    except BaseException:  # cancellation too: a socket that nobody will own must not leak
        sock.close()
        raise
    return sock
