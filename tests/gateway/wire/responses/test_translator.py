"""Chat answers as responses. Every event and response here is held against the types of OpenAI's own SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.responses import pending, response_id
from gateway.wire.responses.envelope import opened
from gateway.wire.sse import data_event
from tests.gateway.wire.responses.wording import (
    DONE,
    REQUEST_ID,
    chunk,
    native_of,
    response_of,
    said,
    translator,
    usage_chunk,
)

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def stream(*events: bytes) -> list[dict[str, Any]]:
    return said(translator().events(list(events)))


def final(*events: bytes) -> dict[str, Any]:
    answer = translator()
    answer.events([*events, DONE])
    return response_of(answer.final)


def whole(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return response_of(translator().whole(json.dumps({"choices": [choice], **fields}).encode()))


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text() -> None:
    events = stream(chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop"), DONE)
    assert types(events) == [
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event["delta"] for event in events if "delta" in event] == ["Hel", "lo"]
    assert events[-1]["response"]["output"] == [events[-2]["item"]]
    assert events[-1]["response"]["model"] == "served"
    assert events[-1]["response"]["created_at"] == 7


def test_nothing_is_said_before_the_first_chunk() -> None:
    answer = translator()
    assert answer.events([b": ping\n\n"]) == b""
    assert types(said(answer.events([chunk(role="assistant")]))) == ["created", "in_progress"]


def test_calls_side_by_side() -> None:
    def piece(index: int, **function: str) -> dict[str, Any]:
        named = {"id": f"c{index}", "type": "function"} if "name" in function else {}
        return {"index": index, **named, "function": function}

    response = final(
        chunk(tool_calls=[piece(0, name="f", arguments=""), piece(1, name="g", arguments="")]),
        chunk(tool_calls=[piece(1, arguments='{"b"'), piece(0, arguments='{"a"')]),
        chunk(tool_calls=[piece(0, arguments=":1}")]),
        chunk(tool_calls=[piece(1, arguments=":2}")]),
        chunk("tool_calls"),
    )
    assert response["status"] == "completed"
    assert [(call["call_id"], call["name"], call["arguments"]) for call in response["output"]] == [
        ("c0", "f", '{"a":1}'),
        ("c1", "g", '{"b":2}'),
    ]


def test_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    response = final(chunk(tool_calls=calls[:1]), chunk(tool_calls=calls[1:]), chunk("tool_calls"))
    assert [call["name"] for call in response["output"]] == ["f", "g"]


def test_a_call_without_an_id_gets_one() -> None:
    response = final(chunk(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), chunk("tool_calls"))
    assert response["output"][0]["call_id"].startswith("call_")


def test_a_call_whose_name_is_no_text_is_left_out() -> None:
    assert final(chunk(tool_calls=[{"index": 0, "function": {"name": 1}}]), chunk("stop"))["output"] == []


def test_a_call_of_a_custom_tool_is_told_when_it_is_whole() -> None:
    def piece(arguments: str, **named: str) -> bytes:
        return chunk(tool_calls=[{"index": 0, **named, "function": {"name": "patch", "arguments": arguments}}])

    answer = translator(native_of(tools=[{"type": "custom", "name": "patch"}, {"type": "function", "name": "f"}]))
    events = said(answer.events([piece("", id="c1"), piece('{"input"'), piece(':"a\\nb"}'), chunk("tool_calls"), DONE]))
    assert [event["delta"] for event in events if "delta" in event] == ["a\nb"]
    [call] = response_of(answer.final)["output"]
    assert (call["type"], call["call_id"], call["name"], call["input"]) == ("custom_tool_call", "c1", "patch", "a\nb")


def test_arguments_as_an_object_are_a_text_too() -> None:
    response = final(chunk(tool_calls=[{"function": {"name": "f", "arguments": {"a": 1}}}]), chunk("tool_calls"))
    assert json.loads(response["output"][0]["arguments"]) == {"a": 1}


def test_a_text_behind_calls_is_an_item_of_its_own() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    response = final(chunk(content="a"), chunk(tool_calls=[call]), chunk(content="b"), chunk("stop"))
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "message"]


def test_thoughts_keep_their_signatures() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    response = final(chunk(reasoning_content="Hm."), chunk(thinking_blocks=[block]), chunk(content="a"), chunk("stop"))
    thought = response["output"][0]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert json.loads(bytes(opened(thought["encrypted_content"])["thinking_blocks"])) == [block]


def test_thoughts_by_another_name() -> None:
    assert whole({"reasoning": "Hm.", "content": "a"})["output"][0]["summary"][0]["text"] == "Hm."


def test_hidden_thoughts_are_kept_though_there_is_nothing_to_show() -> None:
    block = {"type": "redacted_thinking", "data": "x"}
    events = stream(chunk(thinking_blocks=[block]), chunk(content="a"), chunk("stop"), DONE)
    thought = events[-1]["response"]["output"][0]
    assert (thought["type"], thought["summary"]) == ("reasoning", [])
    assert "reasoning_summary_part.added" not in types(events)


@pytest.mark.parametrize(
    ("finish_reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("something", "completed", None),
    ],
)
def test_reasons_to_stop(finish_reason: str, status: str, details: Any) -> None:
    for response in (final(chunk(content="a"), chunk(finish_reason)), whole({"content": "a"}, finish_reason)):
        assert (response["status"], response["incomplete_details"]) == (status, details)
        assert response["output"][0]["status"] == status


def test_only_the_last_item_is_incomplete() -> None:
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{"}} for n in range(2)]
    response = final(chunk(content="a"), chunk(tool_calls=calls), chunk("length"))
    assert [item["status"] for item in response["output"]] == ["completed", "completed", "incomplete"]


def test_usage_has_all_that_the_types_demand() -> None:
    details = {"cached_tokens": 3, "audio_tokens": None}
    usage = whole({"content": "a"}, usage={**USAGE, "prompt_tokens_details": details, "cost": 0.1})["usage"]
    assert usage == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
        "cost": 0.1,
    }
    assert whole({"content": "a"})["usage"] is None
    assert whole({"content": "a"}, usage="many")["usage"] is None


def test_usage_may_come_with_the_finish_reason() -> None:
    assert final(chunk(content="a"), chunk("stop", usage=USAGE))["usage"]["total_tokens"] == 12


@pytest.mark.parametrize(
    ("tier", "said"), [("flex", "flex"), ("on_demand", "default"), (None, "default"), (5, "default")]
)
def test_service_tiers(tier: Any, said: str) -> None:
    assert whole({"content": "a"}, service_tier=tier)["service_tier"] == said


def test_the_cost_is_written_as_it_came() -> None:
    answer = translator()
    answer.events(
        [chunk(content="a"), chunk("stop"), usage_chunk(**USAGE).replace(b"}}", b',"cost":0.0000000010}}'), DONE]
    )
    assert answer.final is not None
    assert b'"cost":0.0000000010' in answer.final


def test_a_stream_without_done_ends_by_its_end() -> None:
    answer = translator()
    answer.events([chunk(content="a"), chunk("stop")])
    assert answer.final is None
    assert b"response.completed" in answer.end()
    assert answer.end() == b""
    assert answer.events([chunk(content="b"), DONE]) == b""


def test_an_error_in_the_stream() -> None:
    error = data_event(json.dumps({"error": {"message": "It broke.", "code": "rate_limit_exceeded"}}).encode())
    events = stream(chunk(content="a"), error, chunk(content="b"), DONE)
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.failed"
    told = {"code": "rate_limit_exceeded", "message": "It broke.", "param": None}
    assert events[-2].items() >= {"type": "error", **told}.items()
    assert events[-2]["error"] == {"type": "rate_limit_exceeded", **told}
    assert response["error"]["message"] == "It broke."
    assert response["error"]["code"] == "rate_limit_exceeded"
    assert response["output"][0]["content"][0]["text"] == "a"


def test_a_failure_from_outside() -> None:
    answer = translator()
    events = said(answer.events([chunk(content="a")]) + answer.failure({"message": "Cut.", "code": "upstream_error"}))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert (events[-2]["code"], events[-2]["message"]) == ("upstream_error", "Cut.")
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "Cut.", "type": "upstream_error"}
    assert answer.failure({"message": "again"}) == b""
    assert response_of(answer.final)["status"] == "failed"


def test_a_failure_before_anything_begins_the_stream_first() -> None:
    assert types(said(translator().failure({"message": "No."}))) == ["created", "in_progress", "error", "failed"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"error":{"message":"No."}}', b'{"error":5}'])
def test_a_whole_answer_that_is_none_has_failed(body: bytes) -> None:
    assert response_of(translator().whole(body))["status"] == "failed"


def test_events_that_cannot_be_read_are_left_out() -> None:
    assert types(stream(b"data: {\n\n", b'data: {"choices":5}\n\n', chunk(content="a"), DONE))[-1] == "completed"


def test_texts_in_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": 'b"'}]
    assert whole({"content": parts})["output"][0]["content"][0]["text"] == 'ab"'


def test_log_probabilities_are_told_with_their_text() -> None:
    token = {"token": "a", "logprob": -1, "bytes": None, "top_logprobs": [{"token": "a", "logprob": -1, "bytes": None}]}
    event = json.loads(chunk(content="a").removeprefix(b"data: "))
    event["choices"][0]["logprobs"] = {"content": [token]}
    events = stream(data_event(json.dumps(event).encode()), chunk("stop"), DONE)
    delta = next(each for each in events if each["type"] == "response.output_text.delta")
    assert delta["logprobs"][0]["token"] == "a"
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"][0]["bytes"] == []


def test_sources() -> None:
    citation = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}}
    events = stream(chunk(content="a"), chunk(annotations=[citation, {"type": "other"}]), chunk("stop"), DONE)
    assert "output_text.annotation.added" in types(events)
    flat = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "u"}
    assert events[-1]["response"]["output"][0]["content"][0]["annotations"] == [flat]


def test_only_the_first_of_several_answers_is_told() -> None:
    other = json.loads(chunk(content="b").removeprefix(b"data: "))
    other["choices"][0]["index"] = 1
    response = final(chunk(content="a"), data_event(json.dumps(other).encode()), chunk("stop"))
    assert response["output"][0]["content"][0]["text"] == "a"


def test_a_response_that_waits() -> None:
    native = native_of(background=True, metadata={"a": "b"}, conversation="conv_1")
    waiting = response_of(pending(native, response_id(REQUEST_ID), model="m", created_s=5, status="queued"))
    assert (waiting["status"], waiting["background"], waiting["metadata"]) == ("queued", True, {"a": "b"})
    assert (waiting["id"], waiting["conversation"]) == ("resp_fbx0123456789ab", {"id": "conv_1"})
