"""A provider's finished response, for the store: read of a whole answer, or of the event that ends a stream."""

from __future__ import annotations

from typing import NamedTuple

from gateway.wire.responses.answers import read_body
from gateway.wire.responses.events import LAST, read_event
from gateway.wire.responses.raw import MALFORMED, is_null
from gateway.wire.responses.usage import read_usage
from gateway.wire.sse import EventSplitter, event_data
from routing.money import Usage


def final_of(events: bytes) -> bytes | None:
    """The response object in the event that ends a stream, if it is among whole `events`; None when it is not."""
    if not any(kind.encode() in events for kind in LAST):
        return None
    splitter = EventSplitter(len(events) + 1)
    found = [Final.of_event(event) for event in (*splitter.feed(events), splitter.rest)]
    return next((final.body for final in found if final is not None), None)


class Final(NamedTuple):
    """A response that will not change any more."""

    id: str
    status: str
    """`completed`, `incomplete` or `failed`."""
    usage: Usage | None
    body: bytes
    """The response object."""

    @classmethod
    def of_body(cls, body: bytes) -> Final | None:
        """Of a whole answer; None when it is no response."""
        try:
            response = read_body(body)
        except MALFORMED:
            return None
        if not response.id:
            return None
        return cls(response.id, response.status, read_usage(response.usage)[0], body)

    @classmethod
    def of_event(cls, event: bytes) -> Final | None:
        """Of an event of a stream; None when it is not the one that ends it."""
        if not any(kind.encode() in event for kind in LAST):
            return None
        try:
            said = read_event(event_data(event))
        except MALFORMED:
            return None
        if said.type not in LAST or is_null(said.response):
            return None
        return cls.of_body(bytes(said.response))
