"""What an exception of the SDK means, from what is known of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.upstream.dialects.litellm_bridge.failures import Facts, NoAnswer, Refusal, masked, meaning

BASE = ("OpenAIError", "Exception")
SECRET = "AKIA-0123456789"


def facts(*kinds: str, message: str = "", **known: Any) -> Facts:
    return Facts((*kinds, *BASE), message, **known)


def refused(known: Facts) -> tuple[int, dict[str, Any]]:
    found = meaning(known, "acme", (SECRET,))
    assert isinstance(found, Refusal), found
    return found.status, json.loads(found.body)["error"]


@pytest.mark.parametrize(
    ("kind", "status", "expected", "code"),
    [
        ("RateLimitError", 429, 429, "rate_limit_exceeded"),
        ("BadRequestError", 400, 400, "invalid_request"),
        ("NotFoundError", 404, 404, "model_not_found"),
        ("AuthenticationError", 401, 401, "invalid_api_key"),
        ("AuthenticationError", 403, 403, "permission_denied"),
        ("APIConnectionError", 409, 409, "upstream_error"),
        ("InternalServerError", 500, 500, "upstream_error"),
        ("ContextWindowExceededError", 413, 400, "context_length_exceeded"),
        ("ContentPolicyViolationError", 400, 400, "content_filter"),
        ("RateLimitError", 200, 429, "rate_limit_exceeded"),
        ("ContextWindowExceededError", 200, 400, "context_length_exceeded"),
    ],
)
def test_the_providers_status_counts_and_the_kind_says_what_it_means(
    kind: str, status: int, expected: int, code: str
) -> None:
    found, error = refused(facts(kind, status=status, sent=True))

    assert (found, error["code"]) == (expected, code)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message":"too long"}', "too long"),
        (b'{"error":{"message":"nested","code":5}}', "nested"),
        (b'[{"error":{"code":400,"message":"in a list"}}]', "in a list"),
        (b'{"detail":"fastapi"}', "fastapi"),
        (b'{"errors":[{"msg":"many"}]}', "many"),
        (b"plain words", "plain words"),
        (b"<html>", "The provider `acme` refuses the request."),
        (b"", "The provider `acme` refuses the request."),
        (b'{"a":1}', "The provider `acme` refuses the request."),
        (b'{"message":"key AKIA-0123456789 is bad"}', "key [masked] is bad"),
    ],
)
def test_the_message_is_the_providers_own(body: bytes, message: str) -> None:
    known = facts("BadRequestError", message=f"litellm.BadRequestError: {SECRET} Traceback", status=400, body=body)

    assert refused(known)[1]["message"] == message


def test_headers_that_say_when_to_come_back_go_on() -> None:
    headers = [(b"x-amzn-requestid", b"1"), (b"retry-after", b"9"), (b"retry-after-ms", b"8500")]
    found = meaning(facts("RateLimitError", status=429, headers=headers, sent=True), "acme")

    assert isinstance(found, Refusal)
    assert found.headers == headers[1:]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("bedrock does not support parameters: ['n'], for model=x. To drop these, set", "n"),
        ("Setting `dimensions` is not supported by cohere", "dimensions"),
        ("something else", None),
    ],
)
def test_what_the_sdk_cannot_say_is_a_clear_400(message: str, param: str | None) -> None:
    status, error = refused(facts("UnsupportedParamsError", "BadRequestError", message=message))

    assert (status, error["param"], error["code"]) == (400, param, "unsupported_parameter")
    assert "litellm" not in error["message"].replace("The LiteLLM SDK", "")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("APIConnectionError", "Unable to load vertex credentials. Got={...}"),
        ("BadRequestError", "Unable to locate credentials"),
        ("AuthenticationError", "Missing key"),
    ],
)
def test_missing_credentials_are_the_accounts_problem(kind: str, message: str) -> None:
    status, error = refused(facts(kind, message=f"{message} {SECRET}"))

    assert status == 401
    assert SECRET not in error["message"]


@pytest.mark.parametrize(
    "known",
    [
        facts("APIConnectionError", message="No module named boto3"),
        facts("APIConnectionError", message="bug", sent=True),
        facts("RuntimeError", status=200, sent=True),
        facts("BadRequestError", status=200, sent=True),
    ],
)
def test_anything_else_is_no_answer(known: Facts) -> None:
    found = meaning(known, "acme")

    assert isinstance(found, NoAnswer)
    assert known.kinds[0] in found.reason


def test_what_is_short_is_no_secret() -> None:
    assert masked("a long-secret-1 b", ["a", "", "long-secret-1"]) == "a [masked] b"
