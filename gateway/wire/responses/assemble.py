"""A response's stream put together to the whole answer: its last event carries it."""

from __future__ import annotations

import msgspec

from gateway.wire.responses.events import LAST, payload, read_event
from gateway.wire.responses.raw import ABSENT, MALFORMED, encode, read_fields


class _Done(msgspec.Struct):
    output_index: int = 0
    item: msgspec.Raw = ABSENT


_done_decoder = msgspec.json.Decoder(_Done)


class Assembler:
    """Puts one answer together."""

    __slots__ = ("_items", "_response", "malformed")

    def __init__(self) -> None:
        self.malformed = False
        """An event could not be read, so that a part of the answer is missing."""
        self._response = b"{}"
        self._items: dict[int, msgspec.Raw] = {}
        """For servers whose last event tells no output."""

    def feed(self, event: bytes) -> None:
        """Take the stream's next event."""
        data = payload(event)
        if not data or data == b"[DONE]":
            return
        try:
            said = read_event(data)
            if said.type == "response.output_item.done":
                done = _done_decoder.decode(data)
                self._items[done.output_index] = done.item
            elif said.type in LAST:
                self._response = bytes(said.response)
        except MALFORMED:
            self.malformed = True

    def body(self) -> bytes:
        """The whole answer, as JSON."""
        if not self._items:
            return self._response
        try:
            fields = read_fields(self._response)
        except MALFORMED:
            return self._response
        if bytes(fields.get("output", b"[]")) not in (b"[]", b"null"):
            return self._response
        items = [self._items[index] for index in sorted(self._items)]
        return encode({**fields, "output": msgspec.Raw(encode(items))})
