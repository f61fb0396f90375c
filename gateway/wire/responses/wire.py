"""The wire of deployments that speak the Responses API themselves."""

from __future__ import annotations

from gateway.wire.answers import WholeAnswer
from gateway.wire.ending import Stream
from gateway.wire.native import RESPONSES
from gateway.wire.responses.answers import read_answer
from gateway.wire.responses.assemble import Assembler
from gateway.wire.responses.chat import as_chat
from gateway.wire.responses.ending import incomplete_ending
from gateway.wire.responses.observer import StreamObserver
from gateway.wire.responses.record import Record
from gateway.wire.wires import Observer
from routing.money import NanoUsd, Usage


class ResponsesWire:
    """Responses, and the typed events of their streams."""

    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = RESPONSES

    def observer(self, answers: int, *, remember: bool) -> StreamObserver:
        """For a stream; `remember` what `ending` needs."""
        return StreamObserver(remember=remember)

    def read_answer(self, body: bytes) -> WholeAnswer:
        """Read a whole response. Raises MalformedAnswer."""
        return read_answer(body)

    def ending(self, stream: Stream, observer: Observer, usage: Usage, cost: NanoUsd) -> list[bytes]:
        """The events that end a stream properly; none when it has ended."""
        assert isinstance(observer, StreamObserver), "an observer belongs to its wire"  # noqa: S101 -- guards a programming error
        return [] if observer.done else incomplete_ending(stream, observer.record or Record(), usage, cost)

    def assembler(self) -> Assembler:
        """For one stream."""
        return Assembler()

    def as_chat(self, body: bytes) -> bytes:
        """A whole response as a chat completion. Raises MalformedAnswer."""
        return as_chat(body)


WIRE = ResponsesWire()
