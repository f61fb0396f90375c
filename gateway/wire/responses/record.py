"""What a stream has said so far, kept so that it can be ended properly in the middle."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.wire.responses.raw import ABSENT, MALFORMED, Fields, is_null, read_any, read_fields


class _Event(msgspec.Struct, gc=False):
    sequence_number: int = 0
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    part: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT


_event_decoder = msgspec.json.Decoder(_Event)


class Piece(NamedTuple):
    """Where a delta belongs."""

    place: str
    """The item's list of parts (`content`, `summary`), or its field that is a text (`arguments`, `input`)."""
    part: str
    """The type of the part; empty for a field."""
    text: str
    """The part's field that is the text."""


_DELTAS: Final = {
    "response.output_text.delta": Piece("content", "output_text", "text"),
    "response.refusal.delta": Piece("content", "refusal", "refusal"),
    "response.reasoning_text.delta": Piece("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": Piece("summary", "summary_text", "text"),
    "response.function_call_arguments.delta": Piece("arguments", "", ""),
    "response.custom_tool_call_input.delta": Piece("input", "", ""),
}
_PARTS: Final = {
    "response.content_part.added": "content",
    "response.content_part.done": "content",
    "response.reasoning_summary_part.added": "summary",
    "response.reasoning_summary_part.done": "summary",
}
TEXTS: Final = {piece.part: piece.text for piece in _DELTAS.values() if piece.part}
"""The field that is the text, by the type of a part."""


class Growing:
    """A text, or a part with one."""

    __slots__ = ("done", "fields", "pieces")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        """The part's, without its text."""
        self.pieces: list[bytes] = []
        self.done = False

    @property
    def text(self) -> msgspec.Raw:
        """All of the text, a JSON string."""
        return msgspec.Raw(b'"' + b"".join(self.pieces) + b'"')

    def json(self) -> dict[str, Any]:
        """The part as it stands."""
        return self.fields if self.done else {**self.fields, TEXTS.get(self.fields["type"], "text"): self.text}


class RecordedItem:
    """An item of the output."""

    __slots__ = ("done", "fields", "parts", "texts")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        """As it began, or, when it is `done`, as it ended."""
        self.done = False
        self.parts: dict[str, dict[int, Growing]] = {}
        self.texts: dict[str, Growing] = {}

    def json(self, status: str) -> dict[str, Any]:
        """The item as it stands, with the `status` that one which is not done has."""
        if self.done:
            return self.fields
        said = {**self.fields, "status": status}
        for name, parts in self.parts.items():
            said[name] = [parts[index].json() for index in sorted(parts)]
        return said | {name: growing.text for name, growing in self.texts.items()}


def _typed(raw: msgspec.Raw) -> dict[str, Any]:
    """An object with a type. Raises KeyError for anything else."""
    found = read_any(raw)
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise KeyError("type")
    return found


class Record:
    """All items of a stream's output, and its response as it began."""

    __slots__ = ("items", "next_number", "response")

    def __init__(self) -> None:
        self.response: Fields | None = None
        self.items: dict[int, RecordedItem] = {}
        self.next_number = 0
        """The next event's sequence number."""

    def take(self, kind: str, data: bytes) -> None:
        """Take note of an event of the type `kind`."""
        try:
            event = _event_decoder.decode(data)
            self.next_number = max(self.next_number, event.sequence_number + 1)
            piece = _DELTAS.get(kind)
            if piece is not None:
                self._grow(event, piece)
            elif kind in _PARTS:
                self._part(event, _PARTS[kind], done=kind.endswith("done"))
            elif kind in ("response.output_item.added", "response.output_item.done"):
                self.items[event.output_index] = item = RecordedItem(_typed(event.item))
                item.done = kind.endswith("done")
            elif self.response is None and not is_null(event.response):
                self.response = read_fields(event.response)
        except (*MALFORMED, KeyError):
            return  # what cannot be read cannot be ended either: it is left out

    def _grow(self, event: _Event, piece: Piece) -> None:
        item = self.items[event.output_index]
        text = bytes(event.delta)
        if text[:1] != b'"':
            return
        if piece.part:
            index = event.summary_index if piece.place == "summary" else event.content_index
            growing = item.parts.setdefault(piece.place, {}).setdefault(index, Growing({"type": piece.part}))
        else:
            growing = item.texts.setdefault(piece.place, Growing({}))
        growing.pieces.append(text[1:-1])

    def _part(self, event: _Event, place: str, *, done: bool) -> None:
        index = event.summary_index if place == "summary" else event.content_index
        growing = Growing(_typed(event.part))
        growing.done = done
        self.items[event.output_index].parts.setdefault(place, {})[index] = growing
