"""Whatever a client writes: each dialect says it, or tells the client what it cannot say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.dialects import DIALECTS
from gateway.errors import BadRequest
from gateway.upstream.dialects import registry
from gateway.wire.requests import read_request
from tests.gateway.upstream.dialects.speaking import ENDPOINT, wish_for

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-1, 1) | st.text("ab{[\"\\é", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "name", "id", "x"]), inner),
    max_leaves=4,
)  # fmt: skip
NAME = st.just("f") | JUNK


def struct(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


PART = struct(
    type=st.sampled_from(["text", "image_url", "input_audio", "file", "thinking", "refusal", "new"]) | JUNK,
    text=st.text(max_size=3) | JUNK,
    image_url=struct(url=st.sampled_from(["https://a/b.png", "data:image/png;base64,AA==", "data:,x"])) | JUNK,
    input_audio=struct(data=st.just("AA=="), format=st.just("wav")) | JUNK,
    file=struct(file_data=st.just("data:application/pdf;base64,AA=="), file_id=st.text(max_size=2)) | JUNK,
    cache_control=JUNK,
)
CALL = struct(
    id=st.sampled_from(["a", "abcDEF123"]) | JUNK,
    type=st.just("function") | JUNK,
    function=struct(name=NAME, arguments=st.sampled_from(["{}", "", '{"a":1}', "[", "[1]"]) | JUNK) | JUNK,
    extra_content=struct(google=struct(thought_signature=st.just("s") | JUNK) | JUNK) | JUNK,
)
MESSAGE = struct(
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]) | JUNK,
    content=st.text(max_size=3) | st.lists(PART, max_size=2) | JUNK,
    tool_calls=st.lists(CALL, max_size=2) | JUNK,
    tool_call_id=st.sampled_from(["a", "abcDEF123"]) | JUNK,
    refusal=JUNK,
    reasoning_content=JUNK,
    extra_content=JUNK,
    annotations=JUNK,
    name=JUNK,
)
TOOL = struct(type=st.just("function") | JUNK, function=struct(name=NAME, parameters=JUNK, strict=JUNK) | JUNK)
REQUEST = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(MESSAGE, max_size=3)},
    optional={
        "max_tokens": st.integers(-1, 9),
        "max_completion_tokens": st.integers(-1, 9),
        "n_predict": JUNK,
        "stream": st.booleans(),
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | JUNK,
        "parallel_tool_calls": JUNK,
        "response_format": struct(type=st.sampled_from(["json_schema", "json_object", "text"]), json_schema=JUNK),
        "reasoning_effort": st.sampled_from(["low", "none"]) | JUNK,
        "stop": JUNK,
        "seed": JUNK,
        "modalities": JUNK,
        "service_tier": st.sampled_from(["default", "flex"]),
        "extra_body": struct(google=struct(cached_content=JUNK, other=JUNK) | JUNK) | JUNK,
        "user": JUNK,
        "new": JUNK,
    },
)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "litellm"])
@given(REQUEST)
def test_a_request_is_said_or_refused(name: str, written: dict[str, Any]) -> None:
    request = read_request("chat", msgspec.json.encode(written))
    refusal: BadRequest | None = None
    body = b"{}"
    try:
        body = registry.find(name).outgoing(request, wish_for(request, max_tokens=5), ENDPOINT).body
    except BadRequest as error:
        refusal = error

    assert isinstance(msgspec.json.decode(body), dict)
    assert refusal is None or (refusal.param and len(str(refusal)) < 500)
