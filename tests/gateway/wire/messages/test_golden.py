"""Golden files: what a request of the Messages API means in chat, and what chat's answers are to its clients.

One folder a case, below `golden/`:

    case.json               about: what it shows, in a sentence; events: how many errors the stream ends with
    request.messages.json   what the client sends
    request.chat.json       what it means in chat
    request.plain.json      the same in OpenAI's words only, for `gpt-5-mini` at a strict provider
    request.noted.json      what was noted of it: refused, unknown, services
    answer.chat.json        a chat completion, or
    answer.chat.sse         a stream
    answer.messages.json    what the client gets
    answer.messages.sse

`request.chat.json`, `request.plain.json`, `request.noted.json` and `answer.messages.*` are written by
`FAREBOX_GOLDEN=write pytest <this file>`, the others by hand. Read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.wire.messages import WIRE, AnswerTranslator, read
from gateway.wire.messages.plain import plain
from gateway.wire.requests import CHAT, read_request
from gateway.wire.sse import EventSplitter, event_data

GOLDEN = Path(__file__).parent / "golden"
WRITING = os.environ.get("FAREBOX_GOLDEN") == "write"

_params: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def cases(name: str) -> list[Any]:
    folders = sorted(path.parent for path in GOLDEN.glob(f"*/{name}"))
    return [pytest.param(folder, id=folder.name) for folder in folders]


def expect(file: Path, made: bytes) -> None:
    """Hold what was made against the file; write the file when asked to."""
    if file.suffix == ".json":
        value = json.loads(made)
        if WRITING:
            file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        assert value == json.loads(file.read_bytes()), file.name
        return
    if WRITING:
        file.write_bytes(made)
    assert made.decode().splitlines() == file.read_bytes().decode().splitlines(), file.name


def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "case.json").read_bytes())
    return found


def test_there_are_golden_files() -> None:
    assert len(cases("request.messages.json")) >= 12
    assert len(cases("answer.chat.json")) + len(cases("answer.chat.sse")) >= 12


@pytest.mark.parametrize("folder", cases("request.messages.json"))
def test_the_request(folder: Path) -> None:
    body = (folder / "request.messages.json").read_bytes()
    chat, native = read(body)
    expect(folder / "request.chat.json", chat)
    refused = None if native.refused is None else {"param": native.refused.param, "message": native.refused.message}
    services = [service._asdict() for service in native.services]
    noted = {"refused": refused, "unknown": native.unknown, "services": services}
    expect(folder / "request.noted.json", json.dumps(noted).encode())
    request = read_request(CHAT, chat)
    if refused is None:
        said = plain(request, "gpt-5-mini", "max_completion_tokens", strict=True)
        expect(folder / "request.plain.json", said.body)
    if not about(folder).get("beyond_the_types"):
        json.dumps(_params.validate_python(json.loads(body)), default=list)


@pytest.mark.parametrize("folder", cases("request.messages.json"))
def test_the_native_request_is_what_came(folder: Path) -> None:
    body = (folder / "request.messages.json").read_bytes()
    _, native = read(body)
    if b'"farebox"' not in body:
        assert native.upstream_body(native.model) == body
    assert json.loads(native.upstream_body("other")).keys() == json.loads(body).keys()


@pytest.mark.parametrize("folder", cases("answer.chat.json"))
def test_the_answer(folder: Path) -> None:
    made = AnswerTranslator(model="asked", request_id="r1").whole((folder / "answer.chat.json").read_bytes())
    expect(folder / "answer.messages.json", made)
    Message.model_validate_json(made, strict=True)


@pytest.mark.parametrize("folder", cases("answer.chat.sse"))
def test_the_stream(folder: Path) -> None:
    made = translated([(folder / "answer.chat.sse").read_bytes()])
    expect(folder / "answer.messages.sse", made)
    splitter, observer, assembler = EventSplitter(), WIRE.observer(1, remember=False), WIRE.assembler()
    for event in splitter.feed(made):
        data = event_data(event)
        kind = json.loads(data)["type"]
        assert event.startswith(f"event: {kind}\n".encode())
        observer.observe(event)
        assembler.feed(event)
        if kind != "error":
            _event.validate_json(data, strict=True)
    assert splitter.rest == b""
    assert not assembler.malformed
    assert observer.failed is about(folder).get("fails", False)
    assert observer.complete is not observer.failed
    if observer.complete:
        Message.model_validate_json(assembler.body(), strict=True)


@pytest.mark.parametrize("folder", cases("answer.chat.sse"))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_stream_may_be_cut_anywhere(folder: Path, data: st.DataObject) -> None:
    body = (folder / "answer.chat.sse").read_bytes()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert translated(pieces) == (folder / "answer.messages.sse").read_bytes()


def translated(pieces: list[bytes]) -> bytes:
    splitter, translator = EventSplitter(), AnswerTranslator(model="asked", request_id="r1")
    return b"".join([*(translator.events(splitter.feed(piece)) for piece in pieces), translator.end()])
