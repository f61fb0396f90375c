"""What learns, as far as `gateway.learned.keeper` keeps it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

Pair = tuple[str, str]
"""Agent and model."""
State = tuple[str, Pair, bytes]
"""What is known of a pair: its kind, and it, packed."""


class Known(Protocol):
    """What is learned, and which of it was not saved yet."""

    @property
    def kinds(self) -> Collection[str]:
        """Of its states: nobody else has these."""
        ...

    @property
    def changed(self) -> bool:
        """Whether there is something that `changes` has not given out yet."""
        ...

    def changes(self) -> tuple[list[State], list[Pair]]:
        """What has changed since the last call, all of a pair's states or none, and the pairs that were forgotten."""
        ...

    def unsaved(self, changed: Iterable[State], forgotten: Iterable[Pair]) -> None:
        """Take back what `changes` gave out: it could not be saved and has to be tried again."""
        ...

    def restore(self, kept: Iterable[State]) -> None:
        """Take over what was saved, the longest ago first. What cannot be read is learned again."""
        ...
