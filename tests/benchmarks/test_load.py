"""The load is what it says: so many requests, all answered, by either generator."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator

import pytest

from benchmarks.answers import plain_answer, request_body, stream_events
from benchmarks.load import Load, LoadError, generator_name, run
from benchmarks.servers import free_port

GENERATORS = [
    "own",
    pytest.param("wrk", marks=pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")),
]


class Counting(asyncio.Protocol):
    """Counts requests and answers each; the status is the server's."""

    def __init__(self, server: Counter) -> None:
        self._server = server
        self._body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if not self._body_left:
            head, _, body = data.partition(b"\r\n\r\n")
            assert b"authorization: bearer fb-key" in head.lower()
            self._body_left = len(self._server.body) - len(body)
        else:
            self._body_left -= len(data)
        if not self._body_left:
            self._server.requests += 1
            status = self._server.status(self._server.requests)
            self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)


class Counter:
    """A server in a thread: the generator is a child process that we wait for."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.requests = 0
        self.fails_at = 0
        self.open: set[asyncio.Transport] = set()
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def status(self, number: int) -> int:
        return 500 if number == self.fails_at else 200

    def __enter__(self) -> Counter:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: Counting(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for transport in tuple(self.open):
            transport.abort()
        await server.wait_closed()


@pytest.fixture
def server() -> Iterator[Counter]:
    with Counter(request_body("bench", stream=False)) as counter:
        yield counter


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(("connections", "requests"), [(1, 7), (5, 93), (16, 3)])
def test_exactly_so_many_requests(server: Counter, generator: str, connections: int, requests: int) -> None:
    result = run(Load(server.port, server.body, "fb-key", connections, requests), generator)
    assert server.requests == requests
    assert result.seconds > 0
    assert 0 < result.p50_us <= result.p99_us


@pytest.mark.parametrize("generator", GENERATORS)
def test_an_error_fails_the_round(server: Counter, generator: str) -> None:
    server.fails_at = 5
    with pytest.raises(LoadError):
        run(Load(server.port, server.body, "fb-key", 2, 20), generator)


@pytest.mark.parametrize("generator", GENERATORS)
def test_nobody_there_fails_the_round(generator: str) -> None:
    with pytest.raises(LoadError):
        run(Load(free_port(), b"{}", "fb-key", 2, 20), generator)


def test_own_generator_where_wrk_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert generator_name() == "own"
    assert generator_name("wrk") == "wrk"


def test_answers_have_the_size_that_the_documents_say() -> None:
    assert 1_300 < len(plain_answer()) < 1_500
    assert 1_300 < len(request_body("bench", stream=False)) < 1_500
    events = stream_events(100)
    assert len(events) == 100
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
