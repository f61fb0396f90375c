"""Simulated providers behind the gateway's own `Transport`: they answer, fail and bill as their weather says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import NamedTuple

import msgspec

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.transport import Aborted, ConnectionBroken, TimedOut, TransportError, Unreachable
from routing.catalog import Deployment
from routing.money import NanoUsd, Price, Usage, cost
from tests.simulation.weather import Weather

_JSON = [(b"content-type", b"application/json")]
_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
_HTML = b"<html><body>The service is temporarily unavailable.</body></html>"
_REQUEST_ID = b"x-request-id: "
_STATUS_BODY = b'{"error":{"message":"Simulated.","type":"server_error","param":null,"code":null}}'
_SLOWER = 10


class _Options(msgspec.Struct):
    include_usage: bool = False


class Asked(msgspec.Struct):
    """What a provider reads of a request."""

    model: str
    messages: list[dict[str, str]]
    stream: bool = False
    max_tokens: int | None = None
    stream_options: _Options | None = None


_asked = msgspec.json.Decoder(Asked)


@dataclass(slots=True)
class Manner:
    """How one provider answers."""

    weather: Weather
    first_s: float
    """Median time to the first byte."""
    tokens_per_s: float
    tokens_per_event: int
    cancel_s: float
    """How long it goes on generating for a client that has left."""
    connect_s: float = 0.002


class Step(NamedTuple):
    """Something that arrives."""

    at_s: float
    what: int | bytes | TransportError | None
    """A status (with which the head has come), a piece of the body, its end (None), or its breaking."""


@dataclass(slots=True)
class Plan:
    """All that would come of a call if nobody interfered, and what it would cost."""

    steps: list[Step] = field(default_factory=list)
    sent_at_s: float | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    prompt_tokens: int = 0
    """Billed once the request is sent; 0 for what is not billed."""
    tokens: int = 0
    """Of the whole answer."""
    generates_from_s: float = 0.0
    tokens_per_s: float = 1.0
    stops_at_s: float = float("inf")
    """When it stops generating by itself."""
    fault: str = ""


class SimCall:
    """Implements `gateway.upstream.transport.Call` and `Response` at once."""

    def __init__(self, number: int, request_id: str, deployment: Deployment, plan: Plan, manner: Manner) -> None:
        self.number = number
        self.request_id = request_id
        self.deployment = deployment
        self.plan = plan
        self._manner = manner
        self._loop = asyncio.get_running_loop()
        self.began_s = self._loop.time()
        self.ended_s: float | None = None
        self.outcome = ""
        """How it ended for the gateway: `answered`, `aborted`, or the failure's class."""
        self.aborted_s: float | None = None
        self.hurried = False
        """Its client allowed less time than is configured."""
        self.answered_s: float | None = None
        """When its head came."""
        self.status = 0
        self.headers = plan.headers
        self.connection_reused = False
        self.unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._buffer: list[bytes] = []
        self._over = False
        self._failure: TransportError | None = None
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    # --- what the exchange sees ---

    @property
    def sent(self) -> bool:
        """Whether any byte was handed over."""
        at_s = self.plan.sent_at_s
        ended_s = self.ended_s if self.ended_s is not None else self._loop.time()
        return at_s is not None and at_s <= ended_s

    def arrived(self) -> int:
        """Bytes that nobody has looked at."""
        return sum(map(len, self._buffer))

    async def response(self) -> SimCall:
        """Wait for the head."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._wait()
        if isinstance(self._failure, Aborted):
            raise self._failure
        return self

    async def next_chunk(self) -> bytes:
        """The next bytes."""
        while True:
            if isinstance(self._failure, Aborted):
                raise self._failure
            if self._buffer:
                chunk = b"".join(self._buffer)
                self._buffer.clear()
                return chunk
            if self._failure is not None:
                raise self._failure
            if self._over:
                return b""
            await self._wait()

    async def read(self) -> bytes:
        """The whole body."""
        parts = []
        while chunk := await self.next_chunk():
            parts.append(chunk)
        return b"".join(parts)

    def abort(self) -> None:
        """Leave."""
        if self._over or self._failure is not None:
            return
        self.aborted_s = self._loop.time()
        sent = self.sent
        self.unread = self.arrived()
        self._fail(Aborted("the call was given up", sent=sent))

    # --- what the provider does ---

    def billed(self, now_s: float) -> NanoUsd:
        """What the provider bills for it by now."""
        price = self.deployment.price
        assert isinstance(price, Price)
        usage = self.generated(now_s)
        return NanoUsd(0) if usage is None else cost(usage, price.at(usage.input_tokens, now_s, "default"))

    def generated(self, now_s: float) -> Usage | None:
        """What it read and wrote by now; None when nothing is billed."""
        plan = self.plan
        if not plan.prompt_tokens or plan.sent_at_s is None:
            return None
        left_s = float("inf") if self.aborted_s is None else self.aborted_s
        if plan.sent_at_s > min(left_s, now_s):
            return None
        until_s = min(now_s, plan.stops_at_s, left_s + self._manner.cancel_s)
        if plan.tokens_per_s == float("inf"):
            made = plan.tokens
        else:
            made = int(max(0.0, until_s - plan.generates_from_s) * plan.tokens_per_s + 1e-6)
        return Usage(plan.prompt_tokens, min(plan.tokens, made))

    def _arm(self) -> None:
        if self._next < len(self.plan.steps):
            self._timer = self._loop.call_at(self.plan.steps[self._next].at_s, self._step)

    def _step(self) -> None:
        step = self.plan.steps[self._next]
        self._next += 1
        if isinstance(step.what, TransportError):
            self._fail(step.what)
            return
        if step.what is None:
            self._over, self.ended_s, self.outcome = True, self._loop.time(), "answered"
        elif isinstance(step.what, int):
            self.status, self.answered_s = step.what, self._loop.time()
        else:
            self._buffer.append(step.what)
        self._arm()
        self._wake()

    def _fail(self, failure: TransportError) -> None:
        self._failure = failure
        self.ended_s = self._loop.time()
        self.outcome = type(failure).__name__
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    async def _wait(self) -> None:
        assert self._waiter is None, "a call is awaited by one task at a time"
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Providers:
    """Implements `gateway.upstream.transport.Transport` for all of them."""

    def __init__(
        self,
        manners: Mapping[str, Manner],
        deployments: Mapping[tuple[str, str], Deployment],
        seed: int,
        on_begin: Callable[[SimCall], None],
    ) -> None:
        """`manners` by provider; `deployments` by provider and upstream model."""
        self._manners = manners
        self._deployments = deployments
        self._chance = Random(f"providers {seed}")
        self._began_s = asyncio.get_running_loop().time()
        self._on_begin = on_begin
        self.calls: list[SimCall] = []
        self.complaints: list[str] = []
        """What no request may ask for."""

    def start(
        self,
        endpoint: Endpoint,
        method: bytes,
        path: bytes,
        headers: bytes,
        body: bytes,
        *,
        timeouts: Timeouts | None = None,
    ) -> SimCall:
        """Begin a request."""
        asked = _asked.decode(body)
        request_id = headers.partition(_REQUEST_ID)[2].partition(b"\r\n")[0].decode()
        manner = self._manners[endpoint.provider]
        number = len(self.calls)
        now_s = asyncio.get_running_loop().time()
        fault = manner.weather.strikes(now_s - self._began_s, self._chance) or ""
        if asked.max_tokens is not None and asked.max_tokens < 1:
            self.complaints.append(f"request {request_id} asks for {asked.max_tokens} tokens")
            fault = "status 400"
        deployment = self._deployments[endpoint.provider, asked.model]
        planner = _Planner(asked, timeouts or endpoint.timeouts, manner, deployment, self._chance)
        plan = planner.plan(number, now_s, fault)
        call = SimCall(number, request_id, deployment, plan, manner)
        call.hurried = timeouts is not None and timeouts != endpoint.timeouts
        self.calls.append(call)
        self._on_begin(call)
        return call

    async def close(self) -> None:
        """Nothing is kept open."""


class _Planner:
    """Draws what becomes of one call."""

    def __init__(
        self, asked: Asked, timeouts: Timeouts, manner: Manner, deployment: Deployment, chance: Random
    ) -> None:
        self._asked = asked
        self._timeouts = timeouts
        self._manner = manner
        self._deployment = deployment
        self._chance = chance

    def plan(self, number: int, now_s: float, fault: str) -> Plan:
        """What happens, with the time-outs that the gateway's HTTP client would hold."""
        timeouts, manner, chance = self._timeouts, self._manner, self._chance
        made = Plan(fault=fault)
        if fault == "refused":
            made.steps = [Step(now_s + 0.001, Unreachable("connection refused", sent=False))]
            return made
        if fault == "unanswered":
            made.steps = [Step(now_s + timeouts.connect_s, TimedOut("connect", timeouts.connect_s, sent=False))]
            return made
        sent_s = made.sent_at_s = now_s + manner.connect_s
        first_s = manner.first_s * chance.lognormvariate(0, 0.3) * (_SLOWER if fault == "slow" else 1)
        if fault == "dropped":
            made.steps = [Step(sent_s + 0.01, ConnectionBroken("reset by peer", sent=True))]
            self._bill(made, sent_s, 0.0)
            made.stops_at_s = sent_s + 0.01 + manner.cancel_s
        elif fault.startswith("status "):
            self._status(made, int(fault[7:]), sent_s + first_s / 4)
        else:
            self._bill(made, sent_s, first_s)
            self._answer(made, number, fault)
        self._hold_time_outs(made, now_s)
        return made

    def _bill(self, made: Plan, sent_s: float, first_s: float) -> None:
        """A generation begins."""
        asked, chance = self._asked, self._chance
        bound = asked.max_tokens or self._deployment.max_output_tokens or 1_000
        made.prompt_tokens = sum(len(message["content"]) for message in asked.messages) // 4 + 3
        made.tokens = max(1, min(bound, int(chance.lognormvariate(3.2, 0.8))))
        made.tokens_per_s = self._manner.tokens_per_s
        made.generates_from_s = sent_s + first_s

    def _status(self, made: Plan, status: int, at_s: float) -> None:
        made.headers = list(_JSON)
        if status == 429:
            made.headers.append((b"retry-after", b"%d" % self._chance.randint(1, 5)))
        if status == 504:
            assert made.sent_at_s is not None
            self._bill(made, made.sent_at_s, 0.0)
            counted = self._deployment.metering is not None and self._asked.stream
            made.stops_at_s = made.sent_at_s if counted else at_s  # what is declared countable is not made unseen
        body = _HTML if status == 504 else _STATUS_BODY
        made.steps = [Step(at_s, status), Step(at_s, body), Step(at_s, None)]

    def _answer(self, made: Plan, number: int, fault: str) -> None:
        if fault == "stalled":
            made.stops_at_s = made.generates_from_s  # it never begins
            return
        if self._asked.stream:
            self._stream(made, number, fault)
        else:
            self._whole(made, number, fault)

    def _whole(self, made: Plan, number: int, fault: str) -> None:
        at_s = made.generates_from_s + made.tokens / made.tokens_per_s
        usage = b"null" if fault == "silent" else _usage(made)
        finish = b"length" if made.tokens == self._asked.max_tokens else b"stop"
        text = b" ".join(b"c%d.%d" % (number, index) for index in range(made.tokens))
        body = (
            b'{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
            b'{"role":"assistant","content":"%b"},"finish_reason":"%b"}],"usage":%b}' % (text, finish, usage)
        )
        made.headers = list(_JSON)
        steps = [Step(at_s, 200)]
        if fault == "garbled":
            steps += [Step(at_s, _HTML), Step(at_s, None)]
        elif fault == "failed":
            made.prompt_tokens = 0
            steps += [Step(at_s, _STATUS_BODY), Step(at_s, None)]
        elif fault == "cut":
            steps += [Step(at_s, body[:40]), Step(at_s + 0.01, ConnectionBroken("reset by peer", sent=True))]
        elif fault == "ended":
            steps += [Step(at_s, body[:40]), Step(at_s, None)]
        elif fault == "stuck":
            steps += [Step(at_s, body[:40])]
        else:
            steps += [Step(at_s, body), Step(at_s, None)]
        made.steps = steps

    def _stream(self, made: Plan, number: int, fault: str) -> None:
        per_event = self._manner.tokens_per_event
        events = ceil(made.tokens / per_event)
        after = self._chance.randint(0, events) if fault in ("stuck", "cut", "ended", "failed", "garbled") else events
        made.headers = list(_STREAM)
        at_s = made.generates_from_s
        made.steps = [Step(at_s, 200)]
        for index in range(after):
            at_s = made.generates_from_s + min(made.tokens, (index + 1) * per_event) / made.tokens_per_s
            made.steps.append(Step(at_s, _event(number, index)))
        if after < events or fault in ("stuck", "cut", "ended", "failed", "garbled"):
            made.stops_at_s = at_s
        if fault == "cut":
            made.steps.append(Step(at_s + 0.001, ConnectionBroken("reset by peer", sent=True)))
        elif fault == "ended":
            made.steps.append(Step(at_s, None))
        elif fault == "failed":
            made.steps += [Step(at_s, b"data: " + _STATUS_BODY + b"\n\n"), Step(at_s, None)]
        elif fault == "garbled":
            made.steps += [Step(at_s, b"\x00\xff<<<\r\n\r\n"), Step(at_s, None)]
        elif fault != "stuck":
            self._finish(made, at_s, fault)

    def _finish(self, made: Plan, at_s: float, fault: str) -> None:
        finish = b"length" if made.tokens == self._asked.max_tokens else b"stop"
        closing = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n' % finish
        options = self._asked.stream_options
        usage = b""
        if options is not None and options.include_usage and fault != "silent":
            usage = b'data: {"choices":[],"usage":%b}\n\n' % _usage(made)
        made.steps += [Step(at_s, closing + usage), Step(at_s, b"data: [DONE]\n\n"), Step(at_s, None)]

    def _hold_time_outs(self, made: Plan, now_s: float) -> None:
        """End the plan where one of the endpoint's time-outs runs out first."""
        timeouts, sent_s = self._timeouts, made.sent_at_s
        assert sent_s is not None
        total = Step(now_s + timeouts.total_s, TimedOut("total", timeouts.total_s, sent=True))
        last_s, phase, allowed_s = sent_s, "first_byte", timeouts.first_byte_s
        kept: list[Step] = []
        for step in [*made.steps, Step(float("inf"), None)]:
            if step.at_s > min(last_s + allowed_s, total.at_s):
                late = Step(last_s + allowed_s, TimedOut(phase, allowed_s, sent=True))
                kept.append(min(late, total, key=lambda each: each.at_s))
                break
            kept.append(step)
            if step.what is None or isinstance(step.what, TransportError):
                break
            last_s, phase, allowed_s = step.at_s, "idle", timeouts.idle_s
        made.steps = kept
        if isinstance(kept[-1].what, TimedOut):  # the gateway leaves
            made.stops_at_s = min(made.stops_at_s, kept[-1].at_s + self._manner.cancel_s)


def _usage(made: Plan) -> bytes:
    total = made.prompt_tokens + made.tokens
    return b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}' % (made.prompt_tokens, made.tokens, total)


def _event(number: int, index: int) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"c%d.%d "},"finish_reason":null}]}\n\n' % (number, index)
