"""Requests and answers for the tests of dialects."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects import registry
from gateway.upstream.dialects.protocol import Outgoing, Translation, Wish
from gateway.wire.requests import CHAT, ModelRequest, read_request
from gateway.wire.sse import EventSplitter, data_event, event_data

REQUEST_ID = "req_019a1b2c3d4e00000000000000"
ENDPOINT = Endpoint("acme", "https://api.example/v1", ())


def ask(api: str = CHAT, **fields: Any) -> ModelRequest:
    """A request as a client sends it."""
    asked: dict[str, Any] = {"model": "small"}
    if api == CHAT:
        asked["messages"] = [{"role": "user", "content": "Hello"}]
    return read_request(api, msgspec.json.encode({**asked, **fields}))


def wish_for(request: ModelRequest, **changes: Any) -> Wish:
    """A wish that changes nothing."""
    return Wish("large", None, "max_tokens", None, request.stream, REQUEST_ID, [])._replace(**changes)


def outgoing(name: str, request: ModelRequest, endpoint: Endpoint = ENDPOINT, **changes: Any) -> Outgoing:
    """What goes to the provider."""
    return registry.find(name).outgoing(request, wish_for(request, **changes), endpoint)


def sent(dialect: str, /, api: str = CHAT, **fields: Any) -> dict[str, Any]:
    """The body that goes to the provider."""
    body: dict[str, Any] = msgspec.json.decode(outgoing(dialect, ask(api, **fields)).body)
    return body


def translation(dialect: str, request: ModelRequest | None = None) -> Translation:
    """What turns the provider's answer into OpenAI's."""
    asked = ask() if request is None else request
    made = registry.find(dialect).translation(asked, wish_for(asked))
    assert made is not None
    return made


def whole(dialect: str, answer: Any, request: ModelRequest | None = None) -> dict[str, Any]:
    """A whole answer in OpenAI's words."""
    told: dict[str, Any] = msgspec.json.decode(translation(dialect, request).whole(msgspec.json.encode(answer)))
    return told


def stream(dialect: str, answers: list[Any], request: ModelRequest | None = None, size: int = 1 << 20) -> list[Any]:
    """What the events of a stream say, cut into pieces of `size` bytes on the way; `[DONE]` as it is."""
    made = translation(dialect, request)
    raw = b"".join(
        [answer if isinstance(answer, bytes) else data_event(msgspec.json.encode(answer)) for answer in answers]
    )
    told = b"".join([made.chunk(raw[at : at + size]) for at in range(0, len(raw), size)]) + made.end()
    splitter = EventSplitter()
    payloads = [event_data(event) for event in splitter.feed(told)]
    assert splitter.rest == b""
    return [payload.decode() if payload == b"[DONE]" else msgspec.json.decode(payload) for payload in payloads]
