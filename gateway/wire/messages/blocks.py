"""The blocks of an answer, kept as they were, where OpenAI's words could not give them back.

A chat message has one text, and its calls after it. Claude may think between two texts, or search; and newer models
check that what comes before a thought is, byte by byte, what it was when they thought it. Such an answer carries
`content_blocks`, which the next request sends back in place of everything else that the message says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

_encode = msgspec.json.encode
_ABSENT: Final = msgspec.Raw(b"")
_PLACES: Final = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
"""The order in which a chat message says them."""
RETURNABLE: Final = frozenset((*_PLACES, "server_tool_use", "web_search_tool_result"))
"""What a client may send back so: nothing that could cost more tokens than it has bytes."""
THOUGHTS: Final = frozenset(("thinking", "redacted_thinking"))


class Block(msgspec.Struct):
    """A block of a message's content, of whatever type."""

    type: str = ""
    text: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    name: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT
    citations: msgspec.Raw = _ABSENT


_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_block_decoder = msgspec.json.Decoder(Block)
read_block = _block_decoder.decode


def is_plain(kinds: Iterable[str]) -> bool:
    """Whether a chat message says blocks of these types, in this order, without losing anything."""
    place = -1
    for kind in kinds:
        found = _PLACES.get(kind, -1)
        if found < place or found < 0 or (kind == "text" and place == 1):
            return False
        place = found
    return True


class GrowingBlock:
    """A block of a stream: how it began, and what came since."""

    __slots__ = ("block", "call", "citations", "index", "pieces", "raw", "signature")

    def __init__(self, raw: msgspec.Raw, index: int, call: int | None) -> None:
        self.raw = raw
        self.block = read_block(raw)
        self.index = index
        self.call = call
        """The index of a tool call; None for anything else, and for the call that stands in for JSON."""
        self.pieces: list[bytes] = []
        """Of its text, thoughts or arguments: the insides of JSON strings."""
        self.citations: list[msgspec.Raw] = []
        self.signature = b""

    def add(self, piece: msgspec.Raw) -> bool:
        """Take the next piece, a JSON string. Gives whether there is anything in it."""
        if len(memoryview(piece)) <= 2:
            return False
        self.pieces.append(bytes(piece)[1:-1])
        return True

    @property
    def joined(self) -> bytes:
        """All pieces as one JSON string."""
        return b'"' + b"".join(self.pieces) + b'"'

    def json(self) -> bytes:
        """The whole block."""
        kind = self.block.type
        if kind == "text":
            text: dict[str, Any] = {"type": "text", "text": msgspec.Raw(self.joined)}
            return _encode({**text, "citations": self.citations} if self.citations else text)
        if kind == "thinking":
            signature = msgspec.Raw(self.signature or b'""')
            return _encode({"type": "thinking", "thinking": msgspec.Raw(self.joined), "signature": signature})
        if kind in ("tool_use", "server_tool_use") and self.pieces:
            return _encode({**_fields_decoder.decode(self.raw), "input": self._input()})
        return bytes(self.raw)

    def _input(self) -> dict[str, msgspec.Raw]:
        """A call's arguments; none when the answer was cut in the middle of them."""
        try:
            return _fields_decoder.decode(msgspec.json.decode(self.joined, type=str))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
