"""Input items as messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.wire.responses.wording import messages_of, native_of

USER = {"role": "user", "content": "Hi"}


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}"}


def result(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": str(number)}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def thought(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}


def test_what_one_side_says_is_one_message() -> None:
    messages = messages_of(USER, thought("a"), said("b"), call(1), call(2), result(1), result(2), said("c"))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    answer = messages[1]
    assert (answer["reasoning_content"], answer["content"]) == ("a", "b")
    assert [each["id"] for each in answer["tool_calls"]] == ["c1", "c2"]


def test_texts_one_after_the_other_stay_apart() -> None:
    assert [message["content"] for message in messages_of(said("a"), said("b"))] == ["a", "b"]


def test_a_text_behind_calls_stays_before_their_results() -> None:
    messages = messages_of(said("a"), call(1), said("b"), result(1))
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert messages[0]["content"] == "a\n\nb"


def test_new_thoughts_begin_a_new_message() -> None:
    messages = messages_of(thought("a"), said("b"), thought("c"), said("d"))
    assert [(message["reasoning_content"], message["content"]) for message in messages] == [("a", "b"), ("c", "d")]


def test_thoughts_alone_have_an_empty_text() -> None:
    assert messages_of(thought("a"), USER)[0] == {"role": "assistant", "content": "", "reasoning_content": "a"}


def test_thoughts_that_nobody_can_read_are_left_out() -> None:
    closed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    assert messages_of(closed, said("a")) == [{"role": "assistant", "content": "a"}]


def test_thoughts_are_read_from_summary_and_content() -> None:
    item = {**thought("a"), "content": [{"type": "reasoning_text", "text": "b"}]}
    assert messages_of(item, said("c"))[0]["reasoning_content"] == "a\n\nb"


def test_several_texts_of_an_answer_are_joined() -> None:
    parts = [{"type": "output_text", "text": "a\n"}, {"type": "output_text", "text": '"b"'}]
    assert messages_of({"role": "assistant", "content": parts})[0]["content"] == 'a\n"b"'


def test_an_assistants_message_may_be_a_string() -> None:
    assert messages_of({"role": "assistant", "content": "a"}) == [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("kind", ["computer_call", "mcp_call", "image_generation_call", "compaction", "new_thing"])
def test_what_chat_has_no_words_for_is_refused_there_alone(kind: str) -> None:
    native = native_of(input=[USER, {"type": kind, "id": "x"}])
    assert native.refused is not None
    assert (native.refused.param, native.unknown) == ("input[1].type", "input[1]")


def test_a_file_by_its_id_is_of_unknown_size() -> None:
    part = {"type": "input_file", "file_id": "file_1"}
    native = native_of(input=[{"role": "user", "content": [part]}])
    assert (native.refused, native.unknown) == (None, "input[0].content[0].file_id")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image", "file_id": "file_1"}, "file_id"),
        ({"type": "input_file", "file_url": "https://example.com/a.pdf"}, "file_url"),
        ({"type": "computer_screenshot", "image_url": "x"}, "type"),
    ],
)
def test_parts_that_chat_has_no_words_for(part: dict[str, Any], field: str) -> None:
    native = native_of(input=[{"role": "user", "content": [part]}])
    assert native.refused is not None
    assert native.refused.param == f"input[0].content[0].{field}"
    assert native.unknown is not None


def test_marks_on_parts_go_on() -> None:
    part = {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}}
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert messages_of({"role": "user", "content": [part]})[0]["content"] == [marked]
