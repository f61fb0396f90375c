"""An upstream's error status: what the client is told, and what is never forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamCredentials, UpstreamFailure
from gateway.upstream.refusals import credentials_refused, may_be_billed, names_our_account, refusal

OUR_KEY = b'{"error":{"message":"Incorrect API key provided: sk-proj-1234***abcd."}}'


@pytest.mark.parametrize("status", [401, 402, 403])
def test_our_credentials_refused(status: int) -> None:
    error = refusal("openai", status, OUR_KEY)
    assert type(error) is UpstreamCredentials
    assert error.upstream_status == status
    assert error.metadata == {"reason": "upstream_credentials"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"error":{"code":"insufficient_quota"}}'),
        (429, b'{"error":{"code":"billing_hard_limit_reached"}}'),
        (429, b'{"error":{"code":"billing_not_active"}}'),
        (400, b'{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}'),
        (400, b'[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}]'),
        (400, OUR_KEY),
    ],
)
def test_our_account_refused_under_other_statuses(status: int, body: bytes) -> None:
    assert type(refusal("p", status, body)) is UpstreamCredentials


@pytest.mark.parametrize("status", [400, 404, 405, 408, 409, 413, 415, 422, 429, 499])
def test_the_clients_own_mistakes_pass_unchanged(status: int) -> None:
    assert refusal("p", status, b'{"error":{"message":"no such model","code":"rate_limit_exceeded"}}') is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
def test_its_failures(status: int) -> None:
    error = refusal("p", status, b"<html>stack trace</html>")
    assert type(error) is UpstreamFailure
    assert (error.status, error.upstream_status) == (502, status)


@pytest.mark.parametrize("status", [100, 199, 301, 302, 304, 307])
def test_what_is_no_answer(status: int) -> None:
    error = refusal("p", status, b"")
    assert type(error) is UpstreamFailure
    assert "base_url" in error.message


_BODIES = st.sampled_from([OUR_KEY, b"insufficient_quota sk-secret", b"", b"\xff"]) | st.binary()


@given(st.integers(100, 199) | st.integers(300, 599), _BODIES)
def test_neither_the_body_nor_a_rate_limit_is_in_a_message(status: int, body: bytes) -> None:
    error = refusal("acme", status, body)
    if error is not None:
        assert "acme" in error.message
        assert "sk-" not in error.message
        assert "429" not in error.message
        assert error.status in (502, 504)


def test_errors_about_our_account_are_told_apart() -> None:
    assert names_our_account(b'{"error":{"message":"Incorrect API key provided: sk-1"}}')
    assert not names_our_account(b'{"error":{"message":"The server had an error"}}')
    error = credentials_refused("p", 200)
    assert (error.code, error.upstream_status) == ("upstream_credentials", 200)


@pytest.mark.parametrize(("status", "maybe"), [(500, False), (502, False), (503, False), (504, True), (524, True)])
def test_a_proxy_that_gave_up_leaves_the_bill_open(status: int, maybe: bool) -> None:
    assert may_be_billed(status) is maybe
