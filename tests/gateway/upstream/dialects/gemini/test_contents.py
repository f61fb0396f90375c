from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.gemini.contents import NO_SIGNATURE, conversation


def said(messages: list[Any], model: str = "gemini-3.8-flash") -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(conversation(msgspec.Raw(msgspec.json.encode(messages)), model))
    )
    return made


def asked(ids: list[str]) -> dict[str, Any]:
    calls = [{"id": id_, "type": "function", "function": {"name": f"f-{id_}", "arguments": "{}"}} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@given(st.permutations(["a", "b", "c"]))
def test_results_go_in_the_order_of_the_calls(order: list[str]) -> None:
    results = [{"role": "tool", "tool_call_id": id_, "content": id_} for id_ in order]

    turns = said([{"role": "user", "content": "go"}, asked(["a", "b", "c"]), *results])["contents"]

    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    responses = [part["functionResponse"] for part in turns[2]["parts"]]
    assert [(response["id"], response["name"]) for response in responses] == [("a", "f-a"), ("b", "f-b"), ("c", "f-c")]


def test_rounds_of_calls_stay_apart_and_each_is_signed_once() -> None:
    results = [{"role": "tool", "tool_call_id": id_, "content": "1"} for id_ in "abc"]

    turns = said([asked(["a", "b"]), results[0], results[1], asked(["c"]), results[2]])["contents"]

    assert [turn["role"] for turn in turns] == ["model", "user", "model", "user"]
    assert [len(turn["parts"]) for turn in turns] == [2, 2, 1, 1]
    signatures = [part.get("thoughtSignature") for turn in turns[::2] for part in turn["parts"]]
    assert signatures == [NO_SIGNATURE, None, NO_SIGNATURE]


def test_empty_answers_are_no_turns() -> None:
    turns = said(
        [
            {"role": "user", "content": ""},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
            {"role": "assistant", "content": None, "refusal": "No."},
            {"role": "user", "content": ["plain", {"type": "text", "text": "part"}]},
        ]
    )["contents"]

    assert turns == [
        {"role": "user", "parts": [{"text": ""}]},
        {"role": "model", "parts": [{"text": "No."}]},
        {"role": "user", "parts": [{"text": "plain"}, {"text": "part"}]},
    ]


def test_a_texts_signature_goes_back_with_it() -> None:
    (turn,) = said([{"role": "assistant", "content": "a", "extra_content": {"google": {"thought_signature": "s"}}}])[
        "contents"
    ]

    assert turn["parts"] == [{"text": "a", "thoughtSignature": "s"}]
