"""What is noted of a request while it is read: what chat cannot say, and what nobody can tell the size of."""

from __future__ import annotations

from gateway.errors import InvalidField
from gateway.wire.native import Service


class Reading:
    """Notes on one request."""

    __slots__ = ("references", "refused", "services", "unknown")

    def __init__(self) -> None:
        self.refused: InvalidField | None = None
        """The first thing that the chat wire has no words for."""
        self.unknown: str | None = None
        """The first field that brings in input of unknown size."""
        self.services: list[Service] = []
        self.references: list[str] = []
        """Ids of items that are to be looked up."""

    def refuse(self, field: str, message: str) -> None:
        """Note that only a deployment which speaks the Responses API itself can be asked this."""
        if self.refused is None:
            self.refused = InvalidField(message, param=field)

    def unsized(self, field: str) -> None:
        """Note that how much `field` brings in is not in the body."""
        if self.unknown is None:
            self.unknown = field
