"""A provider with one fixed answer: plain, or streamed with every event in a write of its own, at a steady pace.

    python -m benchmarks.upstream --port 9000 --events 100 --interval-ms 10

Streams are in the words of the API that is asked: chat, Messages or Responses.

nginx cannot pace the events of a stream, so this stands in for it there, and for plain answers where nginx is missing.
It does as little as a server can: what it cannot parse it does not get.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

from benchmarks.answers import PATH, plain_answer, stream_events
from benchmarks.tongues import MESSAGES_PATH, RESPONSES_PATH, messages_events, responses_events

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Answers:
    """The answers' bytes, made once."""

    def __init__(self, events: int, interval_s: float) -> None:
        body = plain_answer()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.plain = head.encode() + body
        self._chunks = {
            f"POST {path} ".encode(): _chunked(streamed(events))
            for path, streamed in (
                (PATH, stream_events),
                (MESSAGES_PATH, messages_events),
                (RESPONSES_PATH, responses_events),
            )
        }
        self.interval_s = interval_s
        self._streams = 0

    def chunks_for(self, head: bytes) -> list[bytes]:
        """The stream that a request's head asks for; chat where it is another path."""
        found = (chunks for line, chunks in self._chunks.items() if head.startswith(line))
        return next(found, self._chunks[f"POST {PATH} ".encode()])

    def lag_s(self) -> float:
        """How long a new stream waits for its first event: spread, so that streams don't beat in time."""
        self._streams += 1
        return self._streams * 0.618 % 1 * self.interval_s


def _chunked(events: list[bytes]) -> list[bytes]:
    chunks = [f"{len(event):x}\r\n".encode() + event + b"\r\n" for event in events]
    chunks[-1] += b"0\r\n\r\n"
    return chunks


class Connection(asyncio.Protocol):
    """One client: request after request, never pipelined."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: stop generating."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request once all of it is here."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._buffer = b""
        if b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(_HEAD)
            began_s = self._loop.time() + self._answers.lag_s()
            chunks = self._answers.chunks_for(head)
            self._timer = self._loop.call_at(began_s, self._write_next, chunks, 0, began_s)
        else:
            self._transport.write(self._answers.plain)

    def _write_next(self, chunks: list[bytes], index: int, began_s: float) -> None:
        self._transport.write(chunks[index])
        if index + 1 < len(chunks):
            due_s = began_s + (index + 1) * self._answers.interval_s
            self._timer = self._loop.call_at(due_s, self._write_next, chunks, index + 1, began_s)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve(port: int, answers: Answers) -> None:
    """Listen on loopback until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--events", type=int, default=100, help="SSE events in a streamed answer, [DONE] included")
    parser.add_argument("--interval-ms", type=float, default=10.0, help="pause between two events")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, Answers(arguments.events, arguments.interval_ms / 1000)))


if __name__ == "__main__":
    main()
