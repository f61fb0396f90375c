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
from typing import Any

from benchmarks.answering import Answer
from benchmarks.answers import PATH
from benchmarks.burst_plan import FIRST_TOKEN_S, LINGER_S, MAX_TOKENS, TOKENS_PER_S, Call
from benchmarks.servers import accepts

MODEL = "sim-small"
_REFUSALS = ("budget_exceeded", "budget_reserved")
_LEFT_ALONE = ("breakers_open", "parked")
_TOKEN = b'"content":"'
_KEPT_BYTES, _LARGEST_BYTES = 4_096, 1_048_576
"""Of a stream, and of a whole answer."""
_HEADERS = {b"x-request-id": "request_id"}
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
    pause_s: float = 0.0
    """What the provider's 429s ask for; unscaled."""
    seen: list[Seen] = field(default_factory=list)
    _waiting: dict[int, asyncio.Lock] = field(default_factory=dict)
    """For a gateway to be started again, by port."""

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
                transport, _ = await loop.create_connection(lambda: exchange.answer, "127.0.0.1", port)  # noqa: B023 -- called at once
            except OSError:  # the gateway is being started again: nothing was asked of it yet
                await self._until_it_serves(port)
                continue
            break
        leaving: asyncio.TimerHandle | None = None
        if call.leaves_at is not None and not call.stream:  # it cannot count what it does not see
            leaves_s = FIRST_TOKEN_S + call.leaves_at / TOKENS_PER_S
            leaving = loop.call_later(leaves_s * self.time_scale, exchange.leave)
        transport.write(self._message(call, port))
        await exchange.answer.done
        if leaving is not None:
            leaving.cancel()
        transport.abort()
        exchange.ended()
        return seen

    async def _until_it_serves(self, port: int) -> None:
        """One client asks for all: two hundred would keep a gateway from starting."""
        async with self._waiting.setdefault(port, asyncio.Lock()):
            while not accepts(port):  # noqa: ASYNC110 -- nobody tells when another process listens
                await asyncio.sleep(_RECONNECT_S)

    def _message(self, call: Call, port: int) -> bytes:
        fault = fault_of(call, self.time_scale) if call.status is None else error_of(call.status, self.pause_s)
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


def error_of(status: int, pause_s: float) -> str:
    """What makes the simulator refuse a call."""
    return f"{status};retry_after={pause_s:g}" if status == 429 else str(status)


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


class _Exchange:
    """One call on its way: what of its answer arrives, and whether its client leaves."""

    def __init__(self, seen: Seen, done: asyncio.Future[None]) -> None:
        self._seen = seen
        kept_bytes = _KEPT_BYTES if seen.call.stream else _LARGEST_BYTES
        self.answer = Answer(done, _HEADERS, kept_bytes, self._arrived if seen.call.stream else None)
        self._left = False

    def leave(self) -> None:
        """The client has changed its mind."""
        if not self.answer.done.done():
            self._left = True
            self.answer.end()

    def _arrived(self, body: bytes) -> None:
        seen = self._seen
        if self.answer.status == 200:
            seen.tokens += body.count(_TOKEN)
            if seen.call.leaves_at is not None and seen.tokens > seen.call.leaves_at:
                self.leave()

    def ended(self) -> None:
        """Write down what became of it."""
        seen, answer = self._seen, self.answer
        seen.ended_s = time.time()
        seen.request_id = answer.headers["request_id"]
        if self._left:
            seen.outcome = "left"
        elif answer.is_whole:
            seen.status = answer.status
            seen.outcome = self._answered() if answer.status == 200 else self._refused()

    def _answered(self) -> str:
        seen, answer = self._seen, self.answer
        if not seen.call.stream:
            seen.tokens = int(json.loads(answer.body)["usage"]["completion_tokens"])
        elif not answer.is_streamed_whole:
            return "failed"
        return "short" if b'"finish_reason":"length"' in answer.body else "ok"

    def _refused(self) -> str:
        seen = self._seen
        try:
            error = json.loads(self.answer.body)["error"]
        except (ValueError, KeyError, TypeError):
            error = {}
        metadata = error.get("metadata") or {}
        seen.reason, seen.scope = str(metadata.get("reason") or error.get("code")), str(metadata.get("scope", ""))
        if seen.reason in _REFUSALS:
            return "refused"
        return "error" if seen.call.status is not None and seen.reason not in _LEFT_ALONE else "failed"
