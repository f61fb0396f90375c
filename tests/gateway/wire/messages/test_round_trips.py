"""From Anthropic's wire to OpenAI's and back: requests, answers and streams lose nothing of weight."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.anthropic import DIALECT
from gateway.upstream.dialects.anthropic.answer import whole_answer
from gateway.upstream.dialects.anthropic.stream import Stream
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.answers import StreamObserver, read_answer
from gateway.wire.assemble import Assembler
from gateway.wire.messages import AnswerTranslator, read
from gateway.wire.requests import CHAT, read_request
from gateway.wire.sse import EventSplitter

ENDPOINT = Endpoint(provider="anthropic", base_url="https://api.example", headers=())
words = st.text('abc é"\\\n😀', max_size=6).map(lambda text: text + "x")
ids = st.text("abcXYZ019_-", min_size=1, max_size=8)
inputs = st.dictionaries(words, st.one_of(st.integers(-5, 5), words, st.lists(words, max_size=2)), max_size=2)
marks = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])


def block(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields}, optional={"cache_control": marks})


def uncached(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


texts = block("text", text=words)
images = block(
    "image",
    source=st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("base64"),
                "media_type": st.just("image/png"),
                "data": st.sampled_from(["AAAA", "iVBORw=="]),
            }
        ),
        st.fixed_dictionaries({"type": st.just("url"), "url": st.just("https://example.com/a.png")}),
    ),
)
pdfs = block(
    "document",
    source=st.fixed_dictionaries(
        {"type": st.just("base64"), "media_type": st.just("application/pdf"), "data": st.just("JVBERi0=")}
    ),
    title=words,
)
results = st.fixed_dictionaries(
    {
        "type": st.just("tool_result"),
        "tool_use_id": ids,
        "content": st.one_of(words, st.lists(st.one_of(texts, images), min_size=1, max_size=3)),
    },
    optional={"is_error": st.just(True), "cache_control": marks},
)
thoughts = st.one_of(
    uncached("thinking", thinking=st.one_of(st.just(""), words), signature=words),
    uncached("redacted_thinking", data=words),
)
calls = block("tool_use", id=ids, name=ids, input=inputs)
users = st.tuples(st.lists(results, max_size=3), st.lists(st.one_of(texts, images, pdfs), max_size=3)).map(
    lambda pair: [*pair[0], *pair[1]] or [{"type": "text", "text": "x"}]
)
plain_answers = st.tuples(st.lists(thoughts, max_size=2), st.lists(texts, max_size=1), st.lists(calls, max_size=3)).map(
    lambda triple: [*triple[0], *triple[1], *triple[2]] or [{"type": "text", "text": "x"}]
)
mixed_answers = st.lists(
    st.one_of(thoughts, uncached("text", text=words), uncached("tool_use", id=ids, name=ids, input=inputs)),
    min_size=1,
    max_size=5,
)
contents = {"user": st.one_of(words, users), "assistant": st.one_of(words, plain_answers, mixed_answers)}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    roles = ["user", "assistant"] * 2
    return [{"role": role, "content": draw(contents[role])} for role in roles[: draw(st.integers(1, 4))]]


tools = st.lists(
    st.fixed_dictionaries(
        {
            "name": ids,
            "input_schema": st.just({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
        },
        optional={"description": words, "cache_control": marks, "input_examples": st.just([{"a": "b"}])},
    ),
    min_size=1,
    max_size=3,
)
choices = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["auto", "any"])}, optional={"disable_parallel_tool_use": st.just(True)}
    ),
    st.fixed_dictionaries({"type": st.just("tool"), "name": ids}),
    st.just({"type": "none"}),
)
requests = st.fixed_dictionaries(
    {"model": st.just("claude-opus-4-6"), "max_tokens": st.integers(2000, 9000), "messages": conversations()},
    optional={
        "system": st.one_of(words, st.lists(texts, min_size=1, max_size=2)),
        "stream": st.just(True),
        "stop_sequences": st.lists(words, min_size=1, max_size=2),
        "metadata": st.fixed_dictionaries({"user_id": words}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}]),
        "output_config": st.sampled_from([{"effort": "low"}, {"effort": "max"}]),
        "cache_control": marks,
    },
)


def listed(content: Any) -> Any:
    """A content as a list of blocks, and each with a list as its own."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def shown(request: dict[str, Any]) -> dict[str, Any]:
    """A request without the differences that are none."""
    messages = [{**message, "content": listed(message["content"])} for message in request["messages"]]
    out = {**request, "messages": messages}
    return {**out, "system": listed(out["system"])} if "system" in out else out


@settings(max_examples=200, deadline=None)
@given(requests, st.one_of(st.none(), st.tuples(tools, choices)))
def test_a_request_gets_to_anthropic_by_way_of_chat(fields: dict[str, Any], asked: Any) -> None:
    if asked is not None:
        fields = {**fields, "tools": asked[0], "tool_choice": asked[1]}
    chat, native = read(json.dumps(fields).encode())
    request = read_request(CHAT, chat)
    wish = Wish(request.model, None, "max_tokens", None, request.stream, "req-1", [])
    outgoing = DIALECT.outgoing(request, wish, ENDPOINT)
    assert native.refused is None
    assert isinstance(outgoing.body, bytes)
    assert shown(json.loads(outgoing.body)) == shown(fields)


# --- answers ---

arguments = inputs.map(json.dumps)
tokens = st.integers(0, 9_999)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    read_, minutes, hour, plain, thought = (draw(tokens) for _ in range(5))
    output = thought + draw(st.integers(1, 99))
    prompt = plain + read_ + minutes + hour
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": read_,
            "cache_write_tokens": minutes + hour,
            "cache_write_1h_tokens": hour,
        },
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    said = draw(st.lists(st.fixed_dictionaries({"name": ids, "arguments": arguments}), max_size=3))
    message: dict[str, Any] = {"role": "assistant", "content": draw(st.one_of(words, st.none()))}
    if said:
        message["tool_calls"] = [
            {"id": f"call_{number}", "type": "function", "function": call} for number, call in enumerate(said)
        ]
    reason = draw(st.sampled_from(["tool_calls", "length"] if said else ["stop", "length", "content_filter"]))
    return {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": draw(usages()),
    }


def summary(body: bytes) -> Any:
    """What matters of a chat completion."""
    choice = json.loads(body)["choices"][0]
    message = choice["message"]
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    return message["content"] or "", calls, choice["finish_reason"], read_answer(body).usage


@given(completions())
def test_an_answer_gets_back_to_chat(completion: dict[str, Any]) -> None:
    body = json.dumps(completion).encode()
    message = AnswerTranslator(model="m", request_id="r").whole(body)
    assert summary(whole_answer(message, 0, json_tool=False)) == summary(body)


def chunks_of(completion: dict[str, Any], cut: int) -> list[bytes]:
    """A completion as OpenAI streams it."""
    message, reason = completion["choices"][0]["message"], completion["choices"][0]["finish_reason"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    text = message["content"] or ""
    deltas += [{"content": piece} for piece in (text[:cut], text[cut:]) if piece]
    for index, call in enumerate(message.get("tool_calls") or ()):
        name, given_ = call["function"]["name"], call["function"]["arguments"]
        head = {"index": index, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in (given_[:cut], given_[cut:])
            if piece
        ]
    base = {"id": "chatcmpl-1", "model": "m", "object": "chat.completion.chunk"}
    chunks: list[dict[str, Any]] = [{**base, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    chunks.append({**base, "choices": [], "usage": completion["usage"]})
    return [*(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


@given(completions(), st.integers(1, 5), st.integers(1, 40))
def test_a_stream_gets_back_to_chat(completion: dict[str, Any], cut: int, size: int) -> None:
    translator, back = AnswerTranslator(model="m", request_id="r"), Stream("m", 0, json_tool=False)
    said = b"".join(chunks_of(completion, cut))
    splitter, after = EventSplitter(), EventSplitter()
    observer, assembler = StreamObserver(1), Assembler(CHAT)
    for start in range(0, len(said), size):
        events = translator.events(splitter.feed(said[start : start + size]))
        for event in after.feed(back.feed(events)):
            observer.observe(event)
            assembler.feed(event)
    assert observer.complete
    assert not assembler.malformed
    assert summary(assembler.body()) == summary(json.dumps(completion).encode())
