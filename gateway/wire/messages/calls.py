"""The calls of tools in a stream of chat, as they grow."""

from __future__ import annotations

import msgspec

from gateway.wire.messages.notes import ABSENT, MALFORMED


class FunctionPiece(msgspec.Struct):
    """A piece of a call: its name, as a rule at once, and some of its arguments."""

    name: str | None = None
    arguments: msgspec.Raw = ABSENT


class CallPiece(msgspec.Struct):
    """One of a delta's `tool_calls`."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class GrowingCall:
    """A call that has begun."""

    __slots__ = ("block", "id", "name", "number", "pieces", "told")

    def __init__(self, number: int) -> None:
        self.number = number
        """How many calls were before it."""
        self.id = ""
        self.name = ""
        self.block: int | None = None
        """The index of its block, once that was begun."""
        self.pieces: list[bytes] = []
        """Of its arguments: the insides of JSON strings."""
        self.told = 0
        """How many of them the client was sent."""

    def take(self, piece: CallPiece, arguments: bytes) -> None:
        """Add a piece, whose arguments are a JSON string."""
        self.id = self.id or piece.id or ""
        if piece.function is not None:
            self.name = self.name or piece.function.name or ""
        if len(arguments) > 2:
            self.pieces.append(arguments[1:-1])

    def untold(self) -> bytes:
        """What of its arguments was not sent yet, as the inside of a JSON string."""
        rest = self.pieces[self.told :]
        self.told = len(self.pieces)
        return b"".join(rest)

    @property
    def whole(self) -> bool:
        """Whether its arguments are JSON that has ended."""
        try:
            text = msgspec.json.decode(b'"' + b"".join(self.pieces) + b'"', type=str)
            msgspec.json.decode(text)
        except MALFORMED:
            return False
        return True


class Calls:
    """All calls of an answer."""

    __slots__ = ("_by_index", "all")

    def __init__(self) -> None:
        self.all: list[GrowingCall] = []
        self._by_index: dict[int, GrowingCall] = {}

    def of(self, piece: CallPiece) -> GrowingCall:
        """The call that a piece belongs to. Another id is another call, whatever its index: some servers have none."""
        latest = self.all[-1] if self.all else None
        found = latest if piece.index is None else self._by_index.get(piece.index)
        if found is None or (piece.id and found.id and piece.id != found.id):
            found = GrowingCall(len(self.all))
            self.all.append(found)
        if piece.index is not None:
            self._by_index[piece.index] = found
        return found
