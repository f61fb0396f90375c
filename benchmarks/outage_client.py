"""Clients at a constant rate, whatever becomes of the answers: a connection for each request, and none again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.answering import Answer
from benchmarks.answers import PATH
from benchmarks.servers import KEY

GIVES_UP_S = 30.0
_HEADERS = {b"x-request-id": "request_id", b"x-farebox-deployment": "deployment"}


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
    answer = Answer(loop.create_future(), _HEADERS)
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
        _judge(shot, answer)
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


def _judge(shot: Shot, answer: Answer) -> None:
    """Write down what became of it."""
    shot.first_byte_s = answer.first_byte_s
    shot.request_id, shot.deployment = answer.headers["request_id"], answer.headers["deployment"]
    if not answer.is_whole:
        return
    shot.status = answer.status
    if shot.stream and shot.status == 200:
        shot.complete = answer.is_streamed_whole
        shot.told = b'"error"' in answer.body
    else:
        shot.complete = shot.status == 200 and b'"choices"' in answer.body
        shot.told = shot.status >= 400
