"""One generation: what will be said, when each piece of it is due, and how it is billed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import NamedTuple, Protocol, runtime_checkable

from gateway.simulator import chance
from gateway.simulator.answer import Choice, Piece
from gateway.simulator.bill import Bill, Counts, Record, cost_nano_usd, fee_nano_usd
from gateway.simulator.faults import Faults
from gateway.simulator.fields import Body, Options
from gateway.simulator.models import SimModel
from gateway.simulator.pace import Timing, plan


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the bill names them."""

    key: str
    """A fingerprint of the API key."""
    caller_id: str | None
    """The `x-request-id` header."""


class CacheUse(NamedTuple):
    """What a prompt's cache had of it, and was given, in tokens."""

    read: int = 0
    written: int = 0
    """To last five minutes."""
    written_1h: int = 0


@dataclass(slots=True)
class Generation:
    """What is generated for one request. Ended exactly once, by `settle()`."""

    bill: Bill
    caller: Caller
    model: SimModel
    endpoint: str
    faults: Faults
    options: Options
    prompt_tokens: int
    cached_tokens: int
    choices: list[Choice]
    due: list[float]
    """When each piece of `flow` is made, in seconds since the start."""
    flow: list[tuple[int, Piece]]
    """(choice, piece) in the order of generation: the choices take turns."""
    ordinal: int = 0
    response_id: str = ""
    made: int = 0
    """Pieces generated so far."""
    usage_delivered: bool = False
    outcome: str = "ok"
    services: dict[str, int] = field(default_factory=dict)
    """What is done whatever becomes of the answer, in units of the model's fees."""
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    created_s: int = field(default_factory=lambda: int(time.time()))

    @property
    def completion_tokens(self) -> int:
        """Generated so far."""
        return sum(piece.tokens for _, piece in self.flow[: self.made])

    @property
    def reasoning_tokens(self) -> int:
        """Generated so far and thought, not said."""
        return sum(piece.tokens for _, piece in self.flow[: self.made] if piece.is_reasoning)

    @property
    def services_made(self) -> dict[str, int]:
        """What was done so far beside generating, in units of the model's fees."""
        made = dict(self.services)
        for _, piece in self.flow[: self.made]:
            if piece.delta is not None and "hosted" in piece.delta:
                name = piece.delta["hosted"]["name"]
                made[name] = made.get(name, 0) + 1
        return made

    def usage(self) -> Body:
        """The usage object of what was generated so far."""
        completion = self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def running_usage(self, completion: int) -> Body:
        """The usage object in the midst of a stream, of one choice: vLLM knows no details there."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }

    def settle(self) -> None:
        """Put it on the bill."""
        counts = Counts(
            *(self.prompt_tokens, self.cached_tokens, self.completion_tokens, self.reasoning_tokens),
            *(self.cache_write_tokens, self.cache_write_1h_tokens),
        )
        services = self.services_made
        fee = fee_nano_usd(self.model, services)
        self.bill.post(
            Record(
                id=self.ordinal,
                response_id=self.response_id,
                caller_id=self.caller.caller_id,
                at_s=time.time(),
                key=self.caller.key,
                endpoint=self.endpoint,
                model=self.model.id,
                stream=self.options.stream,
                prompt_tokens=counts.prompt,
                cached_tokens=counts.cached,
                completion_tokens=counts.completion,
                reasoning_tokens=counts.reasoning,
                usage_delivered=self.usage_delivered,
                cost_nano_usd=cost_nano_usd(self.model, counts) + fee,
                outcome=self.outcome,
                faults=self.faults.names,
                cache_write_tokens=counts.cache_write,
                cache_write_1h_tokens=counts.cache_write_1h,
                services=services,
                fee_nano_usd=fee,
            )
        )


class Wire(Protocol):
    """How an endpoint writes a plain answer.

    One that is no JSON says so by an attribute `content_type`, of bytes.
    """

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """The answer's body."""
        ...


@runtime_checkable
class StreamWire(Wire, Protocol):
    """How an endpoint writes a stream. Everything is JSON, without the framing of events."""

    def opening(self, index: int) -> bytes | None:
        """A choice's first event, or None."""
        ...

    def piece(self, index: int, delta: Body, usage: Body | None = None) -> bytes:
        """An event with a piece of a choice, and the usage so far where it was asked for."""
        ...

    def closing(self, index: int, finish_reason: str, usage: Body | None) -> bytes:
        """A choice's last event."""
        ...

    def usage(self, usage: Body) -> bytes:
        """The usage event."""
        ...


def interleave(choices: list[Choice]) -> list[tuple[int, Piece]]:
    """The pieces of all choices, taking turns."""
    if len(choices) == 1:
        return [(0, piece) for piece in choices[0].pieces]
    columns = [[(index, piece) for piece in choice.pieces] for index, choice in enumerate(choices)]
    return [entry for entry in chain.from_iterable(zip_longest(*columns)) if entry is not None]


def schedule(
    model: SimModel, sizes: list[int], parallel: int, faults: Faults, *, speed: float, seed: int
) -> list[float]:
    """When pieces of these sizes are due, with the faults that bend the pace."""
    slow, stall, middle = faults.find("slow"), faults.find("stall"), faults.find("stall-mid")
    stalls: list[tuple[int, float]] = []
    if stall:
        stalls.append((0, stall.number("s")))
    if middle:
        stalls.append((int(middle.number("after")), middle.number("s")))
    timing = Timing(
        speed=speed,
        slowdown=slow.number("x") if slow else 1.0,
        first_ms=_set(slow.number("first_ms")) if slow else None,
        token_ms=_set(slow.number("token_ms")) if slow else None,
        stalls=tuple(stalls),
        parallel=parallel,
    )
    return plan(model.pace, sizes, timing, chance.dice(seed, "pace"))


def _set(value: float) -> float | None:
    return value if value >= 0 else None
