"""Reading a request of /v1/responses as strictly as OpenAI does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.simulator import fields
from gateway.simulator.errors import SimError, invalid, missing, wrong_type
from gateway.simulator.fields import Body, ChatAsk, Hosted, Options, optional, whole
from gateway.simulator.responses.items import Reader, as_items
from gateway.simulator.responses.shelf import Shelf

_LEAST_OUTPUT_TOKENS = 16
_HOSTED = {"web_search": "web_search", "file_search": "file_search", "code_interpreter": "code_interpreter"}
_SUPPORTED = frozenset(
    (
        *("function", "custom", "mcp", "computer_use_preview", "computer", "image_generation", "local_shell", "shell"),
        *("apply_patch", "tool_search", "namespace", "programmatic_tool_calling"),
    )
)
_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class ResponsesAsk:
    """A request, read."""

    chat: ChatAsk
    """What it asks for, in the words of a chat."""
    own_items: list[Body]
    """The items that this request brings."""
    history: list[Body]
    """Those of the responses before it."""
    store: bool
    include: frozenset[str]
    custom: frozenset[str]
    """The names of tools that are called with a text."""
    summary: bool
    """Whether reasoning is to be summed up."""
    obfuscate: bool
    """Whether deltas are padded, so that their sizes tell nothing."""


def read(body: Body, shelf: Shelf, owner: str) -> ResponsesAsk:
    """Read a request. Raises SimError (400, 404)."""
    if body.get("background"):
        raise invalid("The simulator runs no responses in the background.", "background", "unsupported_parameter")
    if body.get("conversation") is not None:
        raise SimError(404, "The simulator keeps no conversations.", param="conversation")
    previous = optional(body, "previous_response_id", str, "a string")
    history = [] if previous is None else shelf.history(owner, previous)
    own_items = as_items(body.get("input"))
    reader = Reader(shelf)
    instructions = optional(body, "instructions", str, "a string")
    if instructions:
        reader.messages.append({"role": "developer", "content": instructions})
    reader.read(history, trusted=True)
    reader.read(own_items)
    reader.finish()
    if not reader.messages:
        raise invalid("Invalid 'input': empty array. Expected at least 1 item.", "input", "empty_array")
    reasoning: Body = optional(body, "reasoning", dict, "an object") or {}
    stream_options: Body = optional(body, "stream_options", dict, "an object") or {}
    chat = _chat(body, reader.messages)
    return ResponsesAsk(
        chat=chat,
        own_items=own_items,
        history=history,
        store=optional(body, "store", bool, "a boolean") is not False,
        include=frozenset(map(str, optional(body, "include", list, "an array of strings") or ())),
        custom=frozenset(tool["name"] for tool in chat.tools if tool.get("custom")),
        summary=bool(reasoning.get("summary") or reasoning.get("generate_summary")),
        obfuscate=stream_options.get("include_obfuscation") is not False,
    )


def _chat(body: Body, messages: list[Body]) -> ChatAsk:
    tools, hosted = _tools(optional(body, "tools", list, "an array of objects") or [])
    tier = optional(body, "service_tier", str, "a string")
    text: Body = optional(body, "text", dict, "an object") or {}
    return ChatAsk(
        messages=messages,
        tools=tools,
        tool_choice=_tool_choice(body.get("tool_choice"), tools, hosted),
        parallel_tool_calls=optional(body, "parallel_tool_calls", bool, "a boolean") is not False,
        schema=_schema(text.get("format")),
        options=Options(
            n=1,
            limit=whole(body, "max_output_tokens", _LEAST_OUTPUT_TOKENS),
            stop=(),
            stream=bool(optional(body, "stream", bool, "a boolean")),
            include_usage=True,
            service_tier="default" if tier in {None, "auto"} else str(tier),
        ),
        hosted=hosted,
        most_hosted=whole(body, "max_tool_calls", 0),
    )


def _tools(tools: list[Any]) -> tuple[list[Body], tuple[Hosted, ...]]:
    """Those that the client runs, and those that run here."""
    called: list[Body] = []
    hosted: list[Hosted] = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise missing(f"{where}.type")
        own = _hosted_name(kind)
        if kind in {"function", "custom"}:
            if not isinstance(tool.get("name"), str) or not tool["name"]:
                raise missing(f"{where}.name")
            called.append({"name": tool["name"], **_said(tool), **({"custom": True} if kind == "custom" else {})})
        elif own is not None:
            if own == "file_search" and not tool.get("vector_store_ids"):
                raise missing(f"{where}.vector_store_ids")
            if own == "code_interpreter" and tool.get("container") is None:
                raise missing(f"{where}.container")
            hosted.append(Hosted(own, tool))
        elif kind not in _SUPPORTED:
            supported = ", ".join(f"'{name}'" for name in sorted({*_SUPPORTED, *_HOSTED}))
            message = f"Invalid value: '{kind}'. Supported values are: {supported}."
            raise invalid(message, f"{where}.type", "invalid_value")
    return called, tuple(hosted)


def _said(tool: Body) -> Body:
    return {name: tool[name] for name in ("description", "parameters", "format") if tool.get(name) is not None}


def _hosted_name(kind: str) -> str | None:
    """What a tool is billed as: `web_search_preview_2025_03_11` is a web search."""
    return next((name for prefix, name in _HOSTED.items() if kind.startswith(prefix)), None)


def _tool_choice(choice: Any, tools: list[Body], hosted: tuple[Hosted, ...]) -> str:
    if choice is None:
        return "auto" if tools or hosted else "none"
    if isinstance(choice, dict):
        return _named_choice(choice, tools, hosted)
    if choice not in _CHOICES:
        raise invalid(
            f"Invalid value: {choice!r}. Supported values are: 'none', 'auto', and 'required'.", "tool_choice"
        )
    if choice == "required" and not tools and not hosted:
        raise invalid("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    return str(choice)


def _named_choice(choice: Body, tools: list[Body], hosted: tuple[Hosted, ...]) -> str:
    kind, name = str(choice.get("type")), choice.get("name")
    if kind == "allowed_tools":
        mode = choice.get("mode")
        return str(mode) if mode in _CHOICES else "auto"
    if kind in {"function", "custom"}:
        if any(tool["name"] == name for tool in tools):
            return f"function:{name}"
        raise invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    own = _hosted_name(kind)
    if own is not None and any(tool.name == own for tool in hosted):
        return f"hosted:{own}"
    raise invalid(f"Tool choice '{kind}' not found in 'tools' parameter.", "tool_choice")


def _schema(text_format: Any) -> Body | None:
    """The JSON Schema of `text.format`, which has no `json_schema` inside it as chat's has."""
    if text_format is None:
        return None
    if not isinstance(text_format, dict):
        raise wrong_type("text.format", "an object", text_format)
    kind = text_format.get("type")
    if kind != "json_schema":
        return fields.schema({"type": kind}, "text.format")
    if not isinstance(text_format.get("name"), str):
        raise missing("text.format.name")
    if not isinstance(text_format.get("schema"), dict):
        raise missing("text.format.schema")
    found: Body = text_format["schema"]
    return found
