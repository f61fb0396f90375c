"""What is noted of a request while it is read: what chat cannot say, and what brings in more than its body holds.

Fields are named as Anthropic's own errors name them: `messages.0.content.1.type`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.errors import BadRequest, InvalidField, MissingField
from gateway.wire.native import Service

MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
NULL: Final = (b"", b"null")
ABSENT: Final = msgspec.Raw(b"")

_MISSING: Final = re.compile(r"Object missing required field `([^`]+)`")
_INDEX: Final = re.compile(r"\[(\d+|\.\.\.)\]")


class Notes:
    """Collected while a request is read. Of what is refused and unknown the first is named."""

    __slots__ = ("refused", "services", "signed_here", "unknown")

    def __init__(self) -> None:
        self.refused: InvalidField | None = None
        self.unknown: str | None = None
        self.services: list[Service] = []
        self.signed_here = False
        """There are thoughts in it that no provider signed (see `gateway.wire.messages.thoughts`)."""

    def refuse(self, field: str, why: str) -> None:
        """The chat wire cannot say `field`."""
        if self.refused is None:
            self.refused = InvalidField(f"`{field}` cannot be used with this model: {why}", param=field)

    def brings_in(self, field: str) -> None:
        """`field` makes the provider read what is not in the body."""
        if self.unknown is None:
            self.unknown = field


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a field is not there, or says nothing: explicit nulls are as good as absent."""
    return raw is ABSENT or bytes(memoryview(raw)[:4]) in NULL


def starts_with(raw: msgspec.Raw, mark: bytes) -> bool:
    """Whether a raw value is a string, list or object: by its first byte."""
    return bytes(memoryview(raw)[:1]) == mark


def wrong(field: str, why: str) -> InvalidField:
    """The error for a field that is not as it should be."""
    return InvalidField(f"`{field}` {why}.", param=field)


def missing(field: str) -> MissingField:
    """The error for a field that has to be there."""
    return MissingField(f"`{field}` is missing.", param=field)


def misshapen(field: str, error: Exception) -> BadRequest:
    """The error for a value that could not be read as what it should be: names the place inside of it."""
    if not isinstance(error, msgspec.ValidationError):
        return wrong(field, "cannot be read")
    problem, _, path = str(error).partition(" - at `$")
    place = _INDEX.sub(r".\1", path.rstrip("`")).removesuffix(".")
    whole = f"{field}{place}" if field else place.removeprefix(".")
    found = _MISSING.match(problem)
    if found:
        return missing(f"{whole}.{found[1]}" if whole else found[1])
    return InvalidField(f"`{whole}` is not valid: {problem[0].lower()}{problem[1:]}.", param=whole or None)
