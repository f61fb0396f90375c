"""Reading a request's fields as strictly as OpenAI does. null counts as absent; unknown fields are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.simulator.errors import invalid, missing, wrong_type

Body = dict[str, Any]


def optional(body: Body, name: str, kind: type, wanted: str) -> Any:
    """The field, or None. Raises SimError (400) when it has another type."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise wrong_type(name, wanted, value)
    return value


def whole(body: Body, name: str, least: int, most: int | None = None) -> int | None:
    """An integer between `least` and `most`, or None."""
    value: int | None = optional(body, name, int, "an integer")
    if value is not None and value < least:
        raise invalid(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}.",
            name,
            "integer_below_min_value",
        )
    if value is not None and most is not None and value > most:
        raise invalid(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}.",
            name,
            "integer_above_max_value",
        )
    return value


@dataclass(frozen=True, slots=True)
class Options:
    """What chat and legacy completions share."""

    n: int
    limit: int | None
    """Most output tokens per choice."""
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    service_tier: str
    running_usage: bool = False
    """Usage in every event of a stream, as vLLM has it: `stream_options.continuous_usage_stats`."""


def options(body: Body, *limit_names: str) -> Options:
    """Read the shared fields; the first of `limit_names` that is there is the output limit. Raises SimError (400)."""
    stream = bool(optional(body, "stream", bool, "a boolean"))
    stream_options = optional(body, "stream_options", dict, "an object")
    if stream_options is not None and not stream:
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    limits = [whole(body, name, 1) for name in limit_names]
    tier = optional(body, "service_tier", str, "a string")
    return Options(
        n=whole(body, "n", 1, 128) or 1,
        limit=next((limit for limit in limits if limit is not None), None),
        stop=_stop(body.get("stop")),
        stream=stream,
        include_usage=bool((stream_options or {}).get("include_usage")),
        service_tier="default" if tier in {None, "auto"} else str(tier),
        running_usage=all((stream_options or {}).get(name) for name in ("include_usage", "continuous_usage_stats")),
    )


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise wrong_type("stop", "a string or an array of strings", value)
    if len(stops) > 4:
        raise invalid("Invalid 'stop': array too long. Expected at most 4 items.", "stop", "array_above_max_length")
    return tuple(stop for stop in stops if stop)


class Hosted(NamedTuple):
    """A tool that runs at the provider."""

    name: str
    """What it is billed as: `web_search`, `file_search`, `code_interpreter`."""
    spec: Body
    """As the request has it."""
    most: int | None = None
    """Calls of it that the request allows."""


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """A request for an answer, read. Other APIs than chat are read into one, too."""

    messages: list[Body]
    tools: list[Body]
    """The `function` objects. One with `"custom": True` is called with a text instead of JSON."""
    tool_choice: str
    """`none`, `auto`, `required`, `function:NAME`, or `hosted:NAME`."""
    parallel_tool_calls: bool
    schema: Body | None
    """The JSON Schema that the answer must fit; `{}` for any object; None for text."""
    options: Options
    hosted: tuple[Hosted, ...] = ()
    most_hosted: int | None = None
    """Calls of all of them that the request allows."""
    reasons: bool = True
    """Whether a model that reasons does so, hidden."""
    thinking: int = 0
    """Most tokens of thinking that is shown: whatever the model."""
    talks: bool = False
    """Whether text may come before a call."""


_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PARTS = frozenset({"text", "image_url", "refusal"})


def chat(body: Body) -> ChatAsk:
    """Read a chat request. Raises SimError (400)."""
    if body.get("messages") is None:
        raise missing("messages")
    messages: list[Body] = optional(body, "messages", list, "an array of objects")
    if not messages:
        raise invalid("Invalid 'messages': empty array. Expected at least 1 item.", "messages", "empty_array")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    tools = _tools(optional(body, "tools", list, "an array of objects") or [])
    return ChatAsk(
        messages=messages,
        tools=tools,
        tool_choice=_tool_choice(body.get("tool_choice"), tools),
        parallel_tool_calls=optional(body, "parallel_tool_calls", bool, "a boolean") is not False,
        schema=schema(optional(body, "response_format", dict, "an object")),
        options=options(body, "max_completion_tokens", "max_tokens"),
    )


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(where, "an object", message)
    if str(message.get("role")) not in _ROLES:
        raise invalid(
            f"Invalid value: {message.get('role')!r}. Supported values are: {', '.join(sorted(_ROLES))}.",
            f"{where}.role",
        )
    content = message.get("content")
    if content is None:
        if message["role"] != "assistant":
            raise invalid("Invalid value for 'content': expected a string, got null.", f"{where}.content")
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(f"{where}.content", "a string or an array of objects", content)
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if str(kind) not in _PARTS:
            raise invalid(
                f"Invalid value: {kind!r}. Supported values are: {', '.join(sorted(_PARTS))}.", f"{where}.content"
            )


def _tools(tools: list[Any]) -> list[Body]:
    functions: list[Body] = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise missing(f"tools[{index}].function.name")
        functions.append(function)
    return functions


def _tool_choice(choice: Any, tools: list[Body]) -> str:
    if choice is None:
        return "auto" if tools else "none"
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not any(tool["name"] == name for tool in tools):
            raise invalid(f"Tool choice {name!r} not found in 'tools' parameter.", "tool_choice")
        return f"function:{name}"
    if str(choice) not in {"none", "auto", "required"}:
        raise invalid(
            f"Invalid value: {choice!r}. Supported values are: 'none', 'auto', and 'required'.", "tool_choice"
        )
    if not tools:
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    return str(choice)


def schema(response_format: Body | None, where: str = "response_format") -> Body | None:
    """The schema that an answer must fit: `{}` for any object, None for text. Raises SimError (400)."""
    kind = (response_format or {}).get("type", "text")
    if kind == "text" or response_format is None:
        return None
    if kind == "json_object":
        return {}
    if kind != "json_schema":
        raise invalid(
            f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
            f"{where}.type",
        )
    outer = response_format.get("json_schema")
    found = outer.get("schema") if isinstance(outer, dict) else None
    if not isinstance(found, dict):
        raise missing("response_format.json_schema.schema")
    return found
