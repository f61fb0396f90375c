"""Response objects and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.responses.objects import Event, as_event, failed, final_event, read_event, read_response, with_values
from gateway.wire.sse import event_data
from tests.gateway.responses.world import answer


def test_what_matters_is_read() -> None:
    found = read_response(answer("resp_1"))
    assert found is not None
    assert (found.id, found.status, found.input_tokens, found.output_tokens) == ("resp_1", "completed", 7, 5)
    assert [json.loads(bytes(item))["id"] for item in found.output] == ["msg_out_resp_1"]
    without = read_response(answer("resp_1", usage=None, output=None, status=None))
    assert without == ("resp_1", "completed", None, 0, [])


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id":5}', b'{"usage":{"input_tokens":"x"}}', b"\xff"])
def test_what_is_none(body: bytes) -> None:
    assert read_response(body) is None


@given(st.binary(max_size=30))
def test_nothing_escapes(body: bytes) -> None:
    assert read_response(body) is None or body.strip()[:1] == b"{"
    read_event(body)


def test_other_values_and_nothing_else() -> None:
    body = b'{"id":"a","x":1.50,"status":"queued"}'
    assert with_values(body, status="cancelled") == b'{"id":"a","x":1.50,"status":"cancelled"}'
    told = json.loads(failed(body, "Broken."))
    assert (told["status"], told["error"]) == ("failed", {"code": "server_error", "message": "Broken."})


@pytest.mark.parametrize(
    ("status", "kind"),
    [("completed", "completed"), ("incomplete", "incomplete"), ("failed", "failed"), ("cancelled", "failed")],
)
def test_the_last_event(status: str, kind: str) -> None:
    event = final_event(b'{"id":"a"}', status, 9)
    assert read_event(event) == Event(f"response.{kind}", 9, b'{"id":"a"}')
    assert event.startswith(f"event: response.{kind}\n".encode())


@pytest.mark.parametrize("event", [b": a comment\n\n", b"data: [DONE]\n\n", b"data: 5\n\n", b"\n\n"])
def test_what_is_no_event(event: bytes) -> None:
    assert read_event(event) is None


def test_an_event_without_a_response() -> None:
    said: dict[str, Any] = {"type": "response.output_text.delta", "sequence_number": 4, "delta": "x"}
    event = b"data: " + json.dumps(said).encode() + b"\n\n"
    assert read_event(event) == Event("response.output_text.delta", 4, None)


def test_an_event_says_what_it_is_given() -> None:
    said = json.loads(event_data(as_event("response.created", 0, b'{"id":"a"}')))
    assert said == {"type": "response.created", "sequence_number": 0, "response": {"id": "a"}}
