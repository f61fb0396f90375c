"""What an answer is said in, once its provider's dialect has been translated: a wire, and what the exchange asks of it.

OpenAI's wire (chat, completions, embeddings) is the one that every dialect is turned into. A deployment that speaks its
client's tongue itself answers in that: then the tongue's own wire is read, and nothing is translated.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol

from gateway.wire.answers import StreamObserver, WholeAnswer, read_answer
from gateway.wire.assemble import Assembler as ChatAssembler
from gateway.wire.ending import Stream, length_ending
from gateway.wire.native import TONGUES
from gateway.wire.others import OTHERS
from routing.money import NanoUsd, Usage


class UsageEvent(Protocol):
    """The event in which a stream reports its usage, where it may be changed for the client."""

    @property
    def standalone(self) -> bool:
        """Whether it carries usage alone: then it is left out when the client did not ask for it."""
        ...

    def with_cost(self, cost: NanoUsd) -> bytes:
        """The event with the request's cost in it."""
        ...

    def without_usage(self, *, null: bool) -> bytes:
        """The event as if usage had not been asked for."""
        ...


class Observer(Protocol):
    """Watches the events of one stream. `gateway.wire.answers.StreamObserver` says what each of these means."""

    usage: Usage | None
    reported: NanoUsd | None
    service_tier: str | None
    content_events: int
    text_bytes: int
    cut: bool
    done: bool
    failed: bool
    outdated: bool
    services: dict[str, int]
    """Calls of what the provider ran beside generating, by name; empty for most."""

    @property
    def begun(self) -> bool:
        """Whether there is something to show."""
        ...

    @property
    def called_tools(self) -> bool:
        """Whether it opened a call of one of the client's tools."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the provider ended the stream as it should."""
        ...

    def counted_tokens(self, tokens_per_event: int) -> int:
        """Output tokens seen so far, at most."""
        ...

    def observe(self, event: bytes) -> UsageEvent | None:
        """Take note of an event. Gives the usage event where the client may be shown another in its place."""
        ...


class Assembler(Protocol):
    """Puts a stream's events together to the whole answer."""

    malformed: bool
    """An event could not be read, so that a part of the answer is missing."""

    def feed(self, event: bytes) -> None:
        """Take the stream's next event."""
        ...

    def body(self) -> bytes:
        """The whole answer."""
        ...


class Wire(Protocol):
    """How answers are said. One instance serves all; it has no state."""

    name: str

    def observer(self, answers: int, *, remember: bool) -> Observer:
        """For a stream of `answers`; `remember` what `ending` needs."""
        ...

    def read_answer(self, body: bytes) -> WholeAnswer:
        """Read a whole answer. Raises `gateway.wire.answers.MalformedAnswer` when it is none."""
        ...

    def ending(self, stream: Stream, observer: Observer, usage: Usage, cost: NanoUsd) -> list[bytes]:
        """The events that end a stream properly when its money has run out. The observer was told to `remember`."""
        ...

    def assembler(self) -> Assembler:
        """For one stream."""
        ...

    def as_chat(self, body: bytes) -> bytes:
        """A whole answer as a chat completion. Raises MalformedAnswer."""
        ...


class OpenAIWire:
    """Chat, completions and embeddings."""

    __slots__ = ("name",)

    def __init__(self, api: str) -> None:
        self.name = api

    def observer(self, answers: int, *, remember: bool) -> StreamObserver:
        """For a stream of `answers`."""
        return StreamObserver(answers, remember=remember)

    def read_answer(self, body: bytes) -> WholeAnswer:
        """Read a whole answer. Raises MalformedAnswer."""
        return read_answer(body)

    def ending(self, stream: Stream, observer: Observer, usage: Usage, cost: NanoUsd) -> list[bytes]:
        """The events that end a stream properly."""
        assert isinstance(observer, StreamObserver), "an observer belongs to its wire"  # noqa: S101 -- guards a programming error
        return length_ending(stream, observer, usage, cost)

    def assembler(self) -> ChatAssembler:
        """For one stream."""
        return ChatAssembler(self.name)

    def as_chat(self, body: bytes) -> bytes:
        """It is one."""
        return body


@cache
def wire_of(api: str) -> Wire:
    """The wire of an API: `chat`, `messages` and so on. Tongues are loaded when they are first asked for."""
    if api in OTHERS:
        other: Wire = import_module("gateway.wire.other_answers").OtherWire(api)
        return other
    if api in TONGUES:
        wire: Wire = import_module(f"gateway.wire.{api}").WIRE
        return wire
    return OpenAIWire(api)
