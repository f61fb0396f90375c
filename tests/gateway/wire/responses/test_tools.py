"""Tools, the choice among them, and what those of the provider may cost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.wire.native import Service
from gateway.wire.responses.tools import units_of, unwrapped, wrapped
from tests.gateway.wire.responses.wording import chat_of, native_of


def services(*tools: dict[str, Any], **fields: Any) -> tuple[Service, ...]:
    return native_of(tools=list(tools), **fields).services


def test_a_function() -> None:
    tool = {"type": "function", "name": "f", "parameters": None, "strict": None, "defer_loading": True}
    chat = chat_of(tools=[{**tool, "cache_control": {"type": "ephemeral"}}], tool_choice="required")
    assert chat["tools"] == [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]
    assert chat["tool_choice"] == "required"


def test_the_choice_goes_with_the_last_tool() -> None:
    assert chat_of(tools=[], tool_choice="auto", parallel_tool_calls=True).keys() == {"model", "messages"}
    assert chat_of(tools=[{"type": "function", "name": "f"}], parallel_tool_calls=False)["parallel_tool_calls"] is False


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_one_tool_is_chosen(kind: str) -> None:
    chat = chat_of(tools=[{"type": kind, "name": "f"}], tool_choice={"type": kind, "name": "f"})
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "web_search"}, "web_search"),
        ({"type": "web_search_2025_08_26"}, "web_search"),
        ({"type": "web_search_preview_2025_03_11"}, "web_search_preview"),
        ({"type": "file_search"}, "file_search"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "code_interpreter"),
        ({"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "16g"}}, "code_interpreter:16g"),
        ({"type": "code_interpreter", "container": "cntr_1"}, "code_interpreter"),
        ({"type": "image_generation"}, "image:auto:auto"),
        ({"type": "image_generation", "size": "1024x1536", "quality": "low"}, "image:1024x1536:low"),
        ({"type": "image_generation", "size": "a b", "quality": 5}, "image:auto:auto"),
        ({"type": "mcp", "server_label": "x"}, "mcp"),
        ({"type": "shell"}, "code_interpreter"),
        ({"type": "shell", "environment": {"type": "container_auto", "memory_limit": "4g"}}, "code_interpreter:4g"),
        ({"type": "brand_new"}, "brand_new"),
    ],
)
def test_what_runs_at_the_provider_is_bounded_by_the_calls_it_may_make(tool: dict[str, Any], name: str) -> None:
    assert services(tool, max_tool_calls=3) == (Service(name, "tools[0]", 3),)
    assert services(tool) == (Service(name, "tools[0]", None),)
    native = native_of(tools=[tool])
    assert native.unknown == "tools[0]"
    assert native.refused is not None
    assert native.refused.param == "tools[0].type"


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "local_shell"},
        {"type": "apply_patch"},
        {"type": "computer"},
        {"type": "shell", "environment": {"type": "local"}},
    ],
)
def test_what_runs_at_the_client_costs_nothing_beside(tool: dict[str, Any]) -> None:
    native = native_of(tools=[tool])
    assert (native.services, native.unknown) == ((), None)
    assert native.refused is not None


def test_a_shell_elsewhere_is_not_local_because_it_says_the_word() -> None:
    environment = {"type": "container_auto", "note": "local"}
    assert services({"type": "shell", "environment": environment}) != ()


@pytest.mark.parametrize("choice", [{"type": "mcp", "server_label": "x"}, {"type": "file_search"}])
def test_a_choice_of_a_providers_tool(choice: dict[str, Any]) -> None:
    native = native_of(tools=[{"type": "function", "name": "f"}], tool_choice=choice)
    assert native.refused is not None
    assert native.refused.param == "tool_choice.type"


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
    [told] = chat_of(tools=[{"type": "custom", "name": "f", "description": "Does it.", "format": grammar}])["tools"]
    assert told["function"]["parameters"]["required"] == ["input"]
    assert told["function"]["description"].startswith("Does it.\n\n")
    assert told["function"]["description"].endswith('(lark):\nstart: "x"')
    [told] = chat_of(tools=[{"type": "custom", "name": "f", "format": {"type": "text"}}])["tools"]
    assert told["function"]["description"] == "Its input is one text."


@pytest.mark.parametrize("text", ["", "x", '{"input":"y"}', '"', "a\nb ä"])
def test_its_text_is_wrapped_and_unwrapped(text: str) -> None:
    assert unwrapped(wrapped(text)) == text


@pytest.mark.parametrize("arguments", ["", "x", '{"input":', "[]", '{"input":5}', '{"text":"x"}'])
def test_a_model_that_does_not_keep_to_it_is_taken_at_its_word(arguments: str) -> None:
    assert unwrapped(arguments) == arguments


def test_units_that_calls_do_not_tell() -> None:
    tools = [{"type": "web_search_preview"}, {"type": "code_interpreter", "container": {"memory_limit": "4g"}}]
    units = {"web_search_call": "web_search_preview", "code_interpreter_call": "code_interpreter:4g"}
    assert units_of(msgspec.Raw(msgspec.json.encode(tools))) == units
    for odd in (b"null", b"[5]", b'[{"type":5}]', b""):
        assert units_of(msgspec.Raw(odd)) == {}


@pytest.mark.parametrize("said", [None, []])
def test_a_context_that_is_made_smaller_is_a_service_without_bound(said: Any) -> None:
    compaction = [{"type": "compaction", "compact_threshold": 1000}]
    assert services(context_management=compaction) == (Service("compaction", "context_management", None),)
    assert services(context_management=said) == ()
