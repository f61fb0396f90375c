"""Properties: translations keep what was said, however streams are cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import httpx2
import openai
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.assemble import Assembler
from gateway.wire.responses import WIRE
from gateway.wire.sse import EventSplitter
from tests.gateway.wire.responses.wording import (
    DONE,
    chat_of,
    chunk,
    native_of,
    response_of,
    said,
    split,
    translator,
    usage_chunk,
)

LETTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(LETTERS, max_size=12)
SOME = st.text(LETTERS, min_size=1, max_size=12)
SIZES = st.lists(st.integers(1, 500), min_size=1, max_size=8)
"""Of the pieces that a stream is cut into, over and over."""
NAME = st.sampled_from(("f", "weather", "look_up"))
USAGE = st.builds(
    lambda prompt, completion, cached, written, reasoning: {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    },
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)
CALLS = st.lists(st.tuples(NAME, TEXT), max_size=3)


@st.composite
def chat_streams(draw: st.DrawFn) -> tuple[list[bytes], dict[str, Any]]:
    """A chat stream as OpenAI sends it, and what it says in all."""
    thoughts, texts, calls = draw(st.lists(SOME, max_size=3)), draw(st.lists(SOME, max_size=4)), draw(CALLS)
    finish = "tool_calls" if calls else draw(st.sampled_from(("stop", "length", "content_filter")))
    usage = draw(USAGE)
    events = [chunk(role="assistant", content="")]
    events += [chunk(reasoning_content=each) for each in thoughts] + [chunk(content=each) for each in texts]
    for index, (name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        events.append(chunk(tool_calls=[{"index": index, "id": f"c{index}", "type": "function", "function": function}]))
        events += [chunk(tool_calls=[{"index": index, "function": {"arguments": each}}]) for each in arguments]
    events += [chunk(finish), usage_chunk(**usage), DONE]
    told = {"content": "".join(texts) or None, "reasoning": "".join(thoughts) or None, "finish": finish, "usage": usage}
    return events, told | {"calls": [(f"c{index}", name, text) for index, (name, text) in enumerate(calls)]}


def told_by(chat: bytes) -> dict[str, Any]:
    answer = json.loads(chat)
    message = answer["choices"][0]["message"]
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())
    ]
    return {
        "content": message["content"],
        "reasoning": message.get("reasoning_content"),
        "finish": answer["choices"][0]["finish_reason"],
        "usage": answer["usage"],
        "calls": calls,
    }


def pieces(stream: Any, sizes: list[int]) -> Iterator[Any]:
    """A sequence in pieces of these sizes."""
    start = 0
    for size in cycle(sizes):
        if start >= len(stream):
            return
        yield stream[start : start + size]
        start += size


@given(chat_streams(), SIZES)
def test_chat_to_responses_and_back(stream: tuple[list[bytes], dict[str, Any]], sizes: list[int]) -> None:
    events, told = stream
    answer, assembler = translator(), WIRE.assembler()
    out = [answer.events(piece) for piece in pieces(events, sizes)]
    said(b"".join(out))
    response_of(answer.final)
    for event in split(b"".join(out)):
        assembler.feed(event)
    assert assembler.body() == answer.final
    assert told_by(WIRE.as_chat(assembler.body())) == told


@given(chat_streams())
def test_a_stream_amounts_to_the_whole_answer(stream: tuple[list[bytes], dict[str, Any]]) -> None:
    events, _ = stream
    streamed, whole, assembler = translator(), translator(), Assembler("chat")
    for event in events:
        assembler.feed(event)
    streamed.events(events)
    assert json.loads(whole.whole(assembler.body())) == json.loads(streamed.final or b"")


@given(chat_streams(), SIZES)
def test_however_a_native_stream_is_cut_the_same_is_seen(
    stream: tuple[list[bytes], dict[str, Any]], sizes: list[int]
) -> None:
    translated = translator().events(stream[0])
    splitter, observer = EventSplitter(), WIRE.observer(1, remember=True)
    for piece in pieces(translated, sizes):
        for event in splitter.feed(piece):
            observer.observe(event)
    whole = WIRE.observer(1, remember=False)
    for event in split(translated):
        whole.observe(event)
    names = (
        "usage",
        "service_tier",
        "content_events",
        "text_bytes",
        "cut",
        "done",
        "failed",
        "final",
        "begun",
        "called_tools",
    )
    assert {name: getattr(observer, name) for name in names} == {name: getattr(whole, name) for name in names}
    assert whole.usage is not None
    assert whole.usage.output_tokens == stream[1]["usage"]["completion_tokens"]


USERS = st.one_of(
    TEXT,
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "input_text", "text": text}, TEXT),
            st.builds(
                lambda url: {"type": "input_image", "image_url": "data:image/png;base64," + url},
                st.sampled_from(("AA", "BB")),
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)


@given(st.lists(st.tuples(USERS, TEXT, CALLS), max_size=3), st.lists(NAME, max_size=2))
def test_a_conversation_keeps_texts_images_calls_and_their_results(
    rounds: list[tuple[Any, str, list[tuple[str, str]]]], names: list[str]
) -> None:
    items: list[dict[str, Any]] = []
    for number, (asked, answered, calls) in enumerate(rounds):
        items += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        ids = [f"c{number}_{index}" for index in range(len(calls))]
        items += [
            {"type": "function_call", "call_id": name, "name": call[0], "arguments": call[1]}
            for name, call in zip(ids, calls, strict=True)
        ]
        items += [{"type": "function_call_output", "call_id": name, "output": name} for name in reversed(ids)]
    chat = chat_of(input=items, tools=[{"type": "function", "name": name, "parameters": {}} for name in names])
    found = _items_of(chat["messages"])
    assert found == [_flat(item) for item in items]
    assert [tool["function"]["name"] for tool in chat.get("tools", ())] == names


def _flat(item: dict[str, Any]) -> tuple[Any, ...]:
    if "role" in item:
        content = item["content"]
        parts = [("text", content)] if isinstance(content, str) else [_part(part) for part in content]
        return (item["role"], parts)
    return (item["type"], *(item[name] for name in ("call_id", "name", "arguments", "output") if name in item))


def _part(part: dict[str, Any]) -> tuple[str, str]:
    if "image_url" in part:
        url = part["image_url"]
        return ("image", url["url"] if isinstance(url, dict) else url)
    return ("text", part["text"])


def _items_of(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(("function_call_output", message["tool_call_id"], message["content"]))
            continue
        found.append(_flat(message))
        for call in message.get("tool_calls", ()):
            found.append(("function_call", call["id"], call["function"]["name"], call["function"]["arguments"]))
    return found


def test_the_sdk_itself_follows_a_stream() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = translator(native_of(stream=True))
    stream = answer.events(
        [
            chunk(reasoning_content="Hm."),
            chunk(content="Hel"),
            chunk(content="lo"),
            chunk(tool_calls=[call]),
            chunk("tool_calls"),
            DONE,
        ]
    )

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    with (
        openai.OpenAI(api_key="x", base_url="http://farebox", http_client=http) as client,
        client.responses.stream(model="m", input="Hi") as events,
    ):
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert deltas == ["Hel", "lo"]
    assert (final.output_text, final.status) == ("Hello", "completed")
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
