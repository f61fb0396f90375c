"""Whatever a conversation holds, its turns keep Anthropic's rules, and nothing that was said is lost."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.messages import Conversation, read_conversation

texts = st.text(max_size=6)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=3)
contents = st.one_of(texts, parts)
ids = st.sampled_from(["a", "b.1", ""])
calls = st.builds(
    lambda call_id, arguments: {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}},
    ids,
    st.sampled_from(["{}", "", '{"x": [1, "ü"]}', "[1]", "{", "null", " "]),
)
messages = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": contents}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none(), "tool_calls": st.lists(calls, max_size=3)}
    ),
    st.fixed_dictionaries(
        {"role": st.just("tool"), "content": contents, "tool_call_id": st.sampled_from(["a", "b.1"])}
    ),
)


def read(given_messages: list[Any], *, system_turns: bool = False) -> Conversation:
    return read_conversation(msgspec.Raw(json.dumps(given_messages).encode()), system_turns=system_turns)


def said(blocks: Any) -> list[str]:
    """All texts in a content, in order."""
    if isinstance(blocks, str):
        return [blocks]
    found = []
    for block in blocks:
        if block["type"] == "text":
            found.append(block["text"])
        elif block["type"] == "tool_result":
            found += said(block.get("content", []))
    return found


def given_texts(content: Any) -> list[str]:
    if content is None:
        return []
    every = [content] if isinstance(content, str) else [part["text"] for part in content]
    return [text for text in every if not is_blank(text)]


def is_blank(text: str) -> bool:
    return not text.strip(" \t\n\r\b\f")


@given(st.lists(messages, max_size=8), st.booleans())
def test_turns_keep_the_rules(conversation: list[Any], system_turns: bool) -> None:
    if not any(
        given_texts(each["content"]) or each.get("tool_calls") or each["role"] == "tool" for each in conversation
    ):
        with pytest.raises(InvalidField, match="says nothing"):
            read(conversation, system_turns=system_turns)
        return
    found = read(conversation, system_turns=system_turns)
    turns = json.loads(found.messages_json())
    system = json.loads(found.system_json() or b"[]")
    assert turns
    assert all(turn["role"] != before["role"] for before, turn in pairwise(turns))
    kept = [text for turn in turns for text in said(turn["content"])] + said(system)
    assert sorted(kept) == sorted(text for each in conversation for text in given_texts(each["content"]))
    for index, turn in enumerate(turns):
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        assert turn["content"], "no turn is empty"
        results = [block["type"] == "tool_result" for block in blocks]
        assert results == sorted(results, reverse=True), "results of tools come first"
        if turn["role"] == "system":
            assert system_turns
            assert index > 0
            assert turns[index - 1]["role"] == "user"
            assert index + 1 == len(turns) or turns[index + 1]["role"] == "assistant"
        for block in blocks:
            if block["type"] == "tool_use":
                assert isinstance(block["input"], dict)
                assert block["id"].replace("_", "").isalnum() or block["id"] == "_"
    answered = [text for turn in turns if turn["role"] == "assistant" for text in said(turn["content"])]
    assert answered == [text for m in conversation if m["role"] == "assistant" for text in given_texts(m["content"])]


@given(st.lists(messages, max_size=6), st.lists(messages, max_size=3))
def test_a_conversation_that_goes_on_keeps_its_beginning(before: list[Any], after: list[Any]) -> None:
    """Where system messages may stand between turns: thoughts and caches hold only then."""
    before = [{"role": "user", "content": "Hi"}, *before, {"role": "assistant", "content": "Yes"}]
    first = read(before, system_turns=True)
    longer = read([*before, {"role": "user", "content": "And?"}, *after], system_turns=True)

    assert json.loads(longer.messages_json())[: len(first.turns)] == json.loads(first.messages_json())
    assert longer.system == first.system


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[0].role"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "user", "content": 1}, "messages[0].content"),
        ({"role": "user", "content": [1]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages[0].content[0].file"),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,_"}}]},
            "messages[0].content[0].file.file_data",
        ),
        ({"role": "assistant", "content_blocks": [{"type": "image"}]}, "messages[0].content_blocks[0]"),
        ({"role": "assistant", "thinking_blocks": [1]}, "messages[0].thinking_blocks[0]"),
        ("Hi", "messages"),
    ],
)
def test_what_cannot_be_said_is_named(message: Any, param: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read([message])
    assert (caught.value.param or "").startswith(param)
    assert param in caught.value.message


def test_a_blank_block_of_an_answer_is_not_sent_back() -> None:
    blocks = [{"type": "text", "text": ""}, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]
    found = read([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "content_blocks": blocks}])

    assert json.loads(found.messages_json())[1]["content"] == blocks[1:]


def test_escapes_in_links() -> None:
    raw = rb'[{"role":"user","content":[{"type":"image_url","image_url":"data:image\/png;base64,AA\/A"}]}]'
    found = read_conversation(msgspec.Raw(raw), system_turns=False)

    assert json.loads(found.messages_json())[0]["content"][0]["source"]["data"] == "AA/A"
