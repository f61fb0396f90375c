"""The clients of the burst: as lean as they can be, so that what is measured is not they.

Each makes its calls one after the other, never again after a failure, and writes down what it saw. A client whose call
was refused stops, as agent SDKs do on a 402; with `goes_on` it makes its next call instead.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httptools

from benchmarks.answers import PATH
from benchmarks.burst_plan import FIRST_TOKEN_S, LINGER_S, MAX_TOKENS, TOKENS_PER_S, Call

MODEL = "sim-small"
_REFUSALS = ("budget_exceeded", "budget_reserved")
_TOKEN = b'"content":"'
_KEPT_BYTES = 4_096
_RECONNECT_S = 0.05


@dataclass(slots=True)
class Seen:
    """What became of one call, as its client saw it."""

    call: Call
    gateway: int
    sent_s: float
    """Unix time, as all others."""
    ended_s: float = 0.0
    outcome: str = "broken"
    """`ok`, `short` (ended for length below its true one), `refused`, `left` (by the client itself), `error` (from the
    provider), `failed` (anything else), `broken` (the connection was)."""
    status: int = 0
    reason: str = ""
    """Of a refusal: `budget_exceeded` or `budget_reserved`; of a failure, the error's code."""
    scope: str = ""
    """Of a refusal."""
    request_id: str = ""
    tokens: int = 0
    """Of the answer that arrived."""


@dataclass(slots=True)
class Fleet:
    """All clients, and where they call."""

    ports: Sequence[int]
    """Of the gateways; clients take them in turns."""
    key_of: Callable[[str], str]
    time_scale: float
    goes_on: bool
    on_end: Callable[[Seen], None]
    seen: list[Seen] = field(default_factory=list)

    async def run(self, clients: Sequence[Sequence[Call]], ramp_s: float) -> None:
        """Let all clients make their calls; the first calls are spread over `ramp_s`."""
        count = max(1, len(clients))
        await asyncio.gather(*(self._client(calls, ramp_s * index / count) for index, calls in enumerate(clients)))

    async def _client(self, calls: Sequence[Call], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        for call in calls:
            seen = await self._call(call)
            self.seen.append(seen)
            self.on_end(seen)
            if seen.outcome == "refused" and not self.goes_on:
                return
            if seen.outcome == "broken":  # all at once, they would keep the provider from its pace
                await asyncio.sleep(delay_s)

    async def _call(self, call: Call) -> Seen:
        loop = asyncio.get_running_loop()
        gateway = call.client % len(self.ports)
        port = self.ports[gateway]
        while True:
            seen = Seen(call, gateway, time.time())
            exchange = _Exchange(seen, loop.create_future())
            try:
                transport, _ = await loop.create_connection(lambda: exchange, "127.0.0.1", port)  # noqa: B023 -- called at once
            except OSError:  # the gateway is being started again: nothing was asked of it yet
                await asyncio.sleep(_RECONNECT_S)
                continue
            break
        leaving: asyncio.TimerHandle | None = None
        if call.leaves_at is not None and not call.stream:  # it cannot count what it does not see
            leaves_s = FIRST_TOKEN_S + call.leaves_at / TOKENS_PER_S
            leaving = loop.call_later(leaves_s * self.time_scale, exchange.leave)
        transport.write(self._message(call, port))
        await exchange.done
        if leaving is not None:
            leaving.cancel()
        transport.abort()
        seen.ended_s = time.time()
        return seen

    def _message(self, call: Call, port: int) -> bytes:
        fault = fault_of(call, self.time_scale) if call.status is None else str(call.status)
        body = request_body(call)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.key_of(call.agent)}\r\nx-sim-fault: {fault}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def fault_of(call: Call, time_scale: float) -> str:
    """What makes the simulator give the call's true answer at its true pace; at no pace with `time_scale` 0."""
    first_ms, token_ms = FIRST_TOKEN_S * 1000 * time_scale, 1000 / TOKENS_PER_S * time_scale
    pace = f"slow;first_ms={first_ms:g};token_ms={token_ms:g},linger;ms={LINGER_S * 1000 * time_scale:g}"
    return f"length;tokens={call.tokens},single,{pace}"


def request_body(call: Call) -> bytes:
    """The body of a call: always the same generous bound on its answer."""
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": call.prompt}],
        "max_tokens": MAX_TOKENS,
    }
    if call.stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


class _Exchange(asyncio.Protocol):
    """One request on a connection of its own. `done` is resolved at its end, whatever that is."""

    def __init__(self, seen: Seen, done: asyncio.Future[None]) -> None:
        self._seen = seen
        self.done = done
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("broken")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("broken")

    def leave(self) -> None:
        """The client has changed its mind."""
        self._end("left")
        self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"x-request-id":
            self._seen.request_id = value.decode()

    def on_body(self, body: bytes) -> None:
        seen = self._seen
        if seen.call.stream and self._parser.get_status_code() == 200:
            seen.tokens += body.count(_TOKEN)
            self._body = (self._body + body)[-_KEPT_BYTES:]
            if seen.call.leaves_at is not None and seen.tokens > seen.call.leaves_at:
                self.leave()
        else:
            self._body += body

    def on_message_complete(self) -> None:
        seen = self._seen
        seen.status = self._parser.get_status_code()
        if seen.status == 200:
            self._answered()
        else:
            self._refused()

    def _answered(self) -> None:
        seen = self._seen
        if not seen.call.stream:
            answer = json.loads(self._body)
            seen.tokens = int(answer["usage"]["completion_tokens"])
        elif b"data: [DONE]" not in self._body:
            self._end("failed")
            return
        shortened = b'"finish_reason":"length"' in self._body
        self._end("short" if shortened else "ok")

    def _refused(self) -> None:
        seen = self._seen
        try:
            error = json.loads(self._body)["error"]
        except (ValueError, KeyError, TypeError):
            error = {}
        metadata = error.get("metadata") or {}
        seen.reason, seen.scope = str(metadata.get("reason") or error.get("code")), str(metadata.get("scope", ""))
        if seen.reason in _REFUSALS:
            self._end("refused")
        else:
            self._end("error" if seen.call.status is not None else "failed")

    def _end(self, outcome: str) -> None:
        if not self.done.done():
            self._seen.outcome = outcome
            self.done.set_result(None)
