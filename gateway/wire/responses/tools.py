"""Tools and the choice among them. Functions and custom tools are the client's; the rest runs at the provider."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import InvalidField
from gateway.wire.native import Service
from gateway.wire.responses.raw import (
    ABSENT,
    MALFORMED,
    Fields,
    encode,
    first,
    given,
    is_null,
    object_of,
    read_any,
    read_fields,
    read_objects,
    read_string,
    string_of,
)
from gateway.wire.responses.reading import Reading

_FUNCTION: Final = ("name", "description", "parameters", "strict")
_RESPONSES_ONLY: Final = frozenset(("type", "defer_loading", "allowed_callers", "async", "output_schema", *_FUNCTION))
SEARCHES: Final = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
_AT_CLIENT: Final = frozenset(
    ("computer", "computer_use", "computer_use_preview", "local_shell", "apply_patch", "namespace")
)
"""Tools that chat has no words for, which run at the client and bring in nothing that is not in the body."""
_ONE_TEXT: Final = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_CHOICES: Final = ("none", "auto", "required")


def service_name(kind: str, tool: Fields) -> str:
    """What tariffs call a tool that runs at the provider."""
    if kind in SEARCHES:
        return "web_search_preview" if "preview" in kind else "web_search"
    if kind == "image_generation":
        return image_unit(tool)
    if kind == "code_interpreter":
        return _container_unit(tool.get("container"))
    if kind == "shell":  # in a container, as the interpreter
        return _container_unit(tool.get("environment"))
    return kind[:40]


def _container_unit(container: msgspec.Raw | None) -> str:
    """A container's unit, by its size: `code_interpreter:4g`."""
    if container is None or first(container) != b"{":
        return "code_interpreter"
    size = bytes(given(read_fields(container)).get("memory_limit", b'""'))[1:-1].decode(errors="replace")
    return f"code_interpreter:{size}" if size.isascii() and size.isalnum() else "code_interpreter"


def units_of(tools: msgspec.Raw) -> dict[str, str]:
    """The units of tools whose calls do not tell them, by the type of their calls; of a response's `tools`."""
    units: dict[str, str] = {}
    if first(tools) != b"[":
        return units
    try:
        for tool in map(given, read_objects(tools)):
            kind = bytes(tool.get("type", b'""'))[1:-1].decode(errors="replace")
            if kind in SEARCHES:
                units["web_search_call"] = service_name(kind, tool)
            elif kind == "code_interpreter":
                units["code_interpreter_call"] = service_name(kind, tool)
    except MALFORMED:  # it is the provider's own
        return units
    return units


def image_unit(fields: Fields) -> str:
    """An image's unit: `image:1024x1024:high`, with `auto` for what is not said."""
    parts = []
    for name in ("size", "quality"):
        raw = bytes(fields.get(name, b""))
        word = raw[1:-1].decode(errors="replace") if raw[:1] == b'"' else ""
        parts.append(word if word.isascii() and word.replace(".", "").replace("_", "").isalnum() else "auto")
    return "image:" + ":".join(parts)


def read_tools(fields: Fields, reading: Reading) -> list[dict[str, Any]]:
    """The tools that chat knows; of the others it is noted what they may cost. Raises InvalidField."""
    raw = fields.get("tools")
    if raw is None or is_null(raw):
        return []
    try:
        tools = read_objects(raw)
    except MALFORMED:
        raise InvalidField("`tools` must be a list of tools.", param="tools") from None
    most = _most_calls(fields)
    found = [_read_tool(given(tool), f"tools[{index}]", most, reading) for index, tool in enumerate(tools)]
    return [tool for tool in found if tool is not None]


def _most_calls(fields: Fields) -> int | None:
    raw = bytes(fields.get("max_tool_calls", b"null"))
    return int(raw) if raw.isdigit() and len(raw) < 10 else None


def _read_tool(tool: Fields, field: str, most: int | None, reading: Reading) -> dict[str, Any] | None:
    kind = string_of(tool, "type", field)
    if kind == "function":
        string_of(tool, "name", field)
        function = {name: tool[name] for name in _FUNCTION if name in tool}
        return {"type": "function", "function": function, **_others(tool)}
    if kind == "custom":
        return _custom(tool, field)
    if kind not in _AT_CLIENT and not _is_local(kind, tool):
        reading.unsized(field)
        reading.services.append(Service(service_name(kind, tool), field, most))
    reading.refuse(f"{field}.type", f"`{field}.type`: the tool {kind[:40]!r} is not to be had with this model.")
    return None


def _is_local(kind: str, tool: Fields) -> bool:
    """Whether a shell is the client's own: the provider's runs in a container."""
    if kind != "shell" or "environment" not in tool:
        return False
    environment = object_of(tool["environment"], "tools.environment")
    return bytes(environment.get("type", b"")) == b'"local"'


def _others(tool: Fields) -> Fields:
    return {name: value for name, value in tool.items() if name not in _RESPONSES_ONLY}


def _custom(tool: Fields, field: str) -> dict[str, Any]:
    """A tool that is called with a text: a function with one parameter, which every server knows."""
    said = [string_of(tool, "description", field, ""), "Its input is one text."]
    if "format" in tool:
        form = given(object_of(tool["format"], f"{field}.format"))
        if string_of(form, "type", f"{field}.format") == "grammar":
            syntax = string_of(form, "syntax", f"{field}.format")
            definition = string_of(form, "definition", f"{field}.format")
            said.append(f"The text must follow this grammar ({syntax}):\n{definition}")
    function = {"name": string_of(tool, "name", field), "description": "\n\n".join(filter(None, said))}
    return {"type": "function", "function": {**function, "parameters": _ONE_TEXT}}


def wrapped(text: str) -> str:
    """The arguments of the function that a custom tool is in chat."""
    return encode({"input": text}).decode()


def unwrapped(arguments: str) -> str:
    """The text that a custom tool is called with; the arguments themselves where a model did not keep to them."""
    try:
        found = read_any(arguments.encode("utf-8", "surrogatepass"))
    except MALFORMED:
        return arguments
    text = found.get("input") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def custom_names(fields: Fields) -> frozenset[str]:
    """The names of a request's custom tools."""
    raw = fields.get("tools", ABSENT)
    if b'"custom"' not in bytes(raw):
        return frozenset()
    customs = [tool for tool in read_objects(raw) if bytes(tool.get("type", b"")) == b'"custom"']
    return frozenset(read_string(tool["name"]) for tool in customs)


def read_choice(fields: Fields, reading: Reading) -> Any:
    """`tool_choice` in chat's words; None where there is none, or none that chat knows. Raises InvalidField."""
    raw = fields.get("tool_choice")
    if raw is None or is_null(raw):
        return None
    if first(raw) == b'"':
        if bytes(raw)[1:-1].decode(errors="replace") not in _CHOICES:
            raise InvalidField(
                "`tool_choice` must be one of none, auto, required, or name a tool.", param="tool_choice"
            )
        return raw
    choice = given(object_of(raw, "tool_choice"))
    kind = string_of(choice, "type", "tool_choice")
    if kind in ("function", "custom"):
        return {"type": "function", "function": {"name": string_of(choice, "name", "tool_choice")}}
    if kind == "allowed_tools":
        return {"type": kind, kind: {"mode": string_of(choice, "mode", "tool_choice"), "tools": _allowed(choice)}}
    reading.refuse("tool_choice.type", f"`tool_choice.type`: {kind[:40]!r} is not to be had with this model.")
    return None


def _allowed(choice: Fields) -> list[dict[str, Any]]:
    """The tools of `allowed_tools`. Others than the client's own are left out: they are refused elsewhere."""
    field = "tool_choice.tools"
    try:
        tools = read_objects(choice.get("tools", msgspec.Raw(b"null")))
    except MALFORMED:
        raise InvalidField(f"`{field}` must be a list of tools.", param=field) from None
    allowed = []
    for index, tool in enumerate(tools):
        kind = string_of(tool, "type", f"{field}[{index}]")
        if kind in ("function", "custom"):
            name = string_of(tool, "name", f"{field}[{index}]")
            allowed.append({"type": "function", "function": {"name": name}})
    return allowed
