"""Tools and the choice among them, in chat's words.

A tool of the client's own becomes a function, and so does a tool that the client runs and Anthropic defines
(`bash_20250124`: see `defined`). What Anthropic runs (searches, its interpreter) chat has no word for: it is noted as a
service, and only a deployment that speaks the Messages API is asked. So it is with its computer and browser, which are
whole sets of tools.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.messages.defined import function_of
from gateway.wire.messages.notes import ABSENT, MALFORMED, Notes, is_null, misshapen, missing, starts_with, wrong
from gateway.wire.native import Service

_encode = msgspec.json.encode
Fields = dict[str, msgspec.Raw]

_FUNCTION: Final = ("name", "description", "strict")
"""Fields of a tool that OpenAI has in its function."""
_RENAMED: Final = ("type", "input_schema", *_FUNCTION)
_SETS: Final = ("computer_", "browser_")
"""Sets of tools that the client runs and Anthropic defines."""
_SERVICES: Final = ("web_search", "web_fetch", "code_execution", "advisor")
"""Tools that Anthropic runs, as far as they are known; any other is taken for one, too."""
_SEARCH: Final = "tool_search_tool"
"""Finds tools that are in the request anyway: a model without it sees them all."""
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    max_uses: int | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


_tools_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_tool_decoder = msgspec.json.Decoder(_Tool)
_fields_decoder = msgspec.json.Decoder(Fields)
_choice_decoder = msgspec.json.Decoder(_Choice)


def read_tools(fields: Fields, notes: Notes) -> dict[str, Any]:
    """The chat fields that `tools` and `tool_choice` become. Raises BadRequest errors that name the field."""
    tools = _read_list(fields.get("tools", ABSENT), notes)
    choice = _read_choice(fields.get("tool_choice", ABSENT))
    return {"tools": tools, **choice} if tools else {}


def _read_list(raw: msgspec.Raw, notes: Notes) -> list[dict[str, Any]]:
    if is_null(raw):
        return []
    if not starts_with(raw, b"["):
        raise wrong("tools", "must be a list")
    read = [_read_tool(tool, f"tools.{index}", notes) for index, tool in enumerate(_tools_decoder.decode(raw))]
    return [tool for tool in read if tool is not None]


def _read_tool(raw: msgspec.Raw, field: str, notes: Notes) -> dict[str, Any] | None:
    """A tool as a function; None for one that says nothing in chat."""
    try:
        tool = _tool_decoder.decode(raw)
    except MALFORMED as error:
        raise misshapen(field, error) from None
    kind = tool.type
    if kind is None or kind == "custom":
        return _function(raw, tool, field)
    if kind.startswith(_SEARCH):
        return None
    defined = function_of(kind, tool.name or kind)
    if defined is not None:
        return defined
    if kind.startswith(_SETS):
        notes.refuse(field, f"the tool {kind[:64]!r} is known to Anthropic's models only.")
        notes.brings_in(field)
        return {"type": "function", "function": {"name": tool.name or kind}}
    name = next((known for known in _SERVICES if kind.startswith(known)), kind[:64])
    if tool.max_uses is not None and tool.max_uses < 1:
        raise wrong(f"{field}.max_uses", "must be a whole number from 1 on")
    notes.refuse(field, f"the tool {kind[:64]!r} is run by Anthropic, for its own models only.")
    notes.brings_in(field)
    notes.services.append(Service(name, field, tool.max_uses))
    return None


def _function(raw: msgspec.Raw, tool: _Tool, field: str) -> dict[str, Any]:
    """A tool of the client's own, with all else that it says: marks for the prompt cache, examples."""
    if not tool.name:
        raise missing(f"{field}.name")
    said = {name: value for name, value in _fields_decoder.decode(raw).items() if not is_null(value)}
    if "input_schema" not in said:
        raise missing(f"{field}.input_schema")
    if not starts_with(said["input_schema"], b"{"):
        raise wrong(f"{field}.input_schema", "must be a JSON Schema")
    function: dict[str, Any] = {name: said[name] for name in _FUNCTION if name in said}
    function["parameters"] = said["input_schema"]
    others = {name: value for name, value in said.items() if name not in _RENAMED and name != "function"}
    return {"type": "function", "function": function, **others}


def _read_choice(raw: msgspec.Raw) -> dict[str, Any]:
    if is_null(raw):
        return {}
    try:
        choice = _choice_decoder.decode(raw)
    except MALFORMED as error:
        raise misshapen("tool_choice", error) from None
    parallel: dict[str, Any] = {"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {}
    if choice.type == "tool":
        if not choice.name:
            raise missing("tool_choice.name")
        return {"tool_choice": {"type": "function", "function": {"name": choice.name}}, **parallel}
    if choice.type not in _CHOICES:
        raise wrong("tool_choice.type", "must be `auto`, `any`, `tool` or `none`")
    return {"tool_choice": _CHOICES[choice.type], **parallel}
