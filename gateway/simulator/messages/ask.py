"""Reading a request of /v1/messages as strictly as Anthropic does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.simulator.fields import Body, ChatAsk, Hosted, Options
from gateway.simulator.messages.blocks import Checker, Ink, as_blocks, check_marks
from gateway.simulator.messages.tongue import refused
from gateway.simulator.tokenizer import Tokenizer

_FIELDS = frozenset(
    (
        *("model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "stop_sequences", "stream"),
        *("temperature", "top_p", "top_k", "metadata", "service_tier", "output_config", "output_format", "container"),
        *("cache_control", "inference_geo", "context_management", "mcp_servers", "speed", "betas", "diagnostics"),
        *("billing_policy", "compaction", "fallback_credit_token", "fallbacks", "thread", "user_profile_id"),
        "workspace_id",
    )
)
_LEAST_THINKING = 1_024
_ADAPTIVE_THINKING = 4_096
_ROLES = ("user", "assistant", "system")


@dataclass(frozen=True, slots=True)
class MessagesAsk:
    """A request, read."""

    chat: ChatAsk
    """What it asks for, in the words of a chat."""
    shows_thinking: bool
    system: list[Body]
    messages: list[tuple[str, list[Body]]]
    """Roles and blocks."""
    tools: list[Body]
    """As they came."""
    cache_control: Body | None
    """Asks to keep the whole prompt."""


def read(body: Body, *, counting: bool = False) -> MessagesAsk:
    """Read a request, or one that only asks for its size. Raises SimError (400)."""
    for name in body:
        if name not in _FIELDS:
            raise refused(f"{name}: Extra inputs are not permitted")
    messages = _messages(body.get("messages"))
    limit = None if counting else _whole(body, "max_tokens", 1)
    tools = _list(body, "tools")
    thinking, shows = _thinking(body, limit)
    own, hosted = _tools(tools)
    choice = _tool_choice(body.get("tool_choice"), own, hosted)
    if thinking:
        _check_thinking(messages, choice)
    ask = ChatAsk(
        messages=[_as_chat(role, blocks) for role, blocks in messages],
        tools=own,
        tool_choice=choice,
        parallel_tool_calls=not (body.get("tool_choice") or {}).get("disable_parallel_tool_use"),
        schema=_schema(body),
        options=Options(
            n=1,
            limit=limit,
            stop=_stops(body),
            stream=bool(_typed(body, "stream", bool, "boolean")),
            include_usage=True,
            service_tier="standard",
        ),
        hosted=hosted,
        reasons=False,
        thinking=thinking,
        talks=True,
    )
    system = _system(body.get("system"))
    return MessagesAsk(ask, shows, system, messages, tools, _typed(body, "cache_control", dict, "dictionary"))


def render(ask: MessagesAsk, tokenizer: Tokenizer) -> Ink:
    """The prompt: tools, system, messages. Raises SimError (400)."""
    ink = Ink(tokenizer)
    for tool in ask.tools:
        ink.json(tool)
    if ask.chat.schema:
        ink.json(ask.chat.schema)
    for block in ask.system:
        ink.block(block)
    for role, blocks in ask.messages:
        ink.framing(role)
        for block in blocks:
            ink.block(block)
    if ask.cache_control is not None:
        ink.mark_all(ask.cache_control)
    check_marks(ink.marks)
    return ink


def _messages(messages: Any) -> list[tuple[str, list[Body]]]:
    if messages is None:
        raise refused("messages: Field required")
    if not isinstance(messages, list):
        raise refused("messages: Input should be a valid array")
    if not messages:
        raise refused("messages: at least one message is required")
    checker = Checker()
    found: list[tuple[str, list[Body]]] = []
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        role, content = _role_and_content(message, where)
        if not index and role != "user":
            raise refused('messages: first message must use the "user" role')
        blocks = as_blocks(content)
        last = index == len(messages) - 1
        if not blocks and not (last and role == "assistant"):
            raise refused(
                f"{where}: all messages must have non-empty content except for the optional final assistant message"
            )
        checker.message(role, blocks, where)
        found.append((role, blocks))
    checker.finish()
    role, blocks = found[-1]
    if role == "assistant" and blocks and str(blocks[-1].get("text") or "x")[-1].isspace():
        raise refused("messages: final assistant content cannot end with trailing whitespace")
    return found


def _role_and_content(message: Any, where: str) -> tuple[str, Any]:
    if not isinstance(message, dict):
        raise refused(f"{where}: Input should be a valid dictionary")
    role = message.get("role")
    if role not in _ROLES:
        raise refused(f"{where}.role: Input should be 'user' or 'assistant'")
    for name in message:
        if name not in {"role", "content"}:
            raise refused(f"{where}.{name}: Extra inputs are not permitted")
    content = message.get("content")
    if content is None:
        raise refused(f"{where}.content: Field required")
    if not isinstance(content, str | list):
        raise refused(f"{where}.content: Input should be a valid array")
    return str(role), content


def _as_chat(role: str, blocks: list[Body]) -> Body:
    """What the answer is about. A message with results of tools is one, whatever else it says."""
    results = [part for block in blocks if block["type"] == "tool_result" for part in as_blocks(block.get("content"))]
    if any(block["type"] == "tool_result" for block in blocks):
        role = "tool"
    texts = [str(block.get("text")) for block in (*blocks, *results) if block.get("type") == "text"]
    return {"role": role, "content": " ".join(texts)}


def _system(system: Any) -> list[Body]:
    if system is None:
        return []
    if not isinstance(system, str | list):
        raise refused("system: Input should be a valid array")
    blocks = as_blocks(system)
    for index, block in enumerate(blocks):
        if block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise refused(f"system.{index}.type: Input should be 'text'")
        if not block["text"] and isinstance(system, list):
            raise refused("system: text content blocks must be non-empty")
    return blocks


def _tools(tools: list[Any]) -> tuple[list[Body], tuple[Hosted, ...]]:
    own: list[Body] = []
    hosted: list[Hosted] = []
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise refused(f"tools.{index}.custom.name: Field required")
        kind = str(tool.get("type") or "custom")
        if kind.startswith("web_search_"):
            hosted.append(Hosted("web_search", tool, _whole(tool, "max_uses", 1, needed=False)))
        elif kind.startswith(("web_fetch_", "code_execution_", "tool_search_", "mcp_toolset")):
            continue  # runs at the provider, and is never called by this one
        elif kind == "custom":
            if not isinstance(tool.get("input_schema"), dict):
                raise refused(f"tools.{index}.custom.input_schema: Field required")
            if tool["input_schema"].get("type") != "object":
                raise refused(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
            own.append({"name": tool["name"], "parameters": tool["input_schema"]})
        else:
            own.append({"name": tool["name"], "parameters": {}})
    names = [tool["name"] for tool in own]
    if len(set(names)) < len(names):
        raise refused("tools: Tool names must be unique.")
    return own, tuple(hosted)


def _tool_choice(choice: Any, tools: list[Body], hosted: tuple[Hosted, ...]) -> str:
    if choice is None:
        return "auto" if tools or hosted else "none"
    kind = str(choice.get("type")) if isinstance(choice, dict) else "None"
    if not tools and not hosted and kind != "none":
        raise refused("tool_choice: tool_choice may only be specified while providing tools.")
    if kind in {"auto", "none"}:
        return str(kind)
    if kind == "any":
        return "required"
    if kind != "tool":
        raise refused(
            f"tool_choice: Input tag '{kind}' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
        )
    name = choice.get("name")
    if any(tool["name"] == name for tool in tools):
        return f"function:{name}"
    if any(tool.spec.get("name") == name for tool in hosted):
        return "hosted:web_search"
    raise refused(f"Tool '{name}' not found in provided tools")


def _thinking(body: Body, limit: int | None) -> tuple[int, bool]:
    """The most tokens to think, 0 for none, and whether that is shown."""
    asked = _typed(body, "thinking", dict, "dictionary")
    kind = None if asked is None else str(asked.get("type"))
    if asked is None or kind in {"disabled", "between_tools"}:
        return 0, False
    shows = asked.get("display") != "omitted"
    if kind == "adaptive":
        return min(_ADAPTIVE_THINKING, limit or _ADAPTIVE_THINKING), shows
    if kind != "enabled":
        raise refused(
            f"thinking: Input tag '{kind}' does not match any of the expected tags: 'disabled', 'enabled', 'adaptive'"
        )
    budget = _whole(asked, "budget_tokens", _LEAST_THINKING, where="thinking.enabled.")
    assert budget is not None  # noqa: S101 - it was needed
    if limit is not None and budget >= limit:
        raise refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature") not in (None, 1):
        raise refused("`temperature` may only be set to 1 when thinking is enabled.")
    return budget, shows


def _check_thinking(messages: list[tuple[str, list[Body]]], choice: str) -> None:
    """Thoughts before a call must come back with its result."""
    if choice == "required" or choice.startswith("function:"):
        raise refused("Thinking may not be enabled when tool_choice forces tool use.")
    if not any(block["type"] == "tool_result" for block in messages[-1][1]):
        return
    index, blocks = next((at, said) for at, (role, said) in reversed(list(enumerate(messages))) if role == "assistant")
    first = blocks[0]["type"]
    if first not in {"thinking", "redacted_thinking"}:
        raise refused(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _schema(body: Body) -> Body | None:
    config = _typed(body, "output_config", dict, "dictionary") or {}
    asked = config.get("format") or body.get("output_format")
    if asked is None:
        return None
    if not isinstance(asked, dict) or asked.get("type") != "json_schema" or not isinstance(asked.get("schema"), dict):
        raise refused("output_config.format: Input should be a JSON schema")
    found: Body = asked["schema"]
    return found


def _stops(body: Body) -> tuple[str, ...]:
    stops = _list(body, "stop_sequences")
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise refused(f"stop_sequences.{index}: Input should be a valid string")
        if not stop.strip():
            raise refused("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(stops)


def _list(body: Body, name: str) -> list[Any]:
    return _typed(body, name, list, "array") or []


def _typed(body: Body, name: str, kind: type, wanted: str) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise refused(f"{name}: Input should be a valid {wanted}")
    return value


def _whole(body: Body, name: str, least: int, *, needed: bool = True, where: str = "") -> int | None:
    value = body.get(name)
    if value is None:
        if needed:
            raise refused(f"{where}{name}: Field required")
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise refused(f"{where}{name}: Input should be a valid integer")
    if value < least:
        raise refused(f"{where}{name}: Input should be greater than or equal to {least}")
    return value
