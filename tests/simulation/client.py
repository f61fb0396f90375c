"""Simulated clients: they ask, some stream, some read slowly, some leave; each keeps what it was told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from gateway.context import RequestContext
from gateway.errors import FareboxError
from gateway.reply import Headers

_MARK = re.compile(rb"\bc(\d+)\.(\d+)\b")
"""A token of a simulated answer: the call's number, and the token's or event's in it."""


class ClientError(AssertionError):
    """The gateway said something to a client that no answer may hold."""


class SimClient:
    """Implements `gateway.reply.Reply` and `IncomingCall` for one request."""

    def __init__(self, number: int, headers: Headers, body: bytes, *, stream: bool, slow_s: float) -> None:
        """`slow_s`: how long it takes to read one piece of a stream; 0 for no time at all."""
        self.number = number
        self.api = "chat"
        self.headers = headers
        self.stream = stream
        self.started = False
        self.gone = False
        """It left before its answer was whole."""
        self.began_s = asyncio.get_running_loop().time()
        self.timeout_s: float | None = None
        """What it allows."""
        self.cancelled = False
        """The server gave its request up."""
        self.ending = ""
        """`whole`, `finished`, `error <status> <code>`, `broken <code>` (an error inside the stream); empty before."""
        self.status = 0
        self.calls: set[int] = set()
        """The provider's calls whose tokens it saw."""
        self.first_byte_s: float | None = None
        self.ended_s: float | None = None
        self.error_shown: FareboxError | None = None
        self.request_id = ""
        self.on_start: Callable[[str], None] = lambda _: None
        """Hears the request's id once an answer has begun."""
        self._body = body
        self.slow_s = slow_s
        self._loop = asyncio.get_running_loop()
        self._seen: list[bytes] = []
        self._callback: Callable[[], None] | None = None
        self._reads_until_s = 0.0

    # --- the request ---

    @property
    def query(self) -> bytes:
        """None."""
        return b""

    @property
    def client(self) -> str:
        """Its address."""
        return "192.0.2.1"

    async def body(self, max_bytes: int) -> bytes:
        """Its request."""
        return self._body

    # --- the reply ---

    @property
    def blocked(self) -> bool:
        """Whether a piece is still being read."""
        return self._loop.time() < self._reads_until_s

    def asked(self, context: RequestContext) -> None:
        """It speaks OpenAI's wire."""

    def as_it_is(self) -> None:
        """So nothing is translated."""

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """As the protocol says."""
        self._callback = callback
        if callback is not None and self.gone:
            self._call()

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """A complete answer."""
        self._must_be_open()
        if self.started:
            raise ClientError("a whole answer inside of a stream")
        self._begin(status, headers)
        self._take(body)
        self._end("whole")

    async def start(self, status: int, headers: Headers) -> None:
        """A stream's head."""
        self._must_be_open()
        if self.started:
            raise ClientError("a second head")
        self._begin(status, headers)

    async def send(self, chunk: bytes) -> None:
        """A piece."""
        self._must_be_open()
        if not self.started:
            raise ClientError("a piece before the head")
        while self.blocked and not self.gone:
            await asyncio.sleep(self._reads_until_s - self._loop.time())
        self._take(chunk)
        self._reads_until_s = self._loop.time() + self.slow_s

    async def finish(self) -> None:
        """The stream's end."""
        self._must_be_open()
        if not self.started:
            raise ClientError("an end before the head")
        self._end("finished")

    async def error(self, error: FareboxError, request_id: str) -> None:
        """An error, in place of an answer or inside of the stream."""
        self._must_be_open()
        self.error_shown = error
        self.request_id = request_id
        word = "broken" if self.started else f"error {error.status}"
        self.status = self.status or error.status
        self._end(f"{word} {error.code}")

    # --- what it does by itself ---

    def leave(self) -> None:
        """Go, unless the answer is complete."""
        if not self.ending:
            self.gone = True
            self._call()

    def check(self) -> None:
        """What it saw is the beginning of one call's answer, in order. Raises ClientError."""
        expected: dict[int, int] = {}
        for call, index in _MARK.findall(b"".join(self._seen)):
            if int(index) != expected.get(int(call), 0):
                raise ClientError(f"token {index.decode()} of call {call.decode()} came out of order")
            expected[int(call)] = int(index) + 1
        self.calls = set(expected)
        if len(expected) > 1:
            raise ClientError(f"an answer made of several calls: {sorted(expected)}")

    def _begin(self, status: int, headers: Headers) -> None:
        self.started, self.status = True, status
        self.request_id = next(value for name, value in headers if name == b"x-request-id").decode()
        self.on_start(self.request_id)

    def _take(self, data: bytes) -> None:
        if self.first_byte_s is None:
            self.first_byte_s = self._loop.time()
        if not self.gone:
            self._seen.append(data)

    def _end(self, ending: str) -> None:
        self.ending = ending
        self.ended_s = self._loop.time()

    def _call(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def _must_be_open(self) -> None:
        if self.ending:
            raise ClientError(f"something more after its end ({self.ending})")
