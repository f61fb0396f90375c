"""Reading requests: what is wrong is named as Anthropic names it, and nothing that is billed is lost."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, InvalidField, InvalidJson, MissingField
from gateway.identity.attribution import attribute
from gateway.wire.messages import read
from gateway.wire.native import Native, Service
from gateway.wire.requests import CHAT, ModelRequest, read_request

HELLO = {"role": "user", "content": "Hello"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}


def body_of(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 10, "messages": [HELLO], **fields}).encode()


def blocks(*given: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [HELLO, {"role": role, "content": list(given)}]}


def read_both(**fields: Any) -> tuple[ModelRequest, Native]:
    chat, native = read(body_of(**fields))
    return read_request(CHAT, chat), native


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "7"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": ["x", 1]}, "stop_sequences.1"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [HELLO, "x"]}, "messages.1"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        (blocks("x"), "messages.1.content.0"),
        (blocks({"text": "x"}), "messages.1.content.0.type"),
        (blocks({"type": 7}), "messages.1.content.0.type"),
        (blocks({"type": "text", "text": "x"}, {"type": "text"}), "messages.1.content.1.text"),
        (blocks({"type": "text", "text": 7}), "messages.1.content.0.text"),
        (blocks({"type": "image"}), "messages.1.content.0.source"),
        (blocks({"type": "image", "source": {"data": "x"}}), "messages.1.content.0.source.type"),
        (blocks({"type": "image", "source": {"type": "url"}}), "messages.1.content.0.source.url"),
        (
            blocks({"type": "image", "source": {"type": "base64", "data": "x"}}),
            "messages.1.content.0.source.media_type",
        ),
        (blocks({"type": "document", "source": PDF | {"data": None}}), "messages.1.content.0.source.data"),
        (blocks({"type": "document", "source": {"type": "text"}}), "messages.1.content.0.source.data"),
        (blocks({"type": "document", "source": {"type": "content"}}), "messages.1.content.0.source.content"),
        (blocks({"type": "document", "source": PDF, "title": 7}), "messages.1.content.0.title"),
        (blocks({"type": "search_result", "title": "x", "source": "y"}), "messages.1.content.0.content"),
        (
            blocks({"type": "search_result", "title": "x", "source": "y", "content": [{"type": "text"}]}),
            "messages.1.content.0.content.0.text",
        ),
        (blocks({"type": "tool_result", "content": "x"}), "messages.1.content.0.tool_use_id"),
        (blocks({"type": "tool_result", "tool_use_id": "x", "content": 7}), "messages.1.content.0.content"),
        (
            blocks({"type": "tool_result", "tool_use_id": "x", "content": [{"type": "text"}]}),
            "messages.1.content.0.content.0.text",
        ),
        (blocks({"type": "tool_use", "name": "f", "input": {}}, role="assistant"), "messages.1.content.0.id"),
        (blocks({"type": "tool_use", "id": "x", "input": {}}, role="assistant"), "messages.1.content.0.name"),
        (blocks({"type": "tool_use", "id": "x", "name": "f"}, role="assistant"), "messages.1.content.0.input"),
        (
            blocks({"type": "tool_use", "id": "x", "name": "f", "input": "{}"}, role="assistant"),
            "messages.1.content.0.input",
        ),
        (blocks({"type": "thinking", "signature": ""}, role="assistant"), "messages.1.content.0.thinking"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "text"}]}, "system.0.text"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools.0"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools.0.input_schema"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"output_config": 7}, "output_config"),
        ({"output_config": {"format": {"type": "json"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": 7}}, "output_format.schema"),
        ({"context_management": {"edits": [{}]}}, "context_management.edits.0.type"),
        ({"fallbacks": [{"model": "other"}]}, "fallbacks"),
        ({"fallbacks": "default"}, "fallbacks"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, "thread"),
        ({"Max_Tokens": 1}, "Max_Tokens"),
        ({"MESSAGES": []}, "MESSAGES"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(body_of(**fields))
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_what_must_be_there(name: str) -> None:
    fields = json.loads(body_of())
    del fields[name]
    with pytest.raises(MissingField) as caught:
        read(json.dumps(fields).encode())
    assert caught.value.param == name


@pytest.mark.parametrize("body", [b"", b"  ", b"[]", b"7", b"{", b'{"model": "\xff"}', b'{"a":' * 2000])
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        read(body)


@pytest.mark.parametrize(
    "content",
    [
        b'[{"type":"text","text":"\xff"}]',
        b'[{"type":"document","source":{"type":"text","data":"\xff"}}]',
        b'[{"type":"tool_use","id":"x","name":"f","input":{"a":"\xff"}}]',
    ],
)
@pytest.mark.parametrize("role", [b"user", b"assistant"])
def test_texts_that_are_no_utf8(role: bytes, content: bytes) -> None:
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"' + role + b'","content":' + content + b"}]}"
    assert param_or_none(body) in (None, "nothing", "messages.0.content.0")


def test_counting_needs_no_bound() -> None:
    chat, native = read(b'{"model":"m","messages":[{"role":"user","content":"x"}]}', bounded=False)
    assert native.bound_fields == {}
    assert "max_tokens" not in json.loads(chat)


def test_nulls_are_as_good_as_absent() -> None:
    nulls = dict.fromkeys(
        ("system", "tools", "tool_choice", "stop_sequences", "stream", "thinking", "output_config", "metadata", "top_p")
    )
    assert read(body_of(**nulls))[0] == read(body_of())[0]


def test_the_request_as_it_came() -> None:
    body = b'{ "stream":true, "max_tokens": 7,"model":"m","messages":[{"role":"user","content":"x"}], "new":[1] }'
    chat, native = read(body)
    assert native.upstream_body("m") == body
    assert json.loads(native.upstream_body("n", max_tokens=5)) == {**json.loads(body), "model": "n", "max_tokens": 5}
    assert native.stream
    assert native.bound_fields == {"max_tokens": 7}
    assert read_request(CHAT, chat).fields["new"] == msgspec.Raw(b"[1]")


def test_attribution_sees_whom_it_is_for() -> None:
    ids = {"device_id": "d", "account_uuid": "acc", "session_id": "ses"}
    request, _ = read_both(metadata={"user_id": json.dumps(ids)})
    found, _ = attribute([], request.fields, frozenset())
    assert (found.user, found.session) == ("acc", "ses")


def test_fields_of_chat_govern_nothing_here() -> None:
    request, _ = read_both(
        n=7, max_completion_tokens=1, stop="x", functions=[], stream_options={}, reasoning_effort="x"
    )
    assert request.profile.answers == 1
    assert request.profile.max_output_tokens == 10
    assert request.fields.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]}, False),
        ({"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "compact_20260112"}]}, True),
        ({}, False),
    ],
)
def test_a_context_that_only_shrinks_costs_nothing(given_: Any, kept: bool) -> None:
    request, native = read_both(context_management=given_)
    assert ("context_management" in request.fields) is kept
    assert native.refused is None


def test_services() -> None:
    _, native = read_both(
        tools=[
            {"type": "web_search_20260318", "name": "web_search", "max_uses": 2},
            {"type": "advisor_20260301", "name": "advisor", "model": "x"},
            {"type": "new_20270101", "name": "new"},
        ]
    )
    assert native.services == (
        Service("web_search", "tools.0", 2),
        Service("advisor", "tools.1", None),
        Service("new_20270101", "tools.2", None),
    )
    assert native.unknown == "tools.0"
    assert isinstance(native.refused, InvalidField)


@pytest.mark.parametrize("name", ["container", "mcp_servers", "inference_geo"])
def test_what_only_anthropic_does(name: str) -> None:
    request, native = read_both(**{name: "x"})
    assert native.refused is not None
    assert native.refused.param == name
    assert name in request.fields, "an enforced budget refuses it"


def test_a_documents_mark_is_kept() -> None:
    mark = {"type": "ephemeral"}
    inner = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    document = {"type": "document", "source": {"type": "content", "content": inner}, "cache_control": mark}
    request, _ = read_both(messages=[{"role": "user", "content": [document]}])
    parts = msgspec.json.decode(request.messages[0].content)
    assert parts == [inner[0], {**inner[1], "cache_control": mark}]


# --- properties ---

marks = st.uuids().map(lambda found: found.hex[:12])


def texts_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(texts_in(each) for each in value.values())) | set(value)
    if isinstance(value, list):
        return set().union(*(texts_in(each) for each in value))
    return {value} if isinstance(value, str) else set()


def text(mark: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just("text"), "text": mark})


def document(mark: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    source = st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "data": mark}),
        st.fixed_dictionaries({"type": st.just("base64"), "media_type": st.just("application/pdf"), "data": mark}),
        st.fixed_dictionaries({"type": st.just("content"), "content": st.lists(text(mark), max_size=2)}),
    )
    return st.fixed_dictionaries({"type": st.just("document"), "source": source}, optional={"title": mark})


parts = st.one_of(
    text(marks),
    document(marks),
    st.fixed_dictionaries(
        {
            "type": st.just("search_result"),
            "title": marks,
            "source": marks,
            "content": st.lists(text(marks), max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("image"), "source": st.fixed_dictionaries({"type": st.just("url"), "url": marks})}
    ),
)
users = st.lists(
    st.one_of(
        parts,
        st.fixed_dictionaries(
            {
                "type": st.just("tool_result"),
                "tool_use_id": marks,
                "content": st.one_of(marks, st.lists(parts, max_size=2)),
            }
        ),
    ),
    max_size=4,
)
answers = st.lists(
    st.one_of(
        text(marks),
        st.fixed_dictionaries(
            {"type": st.just("thinking"), "thinking": marks, "signature": st.one_of(marks, st.just(""))}
        ),
        st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": marks}),
        st.fixed_dictionaries(
            {
                "type": st.just("tool_use"),
                "id": marks,
                "name": marks,
                "input": st.dictionaries(marks, marks, max_size=2),
            }
        ),
        st.fixed_dictionaries({"type": st.just("web_search_tool_result"), "tool_use_id": marks, "content": marks}),
    ),
    max_size=4,
)
turns = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.just("user"), "content": users}),
        st.fixed_dictionaries({"role": st.just("assistant"), "content": answers}),
    ),
    min_size=1,
    max_size=4,
)
WORDS = {
    *("type", "text", "role", "content", "user", "assistant", "document", "source", "data", "base64", "media_type"),
    *("search_result", "image", "url", "tool_result", "tool_use_id", "thinking", "redacted_thinking", "signature"),
    *("tool_use", "id", "name", "input", "title", "application/pdf", "web_search_tool_result", ""),
}


@given(turns)
def test_nothing_that_is_billed_is_lost(messages: list[dict[str, Any]]) -> None:
    """What the request is bounded by is its chat form: all that is said in it must be there."""
    chat, _ = read(body_of(messages=messages))
    said = chat.decode()
    assert [mark for mark in texts_in(messages) - WORDS if mark not in said] == []


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(sorted(WORDS - {""}))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(sorted(WORDS - {""})), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["messages", "system", "tools", "tool_choice", "output_config", "thinking", "context_management"]),
    anything,
)
def test_whatever_comes_is_read_or_refused(name: str, value: Any) -> None:
    param = param_or_none(body_of(**{name: value}))
    assert param is None or param.split(".")[0] == name


@given(st.lists(anything, max_size=3), st.sampled_from(["user", "assistant", "system"]))
def test_whatever_is_said_is_read_or_refused(content: list[Any], role: str) -> None:
    param = param_or_none(body_of(messages=[{"role": role, "content": content}]))
    assert param is None or param.startswith("messages.0.content")


def param_or_none(body: bytes) -> str | None:
    """What the refusal of a body names; None when it is read, into a chat request that can be."""
    try:
        chat, _ = read(body)
    except BadRequest as error:
        return error.param or "nothing"
    read_request(CHAT, chat)
    return None
