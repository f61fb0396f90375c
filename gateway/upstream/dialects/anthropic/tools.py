"""Tools, the choice among them, and the tool by which a model without a JSON mode answers in JSON.

`response_format: {"type": "json_object"}` has no counterpart: structured outputs need a schema. A tool that takes any
object, which the model has to call, does the same; its input is given back as the answer's text.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.abilities import Abilities
from gateway.upstream.dialects.anthropic.content import NULL
from gateway.upstream.dialects.anthropic.schema import adapted

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

JSON_TOOL: Final = "respond_with_json"
JSON_TOOL_NAME: Final = b'"respond_with_json"'
_JSON_TOOL_DEFINITION: Final = {
    "name": JSON_TOOL,
    "description": "Gives the answer to the user. Its input is the JSON object that was asked for.",
    "input_schema": {"type": "object", "additionalProperties": True},
}
MAX_STRICT_TOOLS: Final = 20
"""More strict tools than this are refused."""
_OBJECT: Final = msgspec.Raw(b'"object"')
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
_OWN_CHOICES: Final = ("auto", "none", "any", "tool")
"""Anthropic's own types of choices."""
_OPENAI_ONLY: Final = ("type", "function")

Fields = dict[str, msgspec.Raw]

_tools_decoder = msgspec.json.Decoder(list[Fields])
_fields_decoder = msgspec.json.Decoder(Fields)


class _Named(msgspec.Struct):
    name: str = ""


class _Allowed(msgspec.Struct):
    mode: str = "auto"
    tools: list[dict[str, Any]] = msgspec.field(default_factory=list)


class _Choice(msgspec.Struct):
    type: str = ""
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


_choice_decoder = msgspec.json.Decoder(str | _Choice)


class Tools(NamedTuple):
    """What a request says of tools."""

    tools: list[Fields | dict[str, Any]]
    choice: dict[str, Any] | None

    @property
    def forced(self) -> bool:
        """Whether the model has to call one."""
        return self.choice is not None and self.choice.get("type") in ("any", "tool")


def read_tools(fields: Fields, abilities: Abilities, *, json_tool: bool) -> Tools:
    """Translate `tools`, `tool_choice` and `parallel_tool_calls`. Raises InvalidField."""
    raw = fields.get("tools", msgspec.Raw(b"null"))
    tools: list[Any] = [] if bytes(raw) in NULL else _read_list(raw, abilities)
    choice, allowed = _read_choice(fields)
    if allowed is not None:
        tools = [tool for tool in tools if bytes(tool.get("name", b"")) in allowed]
    kind = choice.get("type") if choice else None
    if json_tool and kind in (None, "auto", "none"):
        if not abilities.forced_tools:
            raise InvalidField(
                "`response_format`: this model knows no JSON without a schema. Ask for a `json_schema`.",
                param="response_format",
            )
        only = not tools or kind == "none"
        choice = {"type": "tool", "name": JSON_TOOL} if only else {"type": "any"}
        tools.append(_JSON_TOOL_DEFINITION)
    if not tools:
        return Tools([], None)
    if bytes(fields.get("parallel_tool_calls", b"")) == b"false":
        choice = choice or {"type": "auto"}
        if choice.get("type") != "none":
            choice.setdefault("disable_parallel_tool_use", True)
    return Tools(tools, choice)


def _read_list(raw: msgspec.Raw, abilities: Abilities) -> list[Fields]:
    try:
        tools = _tools_decoder.decode(raw)
    except _MALFORMED as error:
        raise InvalidField(f"`tools` is not valid: {error}.", param="tools") from None
    read = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    strict = [tool for tool in read if bytes(tool.get("strict", b"")) == b"true" and "input_schema" in tool]
    keeps = abilities.formats and len(strict) <= MAX_STRICT_TOOLS
    for tool in strict:
        if keeps:
            tool["input_schema"] = adapted(tool["input_schema"])
        else:
            del tool["strict"]
    return read


def _read_tool(tool: Fields, field: str) -> Fields:
    """A function as Anthropic declares it, with all else that the client wrote; Anthropic's own tools as they are."""
    if "function" not in tool:
        if bytes(tool.get("type", b"")) == b'"custom"' and "custom" in tool:
            raise InvalidField(f"`{field}`: Claude takes no tools with free text as input.", param=field)
        return {name: value for name, value in tool.items() if bytes(value) not in NULL}
    try:
        function = _fields_decoder.decode(tool["function"])
    except _MALFORMED:
        raise InvalidField(f"`{field}.function` must be an object.", param=f"{field}.function") from None
    schema = function.pop("parameters", msgspec.Raw(b"null"))
    read = {**function, **{name: value for name, value in tool.items() if name not in _OPENAI_ONLY}}
    read = {name: value for name, value in read.items() if bytes(value) not in NULL}
    read["input_schema"] = _input_schema(schema, f"{field}.function.parameters")
    if bytes(read.get("strict", b"")) == b"false":
        del read["strict"]
    return read


def _input_schema(schema: msgspec.Raw, field: str) -> msgspec.Raw:
    """The parameters' schema, which has to say that it is of an object."""
    if bytes(schema) in NULL:
        return msgspec.Raw(b'{"type":"object","properties":{}}')
    try:
        read = _fields_decoder.decode(schema)
    except _MALFORMED:
        raise InvalidField(f"`{field}` must be a JSON Schema.", param=field) from None
    if "type" in read:
        return schema
    return msgspec.Raw(msgspec.json.encode({"type": _OBJECT, **read}))


def _read_choice(fields: Fields) -> tuple[dict[str, Any] | None, set[bytes] | None]:
    """The choice, and the names (as JSON) of the tools that it leaves, if it leaves out any."""
    raw = fields.get("tool_choice", msgspec.Raw(b"null"))
    if bytes(raw) in NULL:
        return None, None
    try:
        choice = _choice_decoder.decode(raw)
        if isinstance(choice, str):
            return {"type": _CHOICES[choice]}, None
        if choice.function is not None:
            return {"type": "tool", "name": choice.function.name}, None
        if choice.allowed_tools is not None:
            names = {msgspec.json.encode(_name_of(tool)) for tool in choice.allowed_tools.tools}
            return {"type": _CHOICES[choice.allowed_tools.mode]}, names
        if choice.type in _OWN_CHOICES:
            return msgspec.json.decode(raw, type=dict[str, Any]), None
    except (*_MALFORMED, KeyError):
        pass  # told below
    raise InvalidField("`tool_choice` is none that Claude knows.", param="tool_choice")


def _name_of(tool: dict[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")
