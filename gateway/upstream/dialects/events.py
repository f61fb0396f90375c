"""Answers of providers that nearly speak OpenAI's wire: passed on event by event, with what differs put right."""

from __future__ import annotations

from gateway.wire.sse import EventSplitter


class EventTranslation:
    """A `Translation` that changes nothing. Subclasses say what they do differently."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = EventSplitter()

    def whole(self, body: bytes) -> bytes:
        """An answer in one piece."""
        return body

    def chunk(self, chunk: bytes) -> bytes:
        """The events that are now whole. Raises `gateway.wire.sse.EventTooLarge`."""
        return b"".join([self._ended(event) for event in self._splitter.feed(chunk)])

    def end(self) -> bytes:
        """A last event without its blank line."""
        return self._ended(self._splitter.rest)

    def _ended(self, event: bytes) -> bytes:
        """An event with one way to end it: where a CRLF was cut in two must not be seen."""
        lines = event.strip(b"\r\n")
        return self.event(lines + b"\n\n") if lines else b""

    def event(self, event: bytes) -> bytes:
        """One event of a stream, with the blank line that ends it."""
        return event

    def error(self, status: int, body: bytes) -> bytes:
        """The body of an error status."""
        return body
