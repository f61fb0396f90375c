"""Our own load generator, for machines without wrk: a fixed number of requests, each answered before it ends.

    python -m benchmarks.generator --port 9000 --body FILE --key KEY --connections 16 --requests 10000

Prints one JSON object: requests, errors, seconds, p50_us, p99_us.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import httptools
import uvloop

from benchmarks.answers import PATH


class Work:
    """What is left to send, and what came back."""

    def __init__(self, message: bytes, requests: int) -> None:
        self.message = message
        self.left = requests
        self.latencies_us: list[float] = []
        self.failure: str | None = None
        self._wanted = requests
        self.done = asyncio.get_running_loop().create_future()

    def answered(self, latency_us: float) -> None:
        """Count an answer; the last one ends the run."""
        self.latencies_us.append(latency_us)
        if len(self.latencies_us) == self._wanted:
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        """End the run: figures with errors in them mean nothing."""
        if not self.done.done():
            self.failure = reason
            self.done.set_result(None)


class Client(asyncio.Protocol):
    """One connection: sends its next request when it has its answer."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._parser = httptools.HttpResponseParser(self)
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls `on_message_complete`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._work.fail(f"no HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that closes a connection spoils the figures."""
        self._work.fail(f"the server closed the connection ({exc})")

    def on_message_complete(self) -> None:
        """An answer is whole."""
        latency_us = (time.perf_counter() - self._sent_s) * 1e6
        status = self._parser.get_status_code()
        if status != 200:
            self._work.fail(f"status {status}")
            return
        self._work.answered(latency_us)
        self._send()

    def _send(self) -> None:
        if self._work.left:
            self._work.left -= 1
            self._sent_s = time.perf_counter()
            self._transport.write(self._work.message)


async def run(port: int, message: bytes, connections: int, requests: int) -> dict[str, float]:
    """Send all requests and return the report. Raises RuntimeError when one fails."""
    work = Work(message, requests)
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    transports = [
        (await loop.create_connection(lambda: Client(work), "127.0.0.1", port))[0]
        for _ in range(min(connections, requests))
    ]
    await work.done
    seconds = time.perf_counter() - began_s
    for transport in transports:
        transport.abort()
    if work.failure is not None:
        raise RuntimeError(work.failure)
    ranked = sorted(work.latencies_us)
    return {
        "requests": requests,
        "errors": 0,
        "seconds": seconds,
        "p50_us": ranked[len(ranked) // 2],
        "p99_us": ranked[len(ranked) * 99 // 100],
    }


def main() -> None:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True, help="file with the request's body")
    parser.add_argument("--key", required=True)
    parser.add_argument("--path", default=PATH)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    arguments = parser.parse_args()
    body = arguments.body.read_bytes()
    head = (
        f"POST {arguments.path} HTTP/1.1\r\nHost: 127.0.0.1:{arguments.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {arguments.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        report = uvloop.run(run(arguments.port, head.encode() + body, arguments.connections, arguments.requests))
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
