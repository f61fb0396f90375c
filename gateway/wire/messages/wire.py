"""Anthropic's own answers, as deployments give them that speak their client's tongue: the `Wire` called `messages`."""

from __future__ import annotations

from typing import Final

from gateway.wire.answers import WholeAnswer
from gateway.wire.ending import Stream
from gateway.wire.messages.assemble import MessageAssembler
from gateway.wire.messages.ending import message_ending
from gateway.wire.messages.observer import MessagesObserver
from gateway.wire.messages.whole import as_chat, read_message
from gateway.wire.native import MESSAGES
from gateway.wire.wires import Observer, Wire
from routing.money import NanoUsd, Usage


class MessagesWire:
    """Messages, whole and streamed. They pass through byte for byte."""

    name = MESSAGES

    def observer(self, answers: int, *, remember: bool) -> MessagesObserver:
        """For a stream, which has one answer always. What `ending` needs is remembered anyway: it is little."""
        return MessagesObserver()

    def read_answer(self, body: bytes) -> WholeAnswer:
        """Read a whole message. Raises MalformedAnswer."""
        return read_message(body)

    def ending(self, stream: Stream, observer: Observer, usage: Usage, cost: NanoUsd) -> list[bytes]:
        """The events that end a stream properly whose money has run out."""
        assert isinstance(observer, MessagesObserver), "an observer belongs to its wire"  # noqa: S101 -- guards a programming error
        return message_ending(stream, observer, usage, cost)

    def assembler(self) -> MessageAssembler:
        """For one stream."""
        return MessageAssembler()

    def as_chat(self, body: bytes) -> bytes:
        """A whole message as a chat completion. Raises MalformedAnswer."""
        return as_chat(body)


WIRE: Final[Wire] = MessagesWire()
