"""Which of a provider's response headers reach the client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream import headers
from gateway.upstream.headers import client_headers

KEPT_BACK = (
    "connection keep-alive transfer-encoding upgrade trailer content-length set-cookie server date via alt-svc "
    "x-request-id request-id x-should-retry www-authenticate openai-organization openai-project "
    "anthropic-organization-id cf-ray cf-cache-status x-ratelimit-remaining-tokens anthropic-ratelimit-tokens-limit "
    "x-farebox-cost-usd x-litellm-response-cost x-envoy-upstream-service-time access-control-allow-origin cache-control"
)
PASSED = (
    "content-type openai-processing-ms openai-version retry-after retry-after-ms x-groq-region x-custom deprecation"
)


@pytest.mark.parametrize("name", KEPT_BACK.split())
def test_kept_back(name: str) -> None:
    assert client_headers([(name.encode(), b"1")]) == []


@pytest.mark.parametrize("name", PASSED.split())
def test_passed(name: str) -> None:
    assert client_headers([(name.encode(), b"1")]) == [(name.encode(), b"1")]


@given(st.lists(st.tuples(st.binary().map(bytes.lower), st.binary())))
def test_order_and_repetition_stay(upstream: list[tuple[bytes, bytes]]) -> None:
    passed = client_headers(upstream)
    rest = iter(upstream)
    assert all(header in rest for header in passed)
    assert client_headers(passed) == passed


def test_the_list_is_new_so_that_ours_can_be_added() -> None:
    upstream = [(b"x-custom", b"1")]
    client_headers(upstream).append((b"x-more", b"2"))
    assert upstream == [(b"x-custom", b"1")]


def test_the_table_of_remembered_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_passes", {})
    for number in range(3000):
        client_headers([(b"x-%d" % number, b"")])
    assert len(headers._passes) <= 1024
    assert client_headers([(b"set-cookie", b"a")]) == []
