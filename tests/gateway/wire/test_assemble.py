"""A stream put together says what the provider's own whole answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.simulator.server import SimulatorServer
from gateway.wire.assemble import Assembler, assemblable
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, read_request
from gateway.wire.sse import EventSplitter, data_event
from tests.gateway.simulator.helpers import post

PATHS = {CHAT: "/v1/chat/completions", COMPLETIONS: "/v1/completions"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
    for name in ("get_weather", "get_forecast", "get_climate")
]


def assembled(api: str, *chunks: Any) -> dict[str, Any]:
    assembler = Assembler(api)
    for chunk in chunks:
        assembler.feed(data_event(json.dumps(chunk).encode()))
    assembler.feed(b"data: [DONE]\n\n")
    assert not assembler.malformed
    answer: dict[str, Any] = json.loads(assembler.body())
    return answer


def chunk(delta: dict[str, Any], index: int = 0, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": fields.pop("finish_reason", None)}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **fields}


# --- against the simulator's own ---


def semantic(answer: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """An answer without what differs between two calls, and without an empty list that no stream mentions."""
    assert answer.pop("id").split("-")[0] in ("chatcmpl", "cmpl")
    assert isinstance(answer.pop("created"), int)
    for choice in answer["choices"]:
        if "message" in choice:
            choice["message"]["content"] = (
                choice["message"]["content"] or None
            )  # of a call that was cut before it began
            assert choice["message"].pop("annotations", None) == ([] if whole else None)
            for call in choice["message"].get("tool_calls") or ():
                json.loads(call["function"]["arguments"])
    return answer


async def both(sim: SimulatorServer, api: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The simulator's whole answer, and its stream put together."""
    request = read_request(api, json.dumps(body).encode())
    assert assemblable(request)
    plain = await post(sim, body, path=PATHS[api])
    assert plain.status == 200, plain.body
    streamed = await post(sim, json.loads(request.upstream_body(request.model, stream=True)), path=PATHS[api])
    assert streamed.status == 200, streamed.body
    assembler = Assembler(api)
    for event in EventSplitter().feed(streamed.body):
        assembler.feed(event)
    assert not assembler.malformed
    return semantic(plain.json(), whole=True), semantic(json.loads(assembler.body()), whole=False)


async def test_chats(sim: SimulatorServer) -> None:
    """Tools, several answers, cut ones, JSON, hidden reasoning."""
    seen = set()
    for seed in range(60):
        body: dict[str, Any] = {
            "model": ("sim-small", "sim-large", "sim-reasoner")[seed % 3],
            "messages": [{"role": "user", "content": f"Plan a trip to Köln 🌆, 天气 {seed}"}],
            "n": 1 + seed % 4,
            "seed": seed,
        }
        if seed % 2:
            body |= {"tools": TOOLS, "tool_choice": ("auto", "required")[seed % 4 // 2]}
        if seed % 5 == 0:
            body["max_tokens"] = 60
        if seed % 6 == 2:
            body["response_format"] = {"type": "json_object"}
        plain, streamed = await both(sim, CHAT, body)
        assert streamed == plain, body
        for choice in plain["choices"]:
            seen.add((choice["finish_reason"], len(choice["message"].get("tool_calls", ()))))
    assert seen >= {("stop", 0), ("length", 0), ("tool_calls", 1), ("tool_calls", 2)}


async def test_completions(sim: SimulatorServer) -> None:
    for n in (1, 3):
        body = {"model": "sim-small", "prompt": ["Once upon a time", "The end"], "n": n, "max_tokens": 50}
        plain, streamed = await both(sim, COMPLETIONS, body)
        assert streamed == plain
        assert len(plain["choices"]) == 2 * n


async def test_a_stream_with_comments_and_many_lines(sim: SimulatorServer) -> None:
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    answer = await post(sim, body, x_sim_fault="multiline, comments")
    assembler = Assembler(CHAT)
    for event in EventSplitter().feed(answer.body):
        assembler.feed(event)
    [choice] = json.loads(assembler.body())["choices"]
    plain = await post(sim, {**body, "stream": False})
    assert choice["message"]["content"] == plain.json()["choices"][0]["message"]["content"]


# --- what other providers send ---


def test_text_and_reasoning_in_pieces() -> None:
    answer = assembled(
        CHAT,
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Let me "}),
        chunk({"reasoning_content": "think."}),
        chunk({"role": "assistant", "content": "The "}),
        chunk({"role": "assistant", "content": "end"}, logprobs=None),
        chunk({}, finish_reason="stop"),
    )
    assert answer["object"] == "chat.completion"
    [choice] = answer["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "The end", "reasoning_content": "Let me think."},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_a_refusal_has_no_content() -> None:
    answer = assembled(
        CHAT,
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"refusal": "I "}),
        chunk({"refusal": "won't"}),
    )
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "I won't"}


def test_tool_calls_interleaved() -> None:
    calls = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x"'}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]
    answer = assembled(CHAT, *(chunk({"tool_calls": [call]}) for call in calls))
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize("place", [{}, {"index": 0}])
def test_tool_calls_that_come_whole_under_one_index(place: dict[str, int]) -> None:
    """As Gemini's endpoint sends them."""
    calls = [
        {**place, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")
    ]
    for answer in (
        assembled(CHAT, chunk({"tool_calls": calls})),
        assembled(CHAT, *(chunk({"tool_calls": [call]}) for call in calls)),
    ):
        found = answer["choices"][0]["message"]["tool_calls"]
        assert [(call["id"], call["function"]["arguments"]) for call in found] == [("a", "{}"), ("b", "{}")]


def test_a_repeated_id_is_the_same_call() -> None:
    pieces = [{"id": "a", "function": {"name": "f", "arguments": "{"}}, {"id": "a", "function": {"arguments": "}"}}]
    answer = assembled(CHAT, *(chunk({"tool_calls": [{"index": 0, **piece}]}) for piece in pieces))
    assert answer["choices"][0]["message"]["tool_calls"] == [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]


def test_a_function_call() -> None:
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"x":'}, {"arguments": "1}"}]
    answer = assembled(CHAT, *(chunk({"function_call": piece}) for piece in pieces))
    assert answer["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}


def test_log_probabilities_are_joined() -> None:
    token = {"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": []}
    one = chunk({"content": "a"})
    one["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    answer = assembled(CHAT, one, one)
    assert answer["choices"][0]["logprobs"] == {"content": [token, token], "refusal": None}
    piece = {"index": 0, "text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [-1.5], "text_offset": [3]}}
    answer = assembled(COMPLETIONS, {"choices": [piece]}, {"choices": [piece]})
    assert answer["choices"][0]["text"] == "aa"
    assert answer["choices"][0]["logprobs"] == {
        "tokens": ["a", "a"],
        "token_logprobs": [-1.5, -1.5],
        "text_offset": [3, 3],
    }


def test_choices_stand_in_order() -> None:
    answer = assembled(CHAT, chunk({"content": "b"}, index=1), chunk({"content": "a"}, index=0))
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["a", "b"]


def test_the_top_level_is_said_once() -> None:
    answer = assembled(
        CHAT,
        {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [{"x": 1}]},  # as Azure begins
        chunk({"content": "a"}, system_fingerprint="fp", usage=None, obfuscation="xyz", service_tier=None),
        chunk({"content": "b"}, service_tier="flex", usage={"prompt_tokens": 1}),
        {
            "id": "c1",
            "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.1},
            "custom": {"y": [1.50]},
        },
    )
    choices = answer.pop("choices")
    assert choices[0]["message"]["content"] == "ab"
    assert answer == {
        "id": "c1",
        "model": "m",
        "created": 7,
        "prompt_filter_results": [{"x": 1}],
        "object": "chat.completion",
        "system_fingerprint": "fp",
        "service_tier": "flex",
        "custom": {"y": [1.5]},
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.1},
    }


def test_unknown_fields_are_kept() -> None:
    details = [{"type": "reasoning.text", "text": text, "index": 0} for text in ("Let ", "me")]
    first = chunk({"reasoning_details": [details[0]], "annotations": [{"url": "a"}], "score": 1})
    second = chunk({"reasoning_details": [details[1]], "annotations": [{"url": "b"}], "score": 2})
    second["choices"][0]["native_finish_reason"] = "STOP"
    [choice] = assembled(CHAT, first, second)["choices"]
    assert choice["native_finish_reason"] == "STOP"
    assert choice["message"]["reasoning_details"] == [{"type": "reasoning.text", "text": "Let me", "index": 0}]
    assert choice["message"]["annotations"] == [{"url": "a"}, {"url": "b"}]
    assert choice["message"]["score"] == 2


def test_groqs_usage() -> None:
    answer = assembled(CHAT, chunk({"content": "a"}), chunk({}, x_groq={"id": "r", "usage": {"prompt_tokens": 5}}))
    assert answer["usage"] == {"prompt_tokens": 5}
    assert "usage" not in assembled(CHAT, chunk({"content": "a"}, x_groq={"id": "r"}, usage=None))


def test_no_events_make_an_empty_answer() -> None:
    assert assembled(CHAT) == {"object": "chat.completion", "choices": []}


# --- any events ---

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "tool_calls", "function", "content", "logprobs", "id", "text", "role"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_CHOICE = st.fixed_dictionaries(
    {"index": st.integers(0, 2) | _JSON, "delta": _JSON}, optional={"text": _JSON, "logprobs": _JSON}
)
_EVENT = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(_CHOICE, max_size=3) | _JSON, "usage": _JSON, "x_groq": _JSON}
)


@given(st.sampled_from([CHAT, COMPLETIONS]), st.lists(_EVENT | _JSON, max_size=5))
@example(CHAT, [{"choices": [{"index": 0, "delta": {"tool_calls": 1}}]}])
def test_any_events_make_a_body_or_are_malformed(api: str, events: list[Any]) -> None:
    assembler = Assembler(api)
    for event in events:
        assembler.feed(data_event(json.dumps(event).encode()))
    assert isinstance(json.loads(assembler.body())["choices"], list)


@pytest.mark.parametrize(
    "data", [b'{"id": "broken"', b"[1]", b"\xff", b'{"choices": 5}', b'{"choices": [{"index": "a"}]}']
)
def test_what_cannot_be_read_makes_the_answer_malformed(data: bytes) -> None:
    assembler = Assembler(CHAT)
    assembler.feed(b"data: " + data + b"\n\n")
    assert assembler.malformed
    json.loads(assembler.body())


@given(st.lists(st.text(max_size=5), max_size=30))
def test_texts_come_out_as_they_went_in(texts: list[str]) -> None:
    answer = assembled(CHAT, *(chunk({"content": text}) for text in texts), chunk({}, finish_reason="stop"))
    assert answer["choices"][0]["message"]["content"] == ("".join(texts) if texts else None)


# --- which requests ---


def test_what_may_be_assembled() -> None:
    def asked(api: str, **fields: Any) -> bool:
        body = {"model": "m", "messages": [], "prompt": "", "input": "", **fields}
        return assemblable(read_request(api, json.dumps(body).encode()))

    assert asked(CHAT)
    assert asked(COMPLETIONS)
    assert not asked(EMBEDDINGS)
    assert not asked(CHAT, modalities=["text", "audio"])
    assert not asked(CHAT, audio={"format": "wav"})
    assert not asked(COMPLETIONS, best_of=3)
    assert asked(COMPLETIONS, best_of=None, audio=None)
    assert not asked(COMPLETIONS, best_of=3, audio=None)
