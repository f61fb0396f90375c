"""Answers of providers that speak the Responses API themselves: observed, ended, put together, said in chat."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.answers import MalformedAnswer, is_filtered
from gateway.wire.ending import Stream
from gateway.wire.responses import WIRE, failed, final_of
from gateway.wire.responses.final import Final
from gateway.wire.responses.observer import StreamObserver, UsageEvent
from gateway.wire.sse import event_data
from gateway.wire.wires import Wire, wire_of
from routing.money import NanoUsd, Usage
from tests.gateway.wire.responses.wording import check_event, response_of, split

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 29,
}
READ = Usage(20, 9, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=3)
CUT = Stream("chat", 1, True, "req_01", "m", 5)


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 0, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def response(status: str = "completed", *output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "flex",
        "usage": USAGE,
        **fields,
    }


def last(status: str = "completed", *output: dict[str, Any], **fields: Any) -> bytes:
    return event(f"response.{status}", response=response(status, *output, **fields))


def added(index: int, **item: Any) -> bytes:
    return event("response.output_item.added", output_index=index, item=item)


def done(index: int, **item: Any) -> bytes:
    return event("response.output_item.done", output_index=index, item=item)


def delta(kind: str, text: str, **place: Any) -> bytes:
    return event(f"response.{kind}.delta", item_id="x", output_index=0, delta=text, **place)


def observed(*events: bytes) -> StreamObserver:
    observer = WIRE.observer(1, remember=False)
    for each in events:
        observer.observe(each)
    return observer


MESSAGE = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
BEGUN = event("response.created", response=response("in_progress", usage=None))


def test_it_is_the_wire_of_its_name() -> None:
    wire: Wire = WIRE
    assert wire_of("responses") is wire
    assert wire.name == "responses"


# --- streams ---


def test_a_stream_from_beginning_to_end() -> None:
    assert not observed(BEGUN, added(0, **MESSAGE)).begun
    observer = observed(BEGUN, added(0, **MESSAGE), delta("output_text", "Hel", content_index=0))
    assert (observer.begun, observer.complete) == (True, False)
    assert (observer.content_events, observer.text_bytes, observer.outdated) == (1, 3, True)
    found = observer.observe(last(service_tier="priority"))
    assert isinstance(found, UsageEvent)
    assert (observer.usage, observer.service_tier, observer.outdated) == (READ, "priority", False)
    assert (observer.complete, observer.done, observer.failed, observer.cut) == (True, True, False, False)
    assert observer.counted_tokens(4) == 9


@pytest.mark.parametrize(
    "kind",
    [
        *("output_text", "refusal", "function_call_arguments", "custom_tool_call_input", "reasoning_text"),
        *("reasoning_summary_text", "code_interpreter_call_code", "mcp_call_arguments", "of_a_new_kind"),
    ],
)
def test_all_that_is_generated_counts_as_content(kind: str) -> None:
    observer = observed(delta(kind, "ab"), delta(kind, ""))
    assert (observer.content_events, observer.text_bytes) == (1, 2)
    assert observer.counted_tokens(3) == 3


def test_what_cannot_be_read_is_never_free() -> None:
    observer = observed(b"data: {\n\n")
    assert (observer.content_events, observer.text_bytes) == (1, 1)


def test_names_of_calls_count_by_their_bytes() -> None:
    observer = observed(added(0, type="function_call", name="f" * 100, arguments="", call_id="c", id="fc_1"))
    assert observer.called_tools
    assert observer.begun
    assert observer.counted_tokens(1) > 100


def test_a_tool_at_work_is_something_to_show() -> None:
    assert observed(BEGUN, added(0, **SEARCH)).begun


def test_items_that_come_in_one_piece_count_by_their_bytes() -> None:
    item = {"type": "computer_call", "id": "cu_1", "action": {"type": "type", "text": "x" * 300}}
    assert observed(done(0, **item)).counted_tokens(1) > 300
    assert observed(done(0, type="message", content="x" * 300)).counted_tokens(1) == 0
    assert observed(done(0, type="image_generation_call", result="x" * 300)).counted_tokens(1) == 0


@pytest.mark.parametrize(
    "ending",
    [last("failed", error={"code": "server_error"}), last("cancelled"), event("error", message="No.", code="x")],
)
def test_a_stream_that_failed(ending: bytes) -> None:
    observer = observed(BEGUN, ending)
    assert (observer.failed, observer.complete, observer.done, observer.begun) == (True, False, True, True)


def test_a_stream_that_reached_its_bound() -> None:
    assert observed(last("incomplete", incomplete_details={"reason": "max_output_tokens"})).cut
    filtered = observed(last("incomplete", incomplete_details={"reason": "content_filter"}))
    assert (filtered.cut, filtered.complete) == (False, True)


@pytest.mark.parametrize("usage", [None, {}, "many", {"input_tokens": "1"}, {"input_tokens": 0, "output_tokens": 0}])
def test_odd_usage_is_no_usage(usage: Any) -> None:
    observer = WIRE.observer(1, remember=False)
    assert observer.observe(last(usage=usage)) is None
    assert (observer.usage, observer.complete) == (None, True)


def test_a_stream_of_data_lines_alone() -> None:
    observer = observed(b"data: " + event_data(delta("output_text", "a")) + b"\n\n", b"data: [DONE]\n\n")
    assert (observer.content_events, observer.done) == (1, False)


def test_events_of_several_lines() -> None:
    lines = delta("output_text", "a").replace(b', "delta"', b',\ndata: "delta"')
    assert lines.count(b"data:") == 2
    assert observed(lines, lines.removesuffix(b"\n")).text_bytes == 2


def test_events_with_other_line_ends() -> None:
    observer = observed(last().replace(b"\n", b"\r\n"), delta("output_text", "a").replace(b"\n", b"\r"))
    assert (observer.usage, observer.content_events) == (READ, 1)


def test_what_runs_at_the_provider_is_counted() -> None:
    opened = {**SEARCH, "action": {"type": "open_page"}}
    interpreted = {"type": "code_interpreter_call", "id": "ci", "container_id": "c1", "status": "completed"}
    image = {"type": "image_generation_call", "status": "completed", "size": "1024x1024", "quality": "high"}
    broken = {"type": "file_search_call", "status": "failed"}
    items: list[dict[str, Any]] = [
        SEARCH,
        SEARCH,
        opened,
        interpreted,
        interpreted,
        {**interpreted, "container_id": "c2"},
        image,
        broken,
    ]
    counted = {"web_search": 2, "code_interpreter": 2, "image:1024x1024:high": 1}
    stream = [done(index, **item) for index, item in enumerate(items)]
    assert observed(*stream).services == counted
    assert observed(*stream, last("completed", *items)).services == counted
    assert WIRE.read_answer(json.dumps(response("completed", *items)).encode()).services == counted


def test_the_provider_knows_best_how_often_it_searched() -> None:
    told = {"image_gen": {}, "web_search": {"num_requests": 1}}
    assert observed(last("completed", SEARCH, SEARCH, tool_usage=told)).services == {"web_search": 1}
    assert observed(last("completed", SEARCH, tool_usage={"web_search": 5})).services == {"web_search": 1}


def test_calls_are_counted_in_the_units_that_the_response_tells() -> None:
    tools = [{"type": "web_search_preview"}]
    begun = event("response.created", response=response("in_progress", tools=tools))
    assert observed(begun, done(0, **SEARCH)).services == {"web_search_preview": 1}
    assert observed(last("completed", SEARCH, tools=tools)).services == {"web_search_preview": 1}


def test_the_cost_is_written_into_the_last_event_and_nothing_else_changes() -> None:
    written = last(usage={**USAGE, "other": 1.50}, metadata={"a": "ä"})
    found = WIRE.observer(1, remember=False).observe(written)
    assert found is not None
    assert not found.standalone
    assert found.without_usage(null=True) == written
    priced = found.with_cost(NanoUsd(125_000))
    assert priced.startswith(b"event: response.completed\ndata: ")
    before, after = json.loads(event_data(written)), json.loads(event_data(priced))
    assert after["response"]["usage"].pop("cost") == 0.000125
    assert after == before


def test_what_the_provider_says_that_it_costs() -> None:
    assert observed(last(usage={**USAGE, "cost": 0.5})).reported == 500_000_000


def test_nothing_is_kept_of_a_stream_that_need_not_be_ended() -> None:
    assert observed(BEGUN, delta("output_text", "a")).record is None


# --- ended by us ---


def ended(*events: bytes) -> tuple[list[dict[str, Any]], bytes]:
    observer, assembler = WIRE.observer(1, remember=True), WIRE.assembler()
    for number, each in enumerate(events):
        numbered = each.replace(b'"sequence_number": 0', b'"sequence_number": %d' % number)
        observer.observe(numbered)
        assembler.feed(numbered)
    ending = WIRE.ending(CUT, observer, Usage(5, 3), NanoUsd(1_000))
    for each in ending:
        assembler.feed(each)
    found = [json.loads(event_data(each)) for each in ending]
    for number, said_event in enumerate(found):
        check_event(said_event)
        assert said_event["sequence_number"] == len(events) + number
    return found, assembler.body()


def test_a_text_is_ended() -> None:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events, body = ended(
        BEGUN,
        added(0, **MESSAGE),
        event("response.content_part.added", item_id="msg_1", output_index=0, content_index=0, part=part),
        delta("output_text", 'a"', content_index=0),
        delta("output_text", "b", content_index=0),
    )
    assert [each["type"].removeprefix("response.") for each in events] == [
        *("output_text.done", "content_part.done", "output_item.done", "incomplete")
    ]
    whole = response_of(body)
    assert whole["output"][0]["content"][0]["text"] == 'a"b'
    assert (whole["status"], whole["output"][0]["status"]) == ("incomplete", "incomplete")
    assert whole["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (whole["usage"]["output_tokens"], whole["usage"]["cost"]) == (3, 0.000001)
    assert WIRE.read_answer(body).cut


def test_what_was_done_stays_as_it_was() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    written = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    summary = {"type": "summary_text", "text": ""}
    events, body = ended(
        BEGUN,
        added(0, **thought),
        event("response.reasoning_summary_part.added", item_id="x", output_index=0, summary_index=0, part=summary),
        delta("reasoning_summary_text", "Hm.", summary_index=0),
        done(1, **SEARCH),
        added(2, **written),
        event("response.function_call_arguments.delta", item_id="fc_1", output_index=2, delta='{"a'),
    )
    whole = response_of(body)
    assert whole["output"][0] == {
        **thought,
        "status": "incomplete",
        "summary": [{"type": "summary_text", "text": "Hm."}],
    }
    assert whole["output"][1] == SEARCH
    assert whole["output"][2] == {**written, "status": "incomplete", "arguments": '{"a'}
    assert "response.function_call_arguments.done" in [each["type"] for each in events]


def test_a_part_that_was_done_is_not_ended_again() -> None:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events, body = ended(
        BEGUN,
        added(0, **MESSAGE),
        event("response.content_part.added", **place, part=part),
        delta("output_text", "a", content_index=0),
        event("response.content_part.done", **place, part={**part, "text": "a"}),
    )
    assert [each["type"] for each in events] == ["response.output_item.done", "response.incomplete"]
    assert response_of(body)["output"][0]["content"] == [{**part, "text": "a"}]


def test_a_stream_that_has_not_begun_is_begun_first() -> None:
    events, body = ended()
    assert [each["type"] for each in events] == ["response.created", "response.incomplete"]
    assert response_of(body)["output"] == []


def test_a_stream_that_has_ended_is_not_ended_again() -> None:
    assert WIRE.ending(CUT, observed(last()), Usage(), NanoUsd(0)) == []


@given(
    st.lists(
        st.sampled_from(
            [
                BEGUN,
                added(0, **MESSAGE),
                added(0, type="x"),
                delta("output_text", "a"),
                done(1, type="y"),
                delta("function_call_arguments", "{"),
                b"data: {\n\n",
                event("response.content_part.added", part=5),
                event("response.output_item.added", item=[]),
                event("response.created", response=7),
                b": x\n\n",
            ]
        ),
        max_size=6,
    )
)
def test_whatever_came_it_can_be_ended(events: list[bytes]) -> None:
    observer = WIRE.observer(1, remember=True)
    for each in events:
        observer.observe(each)
    ending = WIRE.ending(CUT, observer, Usage(1, 1), NanoUsd(1))
    assert final_of(b"".join(ending)) is not None


def test_a_stream_that_broke_off_is_told_to_have_failed() -> None:
    told = split(failed(BEGUN, 0, {"message": "Cut.", "code": "upstream_error", "type": "upstream_error"}))
    error, last_one = (json.loads(event_data(each)) for each in told)
    for each in (error, last_one):
        check_event(each)
    assert (error["type"], error["sequence_number"]) == ("error", 1)
    assert (error["code"], error["message"]) == ("upstream_error", "Cut.")
    assert error["error"]["message"] == "Cut."
    assert (last_one["type"], last_one["sequence_number"]) == ("response.failed", 2)
    assert (last_one["response"]["id"], last_one["response"]["status"]) == ("resp_1", "failed")
    assert b'"sequence_number":7' in failed(BEGUN, 7, {})
    assert b"response.failed" in failed(b"", 0, {"message": "x"})


# --- whole ---


def test_a_whole_answer() -> None:
    text = {**MESSAGE, "content": [{"type": "output_text", "text": "a", "annotations": []}]}
    answer = WIRE.read_answer(json.dumps(response("completed", text)).encode())
    assert (answer.usage, answer.service_tier, answer.failed, answer.cut, answer.services) == (
        READ,
        "flex",
        False,
        False,
        None,
    )
    assert answer.text_bytes > len("a")
    assert not is_filtered(answer.choices)


def test_a_whole_answer_that_was_cut_or_filtered() -> None:
    cut = response("incomplete", MESSAGE, incomplete_details={"reason": "max_output_tokens"})
    assert WIRE.read_answer(json.dumps(cut).encode()).cut
    filtered = response("incomplete", incomplete_details={"reason": "content_filter"})
    assert is_filtered(WIRE.read_answer(json.dumps(filtered).encode()).choices)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_whole_answer_that_failed(status: str) -> None:
    assert WIRE.read_answer(json.dumps(response(status, usage=None)).encode()).failed


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b"{}", b'{"choices":[]}', b"[" * 100_000])
def test_what_is_no_response_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        WIRE.read_answer(body)
    with pytest.raises(MalformedAnswer):
        WIRE.as_chat(body)


@given(st.binary())
def test_any_bytes_are_read_or_malformed(body: bytes) -> None:
    for read in (WIRE.read_answer, WIRE.as_chat):
        try:
            read(body)
        except MalformedAnswer:
            pass
    observed(body, b"data: " + body)


# --- put together, and kept ---


def test_the_last_event_is_the_whole_answer() -> None:
    assembler = WIRE.assembler()
    for each in (BEGUN, added(0, **MESSAGE), last("completed", MESSAGE), b"data: [DONE]\n\n"):
        assembler.feed(each)
    assert json.loads(assembler.body()) == response("completed", MESSAGE)
    assert not assembler.malformed
    assembler.feed(b"data: {\n\n")
    assert assembler.malformed


def test_a_last_event_without_output_is_filled_with_the_items_that_were_done() -> None:
    assembler = WIRE.assembler()
    for each in (done(1, **SEARCH), done(0, **MESSAGE), last()):
        assembler.feed(each)
    assert json.loads(assembler.body())["output"] == [MESSAGE, SEARCH]


def test_what_the_store_wants() -> None:
    body = json.dumps(response()).encode()
    found = Final.of_body(body)
    assert found == Final("resp_1", "completed", READ, body)
    assert Final.of_event(last()) == found
    begun = event("response.in_progress", response=response("in_progress", metadata={"a": "response.completed"}))
    for other in (BEGUN, begun, delta("output_text", "response.completed"), b"data: {response.completed\n\n"):
        assert Final.of_event(other) is None
    assert Final.of_body(b"{}") is None
    assert Final.of_body(b"[]") is None


def test_the_final_response_among_events() -> None:
    assert final_of(BEGUN + last() + b"data: [DONE]\n\n") == json.dumps(response()).encode()
    assert final_of(last()[:-1]) == json.dumps(response()).encode()
    assert final_of(BEGUN) is None


def test_the_stream_is_split_into_events_that_the_types_know() -> None:
    for each in split(BEGUN + last()):
        check_event(json.loads(event_data(each)))
