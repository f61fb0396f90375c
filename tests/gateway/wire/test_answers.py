"""What is read of answers, whole and streamed, and the one event that is changed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.answers import MalformedAnswer, StreamObserver, UsageChunk, WholeAnswer, read_answer
from gateway.wire.sse import EventSplitter, data_event, event_data
from routing.money import NanoUsd, Usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
READ = Usage(input_tokens=10, output_tokens=5)


def event(chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(finish_reason: str | None = None, /, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def observed(*events: bytes) -> StreamObserver:
    observer = StreamObserver(1)
    for each in events:
        observer.observe(each)
    return observer


def usage_chunk(chunk: Any) -> UsageChunk:
    found = StreamObserver(1).observe(event(chunk))
    assert found is not None
    return found


# --- whole answers ---


def test_a_whole_answer() -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hi"}}], "usage": USAGE, "service_tier": "flex"}).encode()
    answer = read_answer(body)
    assert answer.usage == READ
    assert answer.service_tier == "flex"
    assert answer.text_bytes > len('"Hi"')


@pytest.mark.parametrize(
    "usage", ["null", "{}", '"many"', '{"prompt_tokens":"10"}', '{"prompt_tokens":1.5}', "[]", '{"prompt_tokens":1e99}']
)
def test_odd_usage_is_no_usage_and_no_failure(usage: str) -> None:
    answer = read_answer(b'{"choices":[1],"usage":%s}' % usage.encode())
    assert (answer.usage, answer.service_tier, answer.text_bytes, answer.failed) == (None, None, 3, False)


def test_an_answer_without_choices_has_no_text() -> None:
    assert read_answer(b'{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}') == WholeAnswer(
        Usage(input_tokens=4), None, 0
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"a":', b'{"a":1}x', b"[" * 1_000_000])
def test_what_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_answer(body)


@pytest.mark.parametrize("body", [b"{}", b'{"detail":"it broke"}', b'{"id":"x","usage":null}'])
def test_an_object_with_nothing_of_an_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_answer(body)


@given(st.binary())
def test_any_bytes_are_read_or_malformed(body: bytes) -> None:
    try:
        read_answer(body)
    except MalformedAnswer:
        pass


# --- streams ---


def test_a_stream_from_beginning_to_end() -> None:
    observer = observed(
        event(delta(role="assistant", content="")),
        event(delta(content="Hel")),
        event(delta(content="lo")),
        event(delta("stop")),
    )
    assert (observer.content_events, observer.text_bytes) == (2, len("Hello"))
    assert observer.complete
    assert observer.complete
    assert not observer.done
    assert observer.usage is None
    observer.observe(event({"choices": [], "usage": USAGE}))
    observer.observe(b"data: [DONE]\n\n")
    assert observer.done
    assert observer.usage == READ


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"refusal": "x"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"data": "AAAA"}},
    ],
)
def test_all_that_is_generated_counts_as_content(fields: dict[str, Any]) -> None:
    observer = observed(event(delta(**fields)))
    assert observer.content_events == 1
    assert observer.text_bytes > 0


@pytest.mark.parametrize(
    "fields", [{}, {"role": "assistant"}, {"content": None}, {"content": "", "tool_calls": None}, {"tool_calls": []}]
)
def test_what_is_empty_does_not(fields: dict[str, Any]) -> None:
    assert observed(event(delta(**fields))).content_events == 0


def test_completions_carry_text_in_the_choice() -> None:
    observer = observed(event({"choices": [{"text": "abc", "finish_reason": None}]}))
    assert (observer.content_events, observer.text_bytes) == (1, 3)
    assert not observer.complete
    assert observed(event({"choices": [{"text": "", "finish_reason": "length"}]})).complete


def test_done_alone_completes() -> None:
    assert observed(b"data: [DONE]\n\n").complete
    assert observed(b"data:[DONE]\r\n\r\n").complete


def test_nothing_is_not_complete() -> None:
    assert not observed(event(delta(content="x"))).complete


@pytest.mark.parametrize("broken", [b'data: {"choices":[{"del\n\n', b"data: \xff\xfe\n\n", b'data: {"choices":{}}\n\n'])
def test_what_cannot_be_read_counts_as_content(broken: bytes) -> None:
    observer = StreamObserver(1)
    assert observer.observe(broken) is None
    assert observer.content_events == 1
    assert observer.text_bytes == len(event_data(broken))


@pytest.mark.parametrize("quiet", [b": ping\n\n", b"event: x\nid: 3\n\n", b"\n\n", b"data: \n\n"])
def test_comments_are_not_content(quiet: bytes) -> None:
    assert observed(quiet).content_events == 0


def test_an_error_event_fails_the_stream() -> None:
    observer = observed(event(delta("stop")), event({"error": {"message": "overloaded"}}), b"data: [DONE]\n\n")
    assert observer.failed
    assert not observer.complete
    assert not observed(event({"error": None, "choices": []})).failed


def test_an_error_that_comes_with_usage_still_reaches_the_client() -> None:
    assert not usage_chunk({"error": {"message": "overloaded"}, "usage": USAGE}).standalone


def test_usage_may_come_on_any_chunk_and_the_last_counts() -> None:
    first = {**delta(content="a"), "usage": {"prompt_tokens": 10, "completion_tokens": 1}}
    observer = StreamObserver(1)
    found = observer.observe(event(first))
    assert found is not None
    assert not found.standalone
    observer.observe(event({**delta("stop"), "usage": None}))
    assert observer.usage == Usage(10, 1)
    found = observer.observe(event({"choices": [], "usage": USAGE, "service_tier": "priority"}))
    assert found is not None
    assert found.standalone
    assert observer.usage == READ
    assert observer.service_tier == "priority"


def test_usage_that_says_nothing_is_not_believed() -> None:
    observer = StreamObserver(1)
    assert observer.observe(event({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})) is None
    assert observer.usage is None


def test_groq_has_a_place_of_its_own_for_usage() -> None:
    chunk = {**delta("stop"), "x_groq": {"id": "req_1", "usage": USAGE}}
    observer = StreamObserver(1)
    found = observer.observe(event(chunk))
    assert observer.usage == READ
    assert found is not None
    assert not found.standalone
    assert found.with_cost(NanoUsd(5)) == event(chunk)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.text(max_size=8).filter(lambda name: name not in ("cost", "error")), _JSON, max_size=4),
    st.integers(0, 10**24),
    st.sampled_from([None, 2]),
)
def test_the_cost_is_added_exactly_and_nothing_else_changes(
    extra: dict[str, Any], nano: int, indent: int | None
) -> None:
    chunk = {**extra, "choices": [], "usage": {**extra, **USAGE, "cost": "the provider's"}}
    chunk.pop("service_tier", None)
    text = json.dumps(chunk, indent=indent).encode()  # with line ends of its own, it comes as several data lines
    pretty = b"data: " + text.replace(b"\n", b"\ndata: ") + b"\n\n"
    found = UsageChunk(pretty, event_data(pretty), standalone=True)
    written = found.with_cost(NanoUsd(nano))
    assert EventSplitter().feed(written) == [written]
    back = json.loads(event_data(written), parse_float=Decimal, parse_int=Decimal)
    cost = back["usage"].pop("cost")
    assert cost * 10**9 == nano
    before = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    del before["usage"]["cost"]
    assert back == before


def test_the_bytes_of_other_fields_stay() -> None:
    data = b'{"id":"\\u00e9", "n":1.50e+2,"choices":[],"usage":{"prompt_tokens":1, "x":[ 1.0 ]}}'
    written = UsageChunk(data_event(data), data, standalone=True).with_cost(NanoUsd(1_250_000))
    assert (
        written
        == b'data: {"id":"\\u00e9","n":1.50e+2,"choices":[],"usage":{"prompt_tokens":1,"x":[ 1.0 ],"cost":0.00125}}\n\n'
    )


@pytest.mark.parametrize(
    "data", [b'{"usage":null}', b'{"choices":[]}', b'{"\xff":1,"usage":{"prompt_tokens":1}}', b"{"]
)
def test_without_usage_to_put_it_in_the_event_stays(data: bytes) -> None:
    assert UsageChunk(data_event(data), data, standalone=False).with_cost(NanoUsd(1)) == b"data: " + data + b"\n\n"


@given(st.lists(st.binary(max_size=60) | st.just(b'{"choices":[{"delta":{"content":1}}]}'), max_size=6))
def test_no_event_can_break_the_observer(datas: list[bytes]) -> None:
    observer = StreamObserver(1)
    for data in datas:
        found = observer.observe(b"data: " + data + b"\n\n")
        if found is not None:
            found.with_cost(NanoUsd(1))
    assert observer.content_events >= 0


def test_every_answer_has_to_finish() -> None:
    observer = StreamObserver(2)
    observer.observe(event(delta("stop")))
    assert not observer.complete
    observer.observe(event(delta("length")))
    assert observer.complete


def test_usage_reported_on_the_way_is_outdated_by_what_comes_after() -> None:
    observer = StreamObserver(1)
    observer.observe(event({**delta(content="a"), "usage": USAGE}))
    assert not observer.outdated
    observer.observe(event(delta(content="b")))
    assert observer.outdated
    observer.observe(event({**delta("stop"), "usage": USAGE}))
    assert not observer.outdated


def test_the_usage_events_other_fields_stay() -> None:
    sent = b': ping\nid: 7\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\n\n'
    found = StreamObserver(1).observe(sent)
    assert found is not None
    assert found.with_cost(NanoUsd(1)).startswith(b": ping\nid: 7\ndata: {")


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'{"error":{"message":"no"}}', True), (b'{"error":{"message":"no"},"choices":[]}', True),
        (b'{"error":null,"choices":[]}', False), (b'{"error":{"a":1},"choices":[{}]}', False),
        (b'{"error":{"a":1},"data":[{}]}', False),
    ],
)  # fmt: skip
def test_an_error_in_the_guise_of_an_answer(body: bytes, failed: bool) -> None:
    assert read_answer(body).failed is failed


# --- counting for the meter ---


def test_tokens_are_counted_by_events() -> None:
    observer = observed(
        event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        event({"choices": [{"delta": {"content": "a"}}]}),
        event({"choices": [{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}),
        event({"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}),
        event({"choices": [{"delta": {"reasoning_content": "hm", "reasoning": "hm"}}]}),
        event({"choices": [{"delta": {"reasoning_details": [{"text": "hm"}]}}]}),
        b"data: {broken\n\n",
    )
    assert observer.counted_tokens(1) == 7
    assert observer.counted_tokens(4) == 28


def test_a_running_usage_is_believed() -> None:
    observer = observed(
        event({"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 100}}),
    )
    assert observer.counted_tokens(4) == 100
    observer.observe(event({"choices": [{"delta": {"content": "a"}}]}))
    assert observer.counted_tokens(4) == 104


def test_answers_that_reached_their_bound() -> None:
    assert observed(event(delta("length", content="a"))).cut
    assert not observed(event(delta("stop", content='"length"'))).cut

    def cut(finish_reason: str) -> bool:
        choice = {"message": {"content": 'a "length" b'}, "finish_reason": finish_reason}
        return read_answer(json.dumps({"choices": [choice], "usage": USAGE}).encode()).cut

    assert cut("length")
    assert not cut("stop")


def test_the_opening_of_a_tool_call_is_several_tokens_in_one_event() -> None:
    observer = StreamObserver(1)
    opening = b'[{"index":0,"id":"call_1","type":"function","function":{"name":"look_it_up","arguments":""}}]'
    observer.observe(data_event(b'{"choices":[{"index":0,"delta":{"tool_calls":%s}}]}' % opening))
    assert observer.counted_tokens(1) == 1 + len(opening)
    observer.observe(
        data_event(b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}')
    )
    assert observer.counted_tokens(1) == 2 + len(opening)
    observer.observe(data_event(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":9}}'))
    assert observer.counted_tokens(1) == 9


def test_usage_that_only_we_asked_for_is_taken_out_again() -> None:
    data = b'{"id":"a","choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1},"n":1.50}'
    chunk = UsageChunk(b"data: " + data + b"\n\n", data, standalone=False)
    assert chunk.without_usage(null=False) == data_event(b'{"id":"a","choices":[{"delta":{"content":"x"}}],"n":1.50}')
    assert json.loads(event_data(chunk.without_usage(null=True)))["usage"] is None


def test_usage_in_every_event_counts_what_events_hold() -> None:
    observer = StreamObserver(1)
    for tokens in (3, 7):
        said = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
        observer.observe(
            data_event(json.dumps({"choices": [{"delta": {"content": "some words"}}], "usage": said}).encode())
        )
        assert observer.counted_tokens(4) == tokens
        assert not observer.outdated
