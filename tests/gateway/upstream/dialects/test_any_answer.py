"""Whatever a provider answers: it is told in OpenAI's words, or malformed; nothing else happens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects import registry
from gateway.wire.answers import MalformedAnswer
from gateway.wire.sse import data_event
from tests.gateway.upstream.dialects.speaking import ask, wish_for

NAMES = ["choices", "message", "delta", "content", "error", "message", "type", "candidates", "parts", "text", "detail"]
NAMES += ["usage", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "finishReason", "index", "loc"]
NAMES += ["thinking", "functionCall", "args", "name", "code", "status", "content_block", "id", "embeddings", "values"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["text", "thinking", "STOP", "error", "", "é"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = JUNK.map(msgspec.json.encode) | st.binary(max_size=20) | st.just(b'[{"error":' * 3000)
SPOKEN = ["anthropic", "gemini", "mistral", "together"]


@pytest.mark.parametrize("name", SPOKEN)
@given(BODIES)
def test_whole_answers(name: str, body: bytes) -> None:
    request = ask()
    made = registry.find(name).translation(request, wish_for(request))
    assert made is not None
    try:
        told = made.whole(body)
    except MalformedAnswer:
        return

    assert isinstance(told, bytes)


@pytest.mark.parametrize("name", SPOKEN)
@given(st.lists(BODIES, max_size=4))
def test_streams(name: str, events: list[bytes]) -> None:
    request = ask(stream=True)
    made = registry.find(name).translation(request, wish_for(request))
    assert made is not None
    told = b"".join([made.chunk(data_event(event)) for event in events]) + made.end()

    assert not told or told.endswith(b"\n\n")


@pytest.mark.parametrize("name", SPOKEN)
@given(BODIES, st.integers(300, 599))
def test_errors(name: str, body: bytes, status: int) -> None:
    request = ask()
    dialect = registry.find(name)
    made = dialect.translation(request, wish_for(request))
    assert made is not None
    told: Any = made.error(status, body)

    assert isinstance(told, bytes)
    assert dialect.complaint(status, body)
