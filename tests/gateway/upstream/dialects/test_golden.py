"""Golden files: what each dialect makes of a request, and of the answer to it. One folder a case, below `golden/`.

    golden/<dialect>/<case>/
        case.json               about: what it shows, in a sentence. And, as far as they are not the defaults:
                                wish: fields of `Wish`; endpoint: headers of the provider's; forwarded: the client's;
                                status: of the answer; complaint: what that means; api: of the request;
                                usage: the fields of `routing.money.Usage` that are not 0
        request.openai.json     what the client sends
        request.provider.json   path, headers and body that the provider gets; or, in its place,
        refusal.json            what the client is told
        answer.provider.json    the provider's answer, or
        answer.provider.sse     its stream, or
        answer.provider.txt     anything else
        answer.openai.json      what it becomes; also for errors
        answer.openai.sse

`request.provider.json`, `refusal.json` and `answer.openai.*` are written by `FAREBOX_GOLDEN=write pytest <this file>`,
the others by hand. Read the difference before you commit it. `created` is 0 in all of them.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.config.snapshot import Endpoint
from gateway.errors import FareboxError
from gateway.upstream.dialects import registry
from gateway.upstream.dialects.protocol import Dialect, Translation, Wish
from gateway.wire.answers import StreamObserver, read_answer
from gateway.wire.requests import ModelRequest, read_request
from gateway.wire.sse import EventSplitter, event_data
from routing.money import Usage

GOLDEN = Path(__file__).parent / "golden"
WRITING = os.environ.get("FAREBOX_GOLDEN") == "write"


class Case:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"{folder.parent.name}/{folder.name}"
        self.about: dict[str, Any] = json.loads((folder / "case.json").read_bytes())
        self.dialect: Dialect = registry.find(folder.parent.name)
        self.status: int = self.about.get("status", 200)

    def request(self) -> ModelRequest:
        return read_request(self.about.get("api", "chat"), (self.folder / "request.openai.json").read_bytes())

    def wish(self, request: ModelRequest) -> Wish:
        forwarded = [(name.encode(), value.encode()) for name, value in self.about.get("forwarded", {}).items()]
        defaults: dict[str, Any] = {
            "upstream_model": request.model,
            "max_tokens": None,
            "max_tokens_field": "max_tokens",
            "model_max_output_tokens": None,
            "stream": request.stream,
            "request_id": "req-1",
            "forwarded": forwarded,
        }
        return Wish(**{**defaults, **self.about.get("wish", {})})

    def endpoint(self) -> Endpoint:
        headers = tuple(self.about.get("endpoint", {}).items())
        return Endpoint(provider=self.dialect.name, base_url="https://provider.example", headers=headers)

    def translation(self) -> Translation | None:
        request = self.request()
        return self.dialect.translation(request, self.wish(request))

    def answer(self, side: str) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"answer.{side}.*"))), None)

    def expect(self, name: str, made: bytes) -> None:
        """Hold what was made against the file; write the file when asked to."""
        file = self.folder / name
        if name.endswith(".json"):
            value = json.loads(made)
            if WRITING:
                file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            assert value == json.loads(file.read_bytes()), name
            return
        if WRITING:
            file.write_bytes(made)
        assert made.decode().splitlines() == file.read_bytes().decode().splitlines(), name
        assert made == file.read_bytes(), name


def cases(*kinds: str) -> list[Any]:
    """The cases that have one of the files."""
    folders = sorted(path.parent for path in GOLDEN.glob("*/*/case.json"))
    return [
        pytest.param(folder, id=f"{folder.parent.name}-{folder.name}")
        for folder in folders
        if any((folder / kind).exists() for kind in kinds)
    ]


def untimed(made: bytes) -> bytes:
    """An answer with the time taken out: it is now, where a provider's wire tells none."""
    return re.sub(rb'"created":\d+', b'"created":0', made)


def test_there_are_golden_files() -> None:
    assert len(cases("request.openai.json")) >= 20
    assert {folder.parent.name for (folder,) in (each.values for each in cases("request.openai.json"))} >= {"anthropic"}


@pytest.mark.parametrize("folder", cases("request.openai.json"))
def test_the_request(folder: Path) -> None:
    case = Case(folder)
    request = case.request()
    try:
        outgoing = case.dialect.outgoing(request, case.wish(request), case.endpoint())
    except FareboxError as error:
        said = {"status": error.status, "code": error.code, "param": error.param, "message": error.message}
        case.expect("refusal.json", json.dumps(said).encode())
        assert not (folder / "request.provider.json").exists()
        return
    lines = outgoing.headers.decode().split("\r\n")
    assert lines.pop() == "", "headers are complete lines"
    headers = dict(line.split(": ", 1) for line in lines)
    made = {"path": outgoing.path.decode(), "headers": headers, "body": json.loads(outgoing.body)}
    case.expect("request.provider.json", json.dumps(made).encode())
    assert not (folder / "refusal.json").exists()


@pytest.mark.parametrize("folder", cases("answer.provider.json", "answer.provider.txt"))
def test_the_answer(folder: Path) -> None:
    case = Case(folder)
    file = case.answer("provider")
    assert file is not None
    body, translation = file.read_bytes(), case.translation()
    if case.status >= 300:
        case.expect("answer.openai.json", body if translation is None else translation.error(case.status, body))
        complaint = case.dialect.complaint(case.status, body)
        assert complaint == case.about["complaint"]
        return
    made = untimed(body if translation is None else translation.whole(body))
    case.expect("answer.openai.json", made)
    answer = read_answer(made)
    if "error" in json.loads(made):
        assert answer.failed
        return
    ChatCompletion.model_validate_json(made, strict=True)
    assert_usage(case, answer.usage)


@pytest.mark.parametrize("folder", cases("answer.provider.sse"))
def test_the_stream(folder: Path) -> None:
    case = Case(folder)
    made = untimed(translated(case, [(folder / "answer.provider.sse").read_bytes()]))
    case.expect("answer.openai.sse", made)
    observer = StreamObserver(1)
    splitter = EventSplitter()
    for event in splitter.feed(made):
        observer.observe(event)
        data = event_data(event)
        if data and data != b"[DONE]" and b'"error"' not in data[:10]:
            ChatCompletionChunk.model_validate_json(data, strict=True)
    assert splitter.rest == b""
    assert observer.complete is not case.about.get("broken", False)
    assert_usage(case, observer.usage)


@pytest.mark.parametrize("folder", cases("answer.provider.sse"))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_stream_may_be_cut_anywhere(folder: Path, data: st.DataObject) -> None:
    case = Case(folder)
    body = (folder / "answer.provider.sse").read_bytes()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert untimed(translated(case, pieces)) == (folder / "answer.openai.sse").read_bytes()


@pytest.mark.parametrize("folder", cases("answer.provider.sse"))
def test_a_stream_may_come_byte_by_byte(folder: Path) -> None:
    case = Case(folder)
    body = (folder / "answer.provider.sse").read_bytes()
    pieces = [body[at : at + 1] for at in range(len(body))]

    assert untimed(translated(case, pieces)) == (folder / "answer.openai.sse").read_bytes()


def translated(case: Case, pieces: list[bytes]) -> bytes:
    translation = case.translation()
    if translation is None:
        return b"".join(pieces)
    return b"".join([*(translation.chunk(piece) for piece in pieces), translation.end()])


def assert_usage(case: Case, usage: Usage | None) -> None:
    """What the gateway reads of the translated answer is what the provider said, to the token."""
    expected = case.about.get("usage")
    if expected is None:
        return
    assert usage is not None
    assert {name: value for name, value in usage._asdict().items() if value} == expected
