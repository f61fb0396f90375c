"""A form with files on its way through: its beginning is held, the rest is still with its client. Pure."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, Protocol


class Rest(Protocol):
    """What is still to come of a body. Read by one reader, once."""

    @property
    def begun(self) -> bool:
        """Whether any of it was read: from then on the body cannot be sent a second time."""
        ...

    def next_chunk(self) -> Awaitable[bytes]:
        """The next bytes; `b""` at the end."""
        ...


class Beginning(NamedTuple):
    """The head of a body whose rest is still to come, and how long both are together."""

    head: bytes
    rest: Rest
    length: int | None
    """None where the client did not say."""


class Upload(NamedTuple):
    """A request's form."""

    content_type: str
    """With its boundary."""
    held: bytes
    """What has been read of it."""
    model_at: tuple[int, int]
    """Where in `held` the model's name stands."""
    rest: Rest | None
    """None: it is held whole."""
    length: int | None
    """Of all of it, as its client said."""

    @property
    def is_gone(self) -> bool:
        """Whether it cannot be sent again."""
        return self.rest is not None and self.rest.begun

    def body(self, upstream_model: str) -> bytes | Beginning:
        """The form for a provider that knows the model by another name."""
        begin, end = self.model_at
        name = upstream_model.encode()
        head = self.held[:begin] + name + self.held[end:]
        if self.rest is None:
            return head
        return Beginning(head, self.rest, None if self.length is None else self.length + len(name) - (end - begin))
