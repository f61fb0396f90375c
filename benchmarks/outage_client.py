"""Clients at a constant rate, whatever becomes of the answers: a connection for each request, and none again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import httptools

from benchmarks.answers import PATH
from benchmarks.servers import KEY

GIVES_UP_S = 30.0
_KEPT_BYTES = 65_536
_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Shot:
    """One request, and what became of it. Times are Unix seconds."""

    due_s: float
    """When it was to be sent: latencies count from here, so that what waits for a busy client is not left out."""
    model: str
    stream: bool
    first_byte_s: float | None = None
    ended_s: float = 0.0
    status: int = 0
    complete: bool = False
    told: bool = False
    """An answer that broke said so: an error event in the stream, or an error status."""
    deployment: str = ""
    request_id: str = ""

    @property
    def latency_s(self) -> float | None:
        """To the first byte of a stream, to the end of a whole answer; None when that did not come."""
        until_s = self.first_byte_s if self.stream else self.ended_s
        return None if until_s is None or not self.complete else until_s - self.due_s


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    requests_per_s: float
    seconds: float
    models: Sequence[str]
    """In turns; every second round of them is streamed."""


async def fire(port: int, load: Load, on_second: Callable[[float], None]) -> list[Shot]:
    """Send everything at its time; all shots, in the order in which they were due."""
    loop = asyncio.get_running_loop()
    began_s, began_loop_s = time.time(), loop.time()
    count = int(load.requests_per_s * load.seconds)
    shots, tasks = [], []
    told = 0
    for number in range(count):
        due_s = number / load.requests_per_s
        delay_s = began_loop_s + due_s - loop.time()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        model = load.models[number % len(load.models)]
        shot = Shot(began_s + due_s, model, stream=number // len(load.models) % 2 == 1)
        shots.append(shot)
        tasks.append(asyncio.create_task(_shoot(port, shot, number)))
        if due_s >= told + 1:
            told = int(due_s)
            on_second(told)
    await asyncio.gather(*tasks)
    on_second(load.seconds)
    return shots


async def _shoot(port: int, shot: Shot, number: int) -> None:
    loop = asyncio.get_running_loop()
    answer = _Answer(shot, loop.create_future())
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(GIVES_UP_S):
            transport, _ = await loop.create_connection(lambda: answer, "127.0.0.1", port)
            transport.write(_message(port, shot, number))
            await answer.done
    except (OSError, TimeoutError):
        pass  # it is not complete
    finally:
        shot.ended_s = time.time()
        if transport is not None:
            transport.abort()


def _message(port: int, shot: Shot, number: int) -> bytes:
    body = json.dumps(
        {
            "model": shot.model,
            "messages": [{"role": "user", "content": f"How long does trip {number} take, and what does it cost?"}],
            "max_tokens": 200,
            "stream": shot.stream,
        }
    ).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Answer(asyncio.Protocol):
    """Reads one answer. `done` is resolved at its end, whatever that is."""

    def __init__(self, shot: Shot, done: asyncio.Future[None]) -> None:
        self._shot = shot
        self.done = done
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"x-request-id":
            self._shot.request_id = value.decode()
        elif name == b"x-farebox-deployment":
            self._shot.deployment = value.decode()

    def on_body(self, body: bytes) -> None:
        if self._shot.first_byte_s is None:
            self._shot.first_byte_s = time.time()
        self._body = (self._body + body)[-_KEPT_BYTES:]

    def on_message_complete(self) -> None:
        shot = self._shot
        shot.status = self._parser.get_status_code()
        if shot.stream and shot.status == 200:
            shot.complete = self._body.endswith(_DONE)
            shot.told = b'"error"' in self._body
        else:
            shot.complete = shot.status == 200 and b'"choices"' in self._body
            shot.told = shot.status >= 400
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
