"""Anthropic's own SDK as the reference: what we send is what it would send, what we read is what it would read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from anthropic.types import Message, Model, RawMessageStreamEvent, StopReason
from anthropic.types.message_create_params import MessageCreateParams
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_object import ErrorObject
from pydantic import TypeAdapter, ValidationError

from gateway.upstream.dialects.anthropic.abilities import OTHERS, abilities_of
from gateway.upstream.dialects.anthropic.errors import COMPLAINTS
from gateway.wire.messages.errors import TYPES
from gateway.wire.messages.reasons import FINISH_REASONS
from gateway.wire.sse import EventSplitter, event_data
from tests.gateway.upstream.dialects.test_golden import GOLDEN

FOLDERS = sorted(path.parent for path in (GOLDEN / "anthropic").glob("*/case.json"))

BEYOND_THE_TYPES = {
    "context_management": "a beta's field",
    "temperature": "gone from the API's version of this SDK, there in ours",
    "top_p": "as temperature",
    "top_k": "as temperature",
    "defer_loading": "of a tool",
}
"""What may be in a body though this SDK's types do not know it."""

_params: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def having(*names: str) -> list[Any]:
    return [
        pytest.param(folder, id=folder.name) for folder in FOLDERS if any((folder / name).exists() for name in names)
    ]


def validated(body: dict[str, Any]) -> Any:
    """The body as the types have it. The types check lists as they are iterated, which writing them does."""
    return json.loads(json.dumps(_params.validate_python(body), default=list))


def unknown(given: Any, known: Any) -> set[str]:
    """Names that validation has dropped: those that the types do not know."""
    if isinstance(given, dict) and isinstance(known, dict):
        gone = {name for name in given if name not in known}
        return gone.union(*(unknown(given[name], known[name]) for name in given if name in known))
    if isinstance(given, list) and isinstance(known, list):
        return set().union(*(unknown(one, other) for one, other in zip(given, known, strict=True)))
    return set()


@pytest.mark.parametrize("folder", having("request.provider.json"))
def test_requests_are_of_the_sdks_types(folder: Path) -> None:
    body = json.loads((folder / "request.provider.json").read_bytes())["body"]

    assert unknown(body, validated(body)) <= set(BEYOND_THE_TYPES)


def test_what_is_not_of_them_is_found() -> None:
    body: dict[str, Any] = {"model": "claude", "max_tokens": 1, "messages": [{"role": "tool", "content": "x"}]}
    with pytest.raises(ValidationError):
        validated(body)
    body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "x", "bogus": 1}]}]
    assert unknown(body, validated(body)) == {"bogus"}


@pytest.mark.parametrize("folder", having("answer.provider.json"))
def test_golden_answers_are_of_the_sdks_types(folder: Path) -> None:
    body = json.loads((folder / "answer.provider.json").read_bytes())
    if body["type"] == "error":
        if body["error"]["type"] != "request_too_large":  # from the proxy before the API, which no type knows
            ErrorResponse.model_validate(body)
        return
    Message.model_validate(body)


@pytest.mark.parametrize("folder", having("answer.provider.sse"))
def test_golden_streams_are_of_the_sdks_types(folder: Path) -> None:
    splitter = EventSplitter()
    for event in splitter.feed((folder / "answer.provider.sse").read_bytes()):
        data = event_data(event)
        if b"a_new_" in data or data.endswith(b"_"):  # the future, and what cannot be read
            continue
        kind = json.loads(data)["type"]
        if kind == "error":
            ErrorResponse.model_validate_json(data)
        elif kind != "ping":
            _event.validate_json(data)


def test_every_stop_reason_and_error_is_known() -> None:
    """A later SDK that knows more of them is to be looked at."""
    assert set(get_args(StopReason)) == set(FINISH_REASONS)
    kinds = {get_args(each.model_fields["type"].annotation)[0] for each in get_args(get_args(ErrorObject)[0])}
    assert kinds | {"request_too_large"} == set(TYPES)
    assert set(TYPES) - set(COMPLAINTS) == {"invalid_request_error", "not_found_error"}


def test_the_models_of_the_sdk_are_told_apart() -> None:
    names = get_args(get_args(Model)[0])
    assert "claude-opus-5-5" in names
    assert all(abilities_of(name) is not OTHERS for name in names)
