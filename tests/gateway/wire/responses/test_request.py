"""What is read of a request, what is told of a wrong one, and what goes to a provider that speaks our tongue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.wire.requests import read_request
from gateway.wire.responses import read
from gateway.wire.tongues import read_tongue
from tests.gateway.wire.responses.wording import body_of, chat_of, native_of


def refusal(body: bytes) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert caught.value.status == 400
    return caught.value.code, caught.value.param


@pytest.mark.parametrize("body", [b"", b"  ", b"[]", b"null", b'{"model":', b'{"a":1}x', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_no_request(body: bytes) -> None:
    assert refusal(body) == ("invalid_json", None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"input":"Hi"}', "model"),
        (b'{"model":null,"input":"Hi"}', "model"),
        (b'{"model":"m"}', "input"),
        (b'{"model":"m","input":null,"previous_response_id":null}', "input"),
        (body_of(input=[{"role": "user"}]), "input[0].content"),
        (body_of(input=[{"type": "function_call", "call_id": "c", "name": "f"}]), "input[0].arguments"),
        (body_of(input=[{}]), "input[0].type"),
        (body_of(input=[{"type": "function_call_output", "output": "x"}]), "input[0].call_id"),
        (body_of(input=[{"type": "function_call_output", "call_id": "c"}]), "input[0].output"),
        (body_of(input=[{"role": "user", "content": [{"text": "x"}]}]), "input[0].content[0].type"),
        (body_of(tools=[{"name": "f"}]), "tools[0].type"),
        (body_of(tools=[{"type": "function"}]), "tools[0].name"),
        (body_of(text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name"),
    ],
)
def test_what_is_missing_is_named(body: bytes, param: str) -> None:
    assert refusal(body)[1] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": 5}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 5}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content",
        ),
        ({"instructions": 5}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"max_tool_calls": -1}, "max_tool_calls"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
        ({"background": "no"}, "background"),
        ({"conversation": 7}, "conversation"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"previous_response_id": "a", "conversation": "b"}, "conversation"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"text": "long"}, "text"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": 5}}}, "text.format.schema"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"Max_Output_Tokens": 3}, "Max_Output_Tokens"),
        ({"MODEL": "other"}, "MODEL"),
        ({"messages": []}, "messages"),
        ({"n": 2}, "n"),
        ({"max_completion_tokens": 2}, "max_completion_tokens"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(body_of(**fields)) == ("invalid_value", param)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read(body)
    except BadRequest:
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("type", "content", "id", "role", "name")), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "conversation",
    "include",
    "stream_options",
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        chat, native = read(body_of(**fields))
    except BadRequest as error:
        named = error.param
    else:
        read_request("chat", chat)
        assert native.body == body_of(**fields)
        named = "-"
    assert named


def test_what_the_gateway_does_beside_asking() -> None:
    native = native_of()
    assert (native.store, native.background, native.previous_response_id, native.conversation) == (
        True,
        False,
        None,
        None,
    )
    native = native_of(store=False, background=True, previous_response_id="resp_1")
    assert (native.store, native.background, native.previous_response_id) == (False, True, "resp_1")
    assert native_of(conversation="conv_1").conversation == "conv_1"
    assert native_of(conversation={"id": "conv_2"}).conversation == "conv_2"


def test_a_request_may_only_continue() -> None:
    chat, native = read(b'{"model":"m","previous_response_id":"resp_1"}')
    assert json.loads(chat) == {"model": "m", "messages": []}
    assert native.unknown is None


def test_fields_that_are_not_known_go_on_in_both_forms() -> None:
    native = native_of(top_k=5, seed=3)
    assert b'"top_k": 5' in native.upstream_body("m")
    chat = chat_of(top_k=5, seed=3)
    assert (chat["top_k"], chat["seed"]) == (5, 3)


def test_usage_is_asked_for_in_streams() -> None:
    request = read_tongue("responses", body_of(stream=True, stream_options={"include_obfuscation": False}))
    assert request.stream
    assert request.include_usage
    assert json.loads(request.body)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in chat_of()


def test_a_bound_is_a_bound_in_both_forms() -> None:
    request = read_tongue("responses", body_of(max_output_tokens=100))
    assert request.profile.max_output_tokens == 100
    assert request.native is not None
    assert json.loads(request.native.upstream_body("m", max_tokens=40))["max_output_tokens"] == 40
    assert json.loads(request.native.upstream_body("m", max_tokens=400))["max_output_tokens"] == 100
    assert json.loads(native_of().upstream_body("m", max_tokens=40))["max_output_tokens"] == 40


def test_nothing_changes_where_nothing_has_to() -> None:
    native = native_of(model="m", input=[{"role": "user", "content": "x"}])
    assert native.upstream_body("m") is native.body


def test_thoughts_of_another_provider_are_not_sent_to_one_that_would_refuse_them() -> None:
    ours = {"type": "reasoning", "id": "rs_fbx01", "summary": [], "encrypted_content": "farebox.1.e30="}
    theirs = {"type": "reasoning", "id": "rs_68ab", "summary": [], "encrypted_content": "gAAA"}
    odd = {"type": "message", "role": "user", "content": "rs_fbx", "id": 5}
    sent = json.loads(native_of(input=[ours, theirs, odd], top_k=1).upstream_body("other", max_tokens=7, stream=True))
    assert sent == {"model": "other", "input": [theirs, odd], "top_k": 1, "max_output_tokens": 7, "stream": True}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"top_logprobs": 0}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
        ({"reasoning": {"summary": "auto"}}, {}),
        ({"truncation": "auto", "include": [], "store": True, "background": False}, {}),
    ],
)
def test_fields_that_chat_says_otherwise(fields: dict[str, Any], said: dict[str, Any]) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    assert chat_of(**fields) == plain | said


def test_templates_are_for_their_provider_alone() -> None:
    native = native_of(prompt={"id": "pmpt_1"})
    assert native.refused is not None
    assert (native.refused.param, native.unknown) == ("prompt", "prompt")
