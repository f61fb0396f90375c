"""A request in a tongue, written again for a provider that speaks it."""

from __future__ import annotations

import msgspec
import pytest

from gateway.wire.native import MESSAGES, RESPONSES, Gist, Native

BODY = b'{"model": "fable",  "unheard_of": {"b": [1, 2.50]}, "max_tokens": 100}'


def native(body: bytes = BODY, *, api: str = MESSAGES, stream: bool = False, **bounds: int) -> Native:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return Native(api, body, fields, Gist("fable", stream, bounds))


def test_bytes_stay_as_they_are_when_nothing_changes() -> None:
    assert native().upstream_body("fable") is BODY


def test_only_what_changes_is_written_again() -> None:
    body = native(max_tokens=100).upstream_body("fable-2", max_tokens=40, stream=True)
    assert body == b'{"model":"fable-2","unheard_of":{"b": [1, 2.50]},"max_tokens":40,"stream":true}'


@pytest.mark.parametrize(("bound", "expected"), [(100, BODY), (1_000, BODY)])
def test_a_bound_is_never_raised(bound: int, expected: bytes) -> None:
    assert native(max_tokens=100).upstream_body("fable", max_tokens=bound) == expected


@pytest.mark.parametrize(("api", "field"), [(MESSAGES, "max_tokens"), (RESPONSES, "max_output_tokens")])
def test_an_answer_without_a_bound_is_bounded_in_its_apis_field(api: str, field: str) -> None:
    body = native(b'{"model":"fable"}', api=api).upstream_body("fable", max_tokens=7)
    assert msgspec.json.decode(body) == {"model": "fable", field: 7}


def test_a_repeated_field_is_said_once() -> None:
    twice = b'{"model":"cheap","model":"fable"}'
    assert native(twice).upstream_body("fable") == b'{"model":"fable"}'


@pytest.mark.parametrize(
    ("bound", "thinking"),
    [
        (9_000, {"type": "enabled", "budget_tokens": 8_000}),
        (5_000, {"type": "enabled", "budget_tokens": 4_999}),
        (1_024, {"type": "disabled"}),
    ],
)
def test_a_lowered_bound_leaves_room_for_what_is_thought(bound: int, thinking: dict[str, object]) -> None:
    said = b'{"model":"fable","max_tokens":10000,"thinking":{"type":"enabled","budget_tokens":8000}}'
    body = native(said, max_tokens=10_000).upstream_body("fable", max_tokens=bound)
    assert msgspec.json.decode(body) == {"model": "fable", "max_tokens": bound, "thinking": thinking}


@pytest.mark.parametrize("thinking", [b"null", b"7", b'{"type":"adaptive"}', b'{"budget_tokens":"many"}'])
def test_other_thinking_is_for_the_provider_to_judge(thinking: bytes) -> None:
    said = b'{"model":"fable","max_tokens":100,"thinking":%s}' % thinking
    body = native(said, max_tokens=100).upstream_body("fable", max_tokens=9)
    assert thinking in body
