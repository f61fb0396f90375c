"""Golden files: what a request says in chat, and what chat's answer to it says as a response. One folder a case.

    golden/<case>/
        about.txt           what it shows, in a sentence
        request.json        what the client sends
        request.chat.json   what that is in chat; or, in its place,
        refusal.json        what its client is told
        notes.json          what is noted of the request beside it
        answer.chat.json    chat's answer, or
        answer.chat.sse     its stream
        response.json       what it becomes
        response.sse

`request.chat.json`, `refusal.json`, `notes.json` and `response.*` are written by `FAREBOX_GOLDEN=write pytest <this
file>`, the others by hand. Read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import FareboxError
from gateway.wire.requests import read_request
from gateway.wire.responses import WIRE, ResponsesNative, read
from tests.gateway.wire.responses.wording import response_of, said, split, translator

GOLDEN = Path(__file__).parent / "golden"
WRITING = os.environ.get("FAREBOX_GOLDEN") == "write"
CASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())


def compare(path: Path, content: str) -> None:
    if WRITING:
        path.write_text(content, "utf-8")
    assert path.read_text("utf-8") == content


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def request_of(case: Path) -> tuple[bytes, ResponsesNative]:
    return read((case / "request.json").read_bytes())


def notes_of(native: ResponsesNative) -> dict[str, Any]:
    refused = native.refused
    return {
        "refused": None if refused is None else refused.message,
        "unknown": native.unknown,
        "services": [list(service) for service in native.services],
        "bound_fields": native.bound_fields,
        "stream": native.stream,
        "store": native.store,
        "background": native.background,
        "previous_response_id": native.previous_response_id,
        "conversation": native.conversation,
        "references": list(native.references),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_requests(case: Path) -> None:
    try:
        chat, native = request_of(case)
    except FareboxError as error:
        compare(case / "refusal.json", pretty({"code": error.code, "param": error.param, "message": error.message}))
        return
    assert not (case / "refusal.json").exists()
    read_request("chat", chat)
    compare(case / "request.chat.json", pretty(json.loads(chat)))
    compare(case / "notes.json", pretty(notes_of(native)))


@pytest.mark.parametrize("case", [case for case in CASES if (case / "answer.chat.json").exists()], ids=lambda c: c.name)
def test_whole_answers(case: Path) -> None:
    answer = translator(request_of(case)[1])
    body = answer.whole((case / "answer.chat.json").read_bytes())
    assert answer.final == body
    compare(case / "response.json", pretty(response_of(body)))


@pytest.mark.parametrize("case", [case for case in CASES if (case / "answer.chat.sse").exists()], ids=lambda c: c.name)
def test_streams(case: Path) -> None:
    answer = translator(request_of(case)[1])
    stream = b"".join(answer.events([event]) for event in split((case / "answer.chat.sse").read_bytes())) + answer.end()
    events = said(stream)
    assert events[-1]["response"] == response_of(answer.final)
    compare(case / "response.sse", stream.decode())


@pytest.mark.parametrize("case", [case for case in CASES if (case / "response.sse").exists()], ids=lambda c: c.name)
def test_the_native_side_reads_what_we_write(case: Path) -> None:
    observer, assembler = WIRE.observer(1, remember=False), WIRE.assembler()
    for event in split((case / "response.sse").read_bytes()):
        observer.observe(event)
        assembler.feed(event)
    assert observer.done
    assert not assembler.malformed
    whole = WIRE.read_answer(assembler.body())
    assert (whole.usage, whole.cut, whole.failed) == (observer.usage, observer.cut, observer.failed)
