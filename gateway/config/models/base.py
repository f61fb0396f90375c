"""The types that configuration models are made of: strict, with messages for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.variables import Resolved
from routing.tariff import UNIT

_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_FEE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_TOO_FINE = re.compile(r"[0-9]{1,9}\.[0-9]{10,}")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class Written(BaseModel):
    """Base of everything that people write: unknown keys and wrong types are errors; an empty entry is all defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, data: Any) -> Any:
        return {} if data is None else data


def as_whole(value: Any) -> Any:
    """A variable's text as a whole number."""
    if isinstance(value, Resolved) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    return value


def _number(value: Any) -> Any:
    """A variable's text as a number."""
    if isinstance(value, Resolved) and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", value):
        return float(value)
    return value


def as_flag(value: Any) -> Any:
    """A variable's text, or `on`/`off` in quotes, as a yes or no."""
    if isinstance(value, str):
        word = value.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    return value


def _money(pattern: re.Pattern[str]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise PydanticCustomError("money", 'an amount of USD is a quoted decimal number such as "0.15"')
        if not isinstance(value, str):
            raise PydanticCustomError(
                "money", 'quote amounts of USD, so that they stay exact: "{text}"', {"text": f"{value}"}
            )
        if not pattern.fullmatch(value):
            if pattern is _FEE and _TOO_FINE.fullmatch(value):
                raise PydanticCustomError("money", "finer than a nano-dollar: at most 9 decimals")
            places = "6" if pattern is _MONEY else "9"
            message = f'not an amount of USD; write a decimal number such as "0.15", with at most {places} decimals'
            raise PydanticCustomError("money", message)
        return value

    return BeforeValidator(check)


def _secret(value: Any) -> Any:
    if value is None or isinstance(value, Resolved):
        return value
    raise PydanticCustomError(
        "secret",
        "a secret is not written here in clear: put it in a variable and write ${NAME}, or in a file: file:/path",
    )


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


def _as_written(value: Any) -> Any:
    return value.written if isinstance(value, Resolved) else value


Whole = Annotated[int, BeforeValidator(as_whole)]
Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(as_flag)]
Count = Annotated[Whole, Field(ge=1)]
Seconds = Annotated[Number, Field(gt=0, le=86_400)]
Wait = Annotated[Number, Field(ge=0, le=86_400)]
Port = Annotated[Whole, Field(ge=0, le=65_535)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]

PathText = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f]+$")]
"""A file or folder, relative to the configuration's folder."""

TraitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What an operator says of a deployment: `eu`."""
UsdPerMillion = Annotated[
    str,
    _money(_MONEY),
    WithJsonSchema({"type": "string", "pattern": f"^{_MONEY.pattern}$", "description": "USD per million tokens"}),
]
"""USD per million tokens, a decimal string with at most 6 decimals."""

UsdPerRequest = Annotated[
    str,
    _money(_FEE),
    WithJsonSchema({"type": "string", "pattern": f"^{_FEE.pattern}$", "description": "USD"}),
]
"""USD, a decimal string with at most 9 decimals."""

UnitName = Annotated[str, Field(pattern=rf"^{UNIT.pattern}$")]
"""What is billed by count: `web_search`, `image:1024x1024:hd`."""

Usd = UsdPerRequest
"""An amount of money: nano-dollars are the finest."""

Secret = Annotated[
    Any,
    BeforeValidator(_secret),
    PlainSerializer(_as_written),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"\$\{|^file:"}, {"type": "null"}]}),
]
"""A `Resolved` text or None; written as a reference, and dumped as one."""

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
"""An identifier that may be a metric label: letters, digits and `._:-`."""

ProviderId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A provider's identifier: letters, digits and `._-`."""

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@*][A-Za-z0-9._:/@+*-]{0,199}$")]
"""A model's name, with `*` in wildcards."""

LONG = Tag("@mapping")
SHORT = Tag("@text")
FORM = Discriminator(lambda value: LONG.tag if isinstance(value, dict | BaseModel) else SHORT.tag)
"""For settings with a short form, a word, and a long one, a mapping: only the form that was written is checked."""


def word(parse: Callable[[str], object], expected: str) -> BeforeValidator:
    """A text that `parse` takes. `parse` raises ValueError with a message for people; `expected` is for other types.

    A variable's value is never part of the message.
    """

    def check(value: Any) -> Any:
        if isinstance(value, Resolved) and value.missing:
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("word", "should be {expected}", {"expected": expected})
        try:
            parse(str(value))
        except ValueError as error:
            if isinstance(value, Resolved):
                message = "what {written} stands for will not do; it should be {expected}"
                raise PydanticCustomError("word", message, {"written": value.written, "expected": expected}) from None
            raise PydanticCustomError("word", "{message}", {"message": str(error)}) from None
        return value

    return BeforeValidator(check)


EmptyIsNone = BeforeValidator(_none_is_empty)
"""For maps: a section without entries is an empty one."""
