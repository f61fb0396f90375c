"""An upstream's error status: what the client is told, and what is never forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamCredentials, UpstreamFailure
from gateway.upstream.refusals import credentials_refused, may_be_billed, names_our_account, refusal
from routing.failures import FAILURE_KINDS, FailureKind


@pytest.mark.parametrize("status", [400, 401, 402, 403, 429])
def test_our_credentials_or_account_refused(status: int) -> None:
    error = refusal("openai", status, "credentials")
    assert type(error) is UpstreamCredentials
    assert error.upstream_status == status
    assert error.metadata == {"reason": "upstream_credentials"}


@pytest.mark.parametrize("kind", ["refused", "rate_limited", "context_too_long", "content_filter"])
@pytest.mark.parametrize("status", [400, 404, 405, 408, 409, 413, 415, 422, 429, 499])
def test_the_clients_own_mistakes_pass_unchanged(status: int, kind: FailureKind) -> None:
    assert refusal("p", status, kind) is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
def test_its_failures(status: int) -> None:
    error = refusal("p", status, "server_error")
    assert type(error) is UpstreamFailure
    assert (error.status, error.upstream_status) == (502, status)


@pytest.mark.parametrize("status", [100, 199, 301, 302, 304, 307])
def test_what_is_no_answer(status: int) -> None:
    error = refusal("p", status, "server_error")
    assert type(error) is UpstreamFailure
    assert "base_url" in error.message


@given(st.integers(100, 199) | st.integers(300, 599), st.sampled_from(FAILURE_KINDS))
def test_no_rate_limit_is_in_a_message(status: int, kind: FailureKind) -> None:
    error = refusal("acme", status, kind)
    if error is not None:
        assert "acme" in error.message
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
