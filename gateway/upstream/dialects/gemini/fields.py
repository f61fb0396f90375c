"""Reading fields of a request, with errors that name them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gateway.errors import InvalidField

_T = TypeVar("_T")


def read(decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw, field: str) -> _T:
    """The value of a field. Raises InvalidField, with the place inside of it that is wrong."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        param = field + place.rstrip("`")
        raise InvalidField(f"`{param}` is not valid: {problem[0].lower()}{problem[1:]}.", param=param) from None


def unsayable(field: str, hint: str = "") -> InvalidField:
    """The error for what Gemini has no words for."""
    message = f"`{field}` cannot be said to Gemini{': ' + hint if hint else ''}. Leave it out, or ask another model."
    return InvalidField(message, param=field)
