from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.answers import MalformedAnswer
from gateway.wire.other_answers import OtherObserver, OtherWire
from gateway.wire.others import IMAGES, RERANK, SPEECH, TRANSCRIPTIONS
from routing.money import Usage


@pytest.mark.parametrize(
    ("api", "answer", "usage", "services"),
    [
        (IMAGES, {"data": [{}, {}]}, None, {"image": 2}),
        (
            IMAGES,
            {"data": [{}], "usage": {"input_tokens": 50, "output_tokens": 272, "total_tokens": 322,
                                     "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}},
            Usage(50, 272, input_image_tokens=40, output_image_tokens=272),
            None,
        ),
        (
            IMAGES,
            {"data": [{}], "usage": {"input_tokens": 50, "output_tokens": 272,
                                     "output_tokens_details": {"text_tokens": 72, "image_tokens": 200}}},
            Usage(50, 272, output_image_tokens=200),
            None,
        ),
        (TRANSCRIPTIONS, {"text": "a", "usage": {"type": "duration", "seconds": 6.2}}, None, {"second": 7}),
        (TRANSCRIPTIONS, {"text": "a", "duration": 6.2, "segments": []}, None, {"second": 7}),
        (
            TRANSCRIPTIONS,
            {"text": "a", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 45,
                                    "input_token_details": {"text_tokens": 4, "audio_tokens": 10}}},
            Usage(14, 45, input_audio_tokens=10),
            None,
        ),
        (TRANSCRIPTIONS, {"text": "a", "usage": {"input_tokens": 14, "output_tokens": 45}},
         Usage(14, 45, input_audio_tokens=14), None),
        (TRANSCRIPTIONS, {"text": "a"}, None, None),
        (RERANK, {"results": [], "meta": {"billed_units": {"search_units": 2}}}, None, {"search_unit": 2}),
        (RERANK, {"results": [], "meta": {"billed_units": {"input_tokens": 9}}}, Usage(9), None),
        (RERANK, {"results": [], "usage": {"total_tokens": 815}}, Usage(815), None),
        (RERANK, {"results": [], "usage": {"prompt_tokens": 815, "total_tokens": 815}}, Usage(815), None),
        (RERANK, {"results": [], "usage": {"total_tokens": -4}}, None, None),
        (RERANK, {"results": [], "usage": {"total_tokens": 10**30}}, None, None),
        (RERANK, {"results": [], "usage": "none"}, None, None),
    ],
)  # fmt: skip
def test_what_an_answer_says_of_its_bill(
    api: str, answer: dict[str, Any], usage: Usage | None, services: dict[str, int] | None
) -> None:
    found = OtherWire(api).read_answer(json.dumps(answer).encode())
    assert (found.usage, found.services, found.failed) == (usage, services, False)


def test_an_error_in_the_guise_of_an_answer() -> None:
    assert OtherWire(IMAGES).read_answer(b'{"error": {"message": "no"}}').failed


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"\xff"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        OtherWire(IMAGES).read_answer(body)


def event(**data: Any) -> bytes:
    return b"event: x\ndata: " + json.dumps(data).encode() + b"\n\n"


def test_events_are_watched_for_usage_units_and_the_end() -> None:
    images = OtherObserver(IMAGES)
    images.observe(event(type="image_generation.partial_image", b64_json="a"))
    assert (images.done, images.counted()) == (False, None)
    for _ in range(2):
        images.observe(event(type="image_generation.completed", usage={"input_tokens": 5, "output_tokens": 272}))
    assert images.usage == Usage(10, 544, output_image_tokens=544)
    assert (images.done, images.counted(), images.complete) == (True, {"image": 2}, False)
    images.ended = True
    assert images.complete

    heard = OtherObserver(TRANSCRIPTIONS)
    heard.observe(event(type="transcript.text.done", text="a", usage={"type": "duration", "seconds": 3}))
    assert (heard.usage, heard.counted()) == (None, {"second": 3})


def test_an_error_inside_of_events() -> None:
    observer = OtherObserver(SPEECH)
    observer.observe(b"data: {broken\n\n")
    observer.observe(b": comment\n\n")
    assert not observer.failed
    observer.observe(event(type="error", error={"message": "no"}))
    observer.ended = True
    assert observer.failed
    assert not observer.complete
