"""Addresses side by side: a dead one does not hold up a live one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.upstream import dial as dial_module
from gateway.upstream.dial import dial

LOOPS = ("asyncio",)
V4, V6 = socket.AF_INET, socket.AF_INET6


class Resolver:
    """Stands in for DNS: the loop's `getaddrinfo` gives what the test wants."""

    def __init__(self, *addresses: tuple[socket.AddressFamily, tuple[Any, ...]]) -> None:
        self.addresses = addresses

    async def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in self.addresses]


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Bound, so that nobody else can listen there, and refusing."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield int(made.getsockname()[1])


@pytest.fixture
def full() -> Any:
    """A listener whose queue is full: connecting to it hangs."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(made.getsockname())
        yield made.getsockname()
        for filler in fillers:
            filler.close()


async def test_a_refusing_address_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, dead_port: int
) -> None:
    loop = asyncio.get_running_loop()
    resolver = Resolver((V4, ("127.0.0.1", dead_port)), (V4, listener.getsockname()))
    monkeypatch.setattr(loop, "getaddrinfo", resolver)
    with await dial(loop, "models.example", 80) as sock:
        assert sock.getpeername() == listener.getsockname()


async def test_a_silent_address_is_overtaken(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, full: tuple[str, int]
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", Resolver((V4, full), (V4, listener.getsockname())))
    monkeypatch.setattr(dial_module, "_HEAD_START_S", 0.001)
    with await dial(loop, "models.example", 80) as sock:
        assert sock.getpeername() == listener.getsockname()


async def test_all_refuse(monkeypatch: pytest.MonkeyPatch, dead_port: int) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", Resolver(*[(V4, ("127.0.0.1", dead_port))] * 3))
    with pytest.raises(ConnectionRefusedError):
        await dial(loop, "models.example", 80)


async def test_no_address_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", Resolver())
    with pytest.raises(OSError, match="no address"):
        await dial(loop, "models.example", 80)


async def test_given_up_while_racing_leaves_no_socket(monkeypatch: pytest.MonkeyPatch, full: tuple[str, int]) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", Resolver((V4, full), (V4, full)))
    monkeypatch.setattr(dial_module, "_HEAD_START_S", 0.001)
    task = asyncio.create_task(dial(loop, "models.example", 80))
    while len(asyncio.all_tasks()) < 4:  # ours, the dialling one and one for each address
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.001)


def test_families_take_turns() -> None:
    four, six = [(V4, (n,)) for n in range(3)], [(V6, (n,)) for n in range(2)]
    assert dial_module._interleave([*six, *four]) == [six[0], four[0], six[1], four[1], four[2]]
    assert dial_module._interleave([*four]) == four
