"""Items of the past, listed, written into a request, and looked up."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses.response_item import ResponseItem
from pydantic import TypeAdapter

from gateway.wire.responses import (
    chat_body,
    ids_of,
    input_items,
    output_items,
    read,
    rebuilt,
    resolved,
    response_ids_of,
)
from gateway.wire.responses.envelope import sealed
from tests.gateway.wire.responses.wording import body_of, chunk, messages_of, native_of, translator

_item_type: TypeAdapter[Any] = TypeAdapter(ResponseItem)


def raws(*items: Any) -> list[msgspec.Raw]:
    return [msgspec.Raw(json.dumps(item).encode()) for item in items]


def plain(items: list[msgspec.Raw]) -> list[Any]:
    return [json.loads(bytes(item)) for item in items]


ANSWER = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "a", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}


def test_history_comes_before_the_requests_own_input() -> None:
    native = native_of(instructions="Be brief.", input=[RESULT], previous_response_id="resp_1")
    chat = json.loads(chat_body(native, raws({"role": "user", "content": "Hi"}, CALL)))
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant", "tool"]
    assert chat["messages"][3]["tool_call_id"] == "c1"


def test_without_history_it_is_the_chat_body_that_was_read() -> None:
    chat, native = read(body_of(temperature=1, input=[CALL, RESULT]))
    assert chat_body(native, []) == chat


def test_a_request_with_its_history_written_in() -> None:
    native = native_of(input="More", previous_response_id="resp_1", conversation=None, store=False, top_k=3)
    whole = rebuilt(native, raws({"role": "user", "content": "Hi", "id": "msg_0"}, SEARCH, THOUGHT, ANSWER, CALL))
    said = json.loads(whole.body)
    assert said["input"] == [
        {"role": "user", "content": "Hi"},
        {key: value for key, value in ANSWER.items() if key not in ("id", "status")},
        {key: value for key, value in CALL.items() if key not in ("id", "status")},
        {"role": "user", "content": "More"},
    ]
    assert (whole.previous_response_id, whole.store, said["top_k"]) == (None, False, 3)
    assert "previous_response_id" not in said
    assert "conversation" not in said


def test_what_a_history_holds_is_noted_as_the_requests_own() -> None:
    file = {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}
    native = native_of(previous_response_id="resp_1")
    assert native.unknown is None
    assert rebuilt(native, raws(file)).unknown == "input[0].content[0].file_id"


def test_a_request_without_input_has_its_history_alone() -> None:
    native = read(b'{"model":"m","previous_response_id":"resp_1"}')[1]
    assert json.loads(rebuilt(native, raws(RESULT)).body)["input"] == [RESULT]


@pytest.mark.parametrize(
    "given",
    [
        "Hi",
        [{"role": "user", "content": "Hi"}],
        [{"role": "developer", "content": [{"type": "input_text", "text": "Hi"}]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}],
        [ANSWER, CALL, {**RESULT, "call_id": "c1"}, THOUGHT],
        [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}],
        [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}],
        [{"role": "assistant", "content": "Hi"}],
    ],
)
def test_input_is_listed_as_the_types_want_it(given: Any) -> None:
    items = plain(input_items(native_of(input=given), "resp_1"))
    assert len(items) == (1 if isinstance(given, str) else len(given))
    for item in items:
        assert item["id"]
        _item_type.validate_python({"status": "completed", **item} if item["type"] != "reasoning" else item)


def test_ids_are_the_same_every_time_and_others_elsewhere() -> None:
    native = native_of(input=[{"role": "user", "content": "yes"}, {"role": "user", "content": "yes"}])
    first, again = input_items(native, "resp_1"), input_items(native, "resp_1")
    assert plain(first) == plain(again)
    ids = {item["id"] for item in plain([*first, *input_items(native, "resp_2")])}
    assert len(ids) == 4


def test_no_input_lists_nothing_and_references_are_no_items() -> None:
    assert input_items(read(b'{"model":"m","previous_response_id":"resp_1"}')[1]) == []
    assert plain(input_items(native_of(input=[{"type": "item_reference", "id": "msg_1"}, ANSWER]))) == [ANSWER]


def test_output_is_listed_as_it_is() -> None:
    assert plain(output_items(json.dumps({"id": "r", "output": [THOUGHT, ANSWER]}).encode())) == [THOUGHT, ANSWER]
    for odd in (b"{}", b"[]", b"", b'{"output":5}'):
        assert output_items(odd) == []


def test_references_are_looked_up() -> None:
    native = native_of(input=[{"type": "item_reference", "id": "fc_1"}, {"id": "msg_1"}, {"id": "rs_9"}, RESULT])
    assert native.references == ("fc_1", "msg_1", "rs_9")
    found = resolved(native, ids_of(raws(CALL, ANSWER, {"type": "message"})))
    assert json.loads(found.body)["input"] == [CALL, ANSWER, {"id": "rs_9"}, RESULT]
    assert found.references == ("rs_9",)
    whole = resolved(found, ids_of(raws(THOUGHT, {**THOUGHT, "id": "rs_9"})))
    assert (whole.references, whole.refused, whole.unknown) == ((), None, None)
    assert resolved(whole, {}) is whole


def test_our_items_tell_which_response_they_came_with() -> None:
    answer = translator()
    answer.events([chunk(reasoning_content="Hm."), chunk(content="a")])
    answer.end()
    assert answer.final is not None
    ids = [*ids_of(output_items(answer.final)), "msg_68ab", "fbx", "rs_fbx"]
    assert response_ids_of(ids) == (json.loads(answer.final)["id"],)


def test_what_a_translated_answer_said_goes_back_as_it_was() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    answer = translator()
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    answer.events(
        [chunk(reasoning_content="Hm."), chunk(thinking_blocks=blocks), chunk(content="a", tool_calls=[call])]
    )
    answer.end()
    assert answer.final is not None
    chat = json.loads(chat_body(native_of(input=[RESULT]), output_items(answer.final)))
    assert chat["messages"][0] == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "Hm.",
        "thinking_blocks": blocks,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_an_answer_kept_as_it_was_is_one_message() -> None:
    blocks = [
        {"type": "text", "text": "One "},
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "two"},
    ]
    answer = translator()
    answer.events(
        [
            chunk(content="One "),
            chunk(reasoning_content="Hm."),
            chunk(content="two"),
            chunk("stop", content_blocks=blocks),
        ]
    )
    answer.end()
    assert answer.final is not None
    messages = messages_of(*plain(output_items(answer.final)))
    assert [message["content_blocks"] for message in messages] == [blocks]
    assert messages[0]["content"] == "One \n\ntwo"


def test_what_is_sealed_by_nobody_we_know_is_not_opened() -> None:
    other = sealed({"tool_calls": raws({"id": "c"})})
    for odd in ("farebox.1.", "farebox.1.!", "farebox.1.e30", "gAAAA", other, "farebox.1.WzFd"):
        messages = messages_of({"type": "reasoning", "summary": [], "encrypted_content": odd}, ANSWER)
        assert messages == [{"role": "assistant", "content": "a"}]
