"""Requests that are nearly right are read or refused: whatever stands where, the simulator does not fail."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator import fields, prompt, tokenizer
from gateway.simulator.errors import SimError
from gateway.simulator.messages import ask as messages
from gateway.simulator.responses import ask as responses
from gateway.simulator.responses.shelf import Shelf
from gateway.simulator.seals import seal

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
RESPONSES: dict[str, Any] = {
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Why?"}, {"type": "input_image", "image_url": "x"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal("", "x")},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "run", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "x"},
        {"type": "web_search_call", "id": "ws_1", "action": {}},
    ],
    "instructions": "Be brief.",
    "tools": [
        {"type": "function", "name": "f", "parameters": SCHEMA},
        {"type": "custom", "name": "run", "format": {"type": "text"}},
        {"type": "file_search", "vector_store_ids": ["vs"]},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
    "reasoning": {"summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "max_tool_calls": 2,
    "stream_options": {"include_obfuscation": False},
}
MESSAGES: dict[str, Any] = {
    "max_tokens": 2_000,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Why?"}, {"type": "image", "source": {"type": "url"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": seal("Hm.", "x")},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "x"}]}],
        },
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "s", "max_uses": 2}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1_024},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "stop_sequences": ["x"],
    "cache_control": {"type": "ephemeral"},
}
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief.", "name": "n"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "stop": ["x"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "service_tier": "flex",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5_000) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "text", "x"]), inner),
    max_leaves=5,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the parts of a value are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, part in inside for path in ((*before, key), *paths(part, (*before, key)))]


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def read_responses(body: dict[str, Any]) -> None:
    ask = responses.read(body, Shelf(), "someone")
    prompt.render(ask.chat, tokenizer.load())


def read_chat(body: dict[str, Any]) -> None:
    prompt.render(fields.chat(body), tokenizer.load())


def read_messages(body: dict[str, Any]) -> None:
    messages.render(messages.read(body), tokenizer.load())


@pytest.mark.parametrize(("read", "body"), [(read_chat, CHAT), (read_responses, RESPONSES), (read_messages, MESSAGES)])
def test_the_examples_are_right(read: Any, body: dict[str, Any]) -> None:
    read(body)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(paths(CHAT)), VALUES)
def test_nearly_a_request_of_chat(path: tuple[Any, ...], value: Any) -> None:
    with suppress(SimError):
        read_chat(replaced(CHAT, path, value))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(paths(RESPONSES)), VALUES)
def test_nearly_a_request_of_responses(path: tuple[Any, ...], value: Any) -> None:
    with suppress(SimError):
        read_responses(replaced(RESPONSES, path, value))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(paths(MESSAGES)), VALUES)
def test_nearly_a_request_of_messages(path: tuple[Any, ...], value: Any) -> None:
    with suppress(SimError):
        read_messages(replaced(MESSAGES, path, value))
