"""What the upstream client costs alone: CPU of this process per request, against nginx with one fixed answer.

    python -m benchmarks.transport [--connections 16] [--requests 40000] [--rounds 3]

Compares, interleaved in one process: `bare` (a protocol that parses nothing: the event loop's own price), `pool` (ours)
and `aiohttp`. Needs nginx. docs/adr/0002-transport.md has the figures that it printed when the transport was built.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks.servers import fixed_upstream
from gateway.config.snapshot import Endpoint
from gateway.upstream.pool import Pool

_BODY = b'{"model":"fixed","messages":[{"role":"user","content":"' + b"hello " * 200 + b'"}]}'
_HEADERS = b"Content-Type: application/json\r\n"
_Worker = Callable[[int], Awaitable[None]]
"""Sends that many requests one after the other."""


class _Bare(asyncio.Protocol):
    """Writes a request and takes the first bytes that come for the answer."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


def _bare(port: int) -> _Worker:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n" % (_HEADERS, len(_BODY))

    async def work(requests: int) -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(_Bare, "127.0.0.1", port)
        for _ in range(requests):
            protocol.answered = loop.create_future()
            transport.write(head + _BODY)
            await protocol.answered
        transport.abort()

    return work


def _ours(pool: Pool, port: int) -> _Worker:
    endpoint = Endpoint("bench", f"http://127.0.0.1:{port}/v1", (("authorization", "Bearer none"),))

    async def work(requests: int) -> None:
        for _ in range(requests):
            response = await pool.start(endpoint, b"POST", b"/chat/completions", _HEADERS, _BODY).response()
            await response.read()

    return work


async def _measure(work: _Worker, connections: int, requests: int) -> float:
    """CPU microseconds per request, user and system."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(work(requests // connections) for _ in range(connections)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / requests * 1e6


async def _compare(port: int, connections: int, requests: int, rounds: int) -> dict[str, float]:
    import aiohttp

    pool = Pool()
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:

        async def aiohttp_work(requests: int) -> None:
            for _ in range(requests):
                async with session.post(url, data=_BODY, headers={"Content-Type": "application/json"}) as response:
                    await response.read()

        workers = {"bare": _bare(port), "pool": _ours(pool, port), "aiohttp": aiohttp_work}
        found: dict[str, list[float]] = {name: [] for name in workers}
        for work in workers.values():
            await _measure(work, connections, connections * 50)
        for _ in range(rounds):
            for name, work in workers.items():
                found[name].append(await _measure(work, connections, requests))
    await pool.close()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, fixed_upstream(Path(folder), with_nginx=True) as server:
        found = uvloop.run(_compare(server.plain_port, options.connections, options.requests, options.rounds))
    for name, cpu_us in found.items():
        print(f"{name:8} {cpu_us:6.1f} us CPU per request")


if __name__ == "__main__":
    main()
