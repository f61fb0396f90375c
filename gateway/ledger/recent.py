"""A bounded memory of what happened lately. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """A mapping that forgets its oldest entries: it keeps at least the latest `most` / 2 and never more than `most`.

    Two generations: when the younger is full, the older is dropped as a whole.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[str, T] = {}
        self._old: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def add(self, key: str, value: T) -> None:
        """Remember a key that is not remembered yet."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def pop(self, key: str) -> T | None:
        """Forget a key; its value, or None."""
        if key in self._young:
            return self._young.pop(key)
        return self._old.pop(key, None)
