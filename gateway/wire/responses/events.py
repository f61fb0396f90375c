"""Events of a response's stream, as a provider sends them."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.wire.responses.raw import ABSENT
from gateway.wire.sse import event_data

COMPLETED: Final = "response.completed"
INCOMPLETE: Final = "response.incomplete"
FAILED: Final = "response.failed"
LAST: Final = frozenset((COMPLETED, INCOMPLETE, FAILED, "response.cancelled"))
"""Types of the event that ends a stream, with the whole response in it."""
ERROR: Final = "error"


class Event(msgspec.Struct, gc=False):
    """An event, whatever it tells."""

    type: str = ""
    delta: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    partial_image_b64: msgspec.Raw = ABSENT


read_event = msgspec.json.Decoder(Event).decode

_START: Final = b"event: "
_DATA: Final = b"\ndata: "
_END: Final = b"\n\n"


def payload(event: bytes) -> bytes:
    """The data of an event: the usual one has its type in a line before it."""
    if event.startswith(_START) and event.endswith(_END):
        start = event.find(_DATA)
        if start > 0 and b"\r" not in event and event.find(b"\n", start + 1) == len(event) - 2:
            return event[start + 7 : -2]
    return event_data(event)
