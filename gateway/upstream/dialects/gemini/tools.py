"""Tools, and which of them may be called."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.gemini.fields import read, unsayable

_NOTHING = (b"", b"null", b"{}")
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"null")


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _Name(msgspec.Struct):
    name: str


class _Named(msgspec.Struct):
    type: str = "function"
    function: _Name | None = None


class _Allowed(msgspec.Struct):
    tools: list[_Named]
    mode: str = "auto"


class _Choice(msgspec.Struct):
    type: str
    function: _Name | None = None
    allowed_tools: _Allowed | None = None


_tools_decoder = msgspec.json.Decoder(list[_Tool])
_choice_decoder = msgspec.json.Decoder(str | _Choice)


def declarations(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """`tools` as function declarations. Schemas go as they are, as JSON Schema. Raises InvalidField."""
    tools = read(_tools_decoder, raw, "tools")
    return [_declaration(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _declaration(tool: _Tool, field: str) -> dict[str, Any]:
    if tool.type != "function" or tool.function is None:
        raise unsayable(f"{field}.type", f"it is {tool.type!r}, and Gemini's tools are functions")
    made: dict[str, Any] = {"name": tool.function.name}
    if tool.function.description:
        made["description"] = tool.function.description
    if bytes(tool.function.parameters) not in _NOTHING:
        made["parametersJsonSchema"] = tool.function.parameters
    return made


def calling(raw: msgspec.Raw) -> dict[str, Any]:
    """`tool_choice` as `functionCallingConfig`. Raises InvalidField."""
    choice = read(_choice_decoder, raw, "tool_choice")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise InvalidField("`tool_choice` should be auto, none, required, or a function.", param="tool_choice")
        return {"mode": _MODES[choice]}
    if choice.type == "function" and choice.function is not None:
        return {"mode": "ANY", "allowedFunctionNames": [choice.function.name]}
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        names = [tool.function.name for tool in choice.allowed_tools.tools if tool.function is not None]
        mode = "ANY" if choice.allowed_tools.mode == "required" else "VALIDATED"  # AUTO takes no names
        return {"mode": mode, "allowedFunctionNames": names}
    raise unsayable("tool_choice", "it is neither a word nor a function")
