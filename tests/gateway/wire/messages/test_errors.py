"""Every error of Farebox's own has the type that its class names, and any other one that follows from its status."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.errors import error_body as openai_body
from gateway.errors import FareboxError, InvalidField
from gateway.wire.messages import AnswerTranslator, error_body, read
from gateway.wire.messages.errors import TYPES
from gateway.wire.sse import event_data


def kinds(base: type[FareboxError] = FareboxError) -> Iterator[type[FareboxError]]:
    yield base
    for each in base.__subclasses__():
        yield from kinds(each)


OWN = sorted(set(kinds()), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", OWN)
def test_our_own_errors(kind: type[FareboxError]) -> None:
    error = kind("What happened.", param="field", reason="reason")
    assert json.loads(error_body(kind.status, openai_body(error, "req-1"), "req-1")) == {
        "type": "error",
        "error": {"type": kind.anthropic_type, "message": "What happened."},
        "request_id": "req-1",
    }


def test_a_thread_is_refused_in_the_words_that_sdks_know() -> None:
    """They send the whole conversation then (anthropic 2.12, its threads and tool runners)."""
    with pytest.raises(InvalidField) as caught:
        read(b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}],"thread":{"type":"create"}}')
    error = json.loads(error_body(400, openai_body(caught.value, "r"), "r"))["error"]
    assert error["type"] == "invalid_request_error"
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


@pytest.mark.parametrize("status", [402, 422, 429])
def test_an_exhausted_budget_is_one_whatever_its_status(status: int) -> None:
    body = b'{"error":{"message":"m","type":"insufficient_quota","code":"budget_exceeded"}}'
    assert json.loads(error_body(status, body, "r"))["error"]["type"] == "billing_error"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_providers_errors_follow_from_the_status(status: int, kind: str) -> None:
    body = b'{"error":{"message":"m","type":"whatever","param":null,"code":null}}'
    assert json.loads(error_body(status, body, "r"))["error"] == {"type": kind, "message": "m"}
    assert kind in TYPES


@given(st.binary(max_size=40), st.integers(300, 599))
def test_what_is_no_error_is_told_as_one(body: bytes, status: int) -> None:
    told = json.loads(error_body(status, body, "r"))
    assert told["type"] == "error"
    assert told["error"]["type"] in TYPES
    assert told["error"]["message"]


def test_messages_that_are_no_texts_are_told() -> None:
    assert json.loads(error_body(400, b'{"error":{"message":["a"]}}', "r"))["error"]["message"] == '["a"]'


def test_what_is_said_so_already_is_left() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'
    assert error_body(529, body, "r") == body


@pytest.mark.parametrize("kind", OWN)
def test_a_stream_that_was_cut_ends_with_the_error(kind: type[FareboxError]) -> None:
    told = msgspec.json.decode(openai_body(kind("What happened."), "req-1"))["error"]
    translator = AnswerTranslator(model="m", request_id="req-1")
    event = translator.failure(told)
    assert event.startswith(b"event: error\ndata: ")
    said = json.loads(event_data(event))
    assert said["error"]["message"] == "What happened."
    assert said["error"]["type"] in TYPES
    assert translator.end() == translator.failure(told) == b"", "nothing comes after it"
