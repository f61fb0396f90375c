"""Requests in their client's own tongue, as they leave for a provider that speaks it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.native import outgoing
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.native import MESSAGES, RESPONSES, Gist, Native
from gateway.wire.requests import ModelRequest, read_request

ENDPOINT = Endpoint("acme", "https://llm.example/v1", (("x-api-key", "sk-1"),))


def request(api: str = MESSAGES, **fields: Any) -> ModelRequest:
    said = read_request("chat", b'{"model":"m","messages":[]}')
    said.native = native(api, **fields)
    return said


def native(api: str, **fields: Any) -> Native:
    body = msgspec.json.encode({"model": "m", **fields})
    return Native(api, body, msgspec.json.decode(body, type=dict[str, msgspec.Raw]), Gist("m"))


def wish(*forwarded: tuple[bytes, bytes], max_tokens: int | None = None, stream: bool = False) -> Wish:
    return Wish("up", max_tokens, "max_tokens", None, stream, "req_1", list(forwarded))


@pytest.mark.parametrize(("api", "path"), [(MESSAGES, b"/messages"), (RESPONSES, b"/responses")])
def test_it_goes_to_the_same_path_with_the_models_name_set(api: str, path: bytes) -> None:
    sent = outgoing(request(api, odd=[1]), wish(max_tokens=5, stream=True), ENDPOINT)
    assert sent.path == path
    field = "max_tokens" if api == MESSAGES else "max_output_tokens"
    assert msgspec.json.decode(sent.body) == {"model": "up", "odd": [1], field: 5, "stream": True}
    assert b"x-request-id: req_1\r\n" in sent.headers


def test_the_query_goes_on() -> None:
    asked = request()
    assert asked.native is not None
    asked.native.query = b"beta=true"
    assert outgoing(asked, wish(), ENDPOINT).path == b"/messages?beta=true"


@pytest.mark.parametrize("query", [b"a b", b"a=\r\nx: y", b"?" * 3, b"a" * 257])
def test_a_query_that_is_none_stays_behind(query: bytes) -> None:
    asked = request()
    assert asked.native is not None
    asked.native.query = query
    assert outgoing(asked, wish(), ENDPOINT).path == b"/messages"


def test_a_client_names_its_version_and_betas() -> None:
    sent = outgoing(request(), wish((b"anthropic-version", b"2026-01-01"), (b"anthropic-beta", b"x-2031")), ENDPOINT)
    assert sent.headers.count(b"anthropic-version") == 1
    assert b"anthropic-version: 2026-01-01\r\n" in sent.headers
    assert b"anthropic-beta: x-2031\r\n" in sent.headers


def test_the_version_is_named_where_nobody_does() -> None:
    assert b"anthropic-version: 2023-06-01\r\n" in outgoing(request(), wish(), ENDPOINT).headers
    assert b"anthropic-version" not in outgoing(request(RESPONSES), wish(), ENDPOINT).headers


def test_a_version_of_the_operators_counts() -> None:
    endpoint = Endpoint("acme", "https://llm.example/v1", (("Anthropic-Version", "2024-01-01"),))
    assert b"anthropic-version" not in outgoing(request(), wish(), endpoint).headers.lower()


@pytest.mark.parametrize(("provider", "said"), [("acme", b"previous"), ("other", b"history")])
def test_whoever_remembers_is_asked_as_the_client_asked_all_others_are_told(provider: str, said: bytes) -> None:
    asked = request(RESPONSES, previous_response_id="resp_1")
    assert asked.native is not None
    asked.native.held_at, asked.native.elsewhere = "acme", native(RESPONSES, input="history")
    assert said in outgoing(asked, wish(), Endpoint(provider, "https://llm.example/v1", ())).body
