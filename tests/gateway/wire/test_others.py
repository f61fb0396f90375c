from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.wire.extent import UNKNOWN, Extent
from gateway.wire.others import IMAGE_EDITS, IMAGES, MODERATIONS, RERANK, SPEECH, TRANSCRIPTIONS, read_form, read_other


def extent(api: str, **fields: Any) -> Extent:
    found = read_other(api, json.dumps({"model": "m", **fields}).encode()).extent
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        ({}, {"image": 1}),
        ({"n": 3}, {"image": 3}),
        ({"size": "512x512"}, {"image:512x512": 1}),
        ({"size": "512x512", "quality": "hd"}, {"image:512x512:hd": 1}),
        ({"quality": "hd"}, {"image:auto:hd": 1}),
        ({"size": "auto", "quality": "auto", "n": None}, {"image:auto:auto": 1}),
    ],
)
def test_images_are_counted_by_size_and_quality(asked: dict[str, Any], units: dict[str, int]) -> None:
    assert extent(IMAGES, prompt="a boat", **asked).units == units


def test_an_edit_does_not_say_how_large_its_images_are() -> None:
    found = read_form(IMAGE_EDITS, {"model": "m", "prompt": "a boat", "n": "2"}, 5_000).extent
    assert found is not None
    assert found.units == {"image": 2}
    assert found.most.input_tokens == found.most.input_image_tokens == UNKNOWN


def test_speech_is_counted_in_characters_not_bytes() -> None:
    found = extent(SPEECH, input="Grüße 🚢", voice="alloy")
    assert found.units == found.most_units == {"character": 7}
    assert found.exact
    assert found.most.output_tokens == found.most.output_audio_tokens > found.estimate.output_tokens
    slow = extent(SPEECH, input="Grüße 🚢", voice="alloy", speed=0.25)
    assert slow.most.output_tokens == 4 * found.most.output_tokens
    assert extent(SPEECH, input="Grüße 🚢", speed=4.0).most == found.most


def test_audio_is_as_long_as_it_may_be_or_as_its_header_says() -> None:
    unknown = read_form(TRANSCRIPTIONS, {"model": "m"}, 1_000_000).extent
    known = read_form(TRANSCRIPTIONS, {"model": "m"}, 1_000_000, 60).extent
    assert unknown is not None
    assert known is not None
    assert (unknown.units, unknown.most_units) == ({"second": 250}, {"second": 2_000})
    assert known.units == known.most_units == {"second": 60}
    assert not known.exact


def test_reranking_reads_the_query_with_each_chunk() -> None:
    found = extent(RERANK, query="q" * 100, documents=["short", {"text": "long" * 500}])
    assert found.units == {"search_unit": 1}
    assert found.most.input_tokens > 2_000 + 100 * 10
    assert extent(RERANK, query="q", documents=["x"] * 101).units == {"search_unit": 2}


def test_moderation_has_no_units() -> None:
    assert extent(MODERATIONS, input=["a", {"type": "text", "text": "b"}]).units == {}


@pytest.mark.parametrize(
    ("api", "fields", "param"),
    [
        (IMAGES, {}, "prompt"),
        (SPEECH, {"voice": "a"}, "input"),
        (SPEECH, {"input": "", "voice": "a"}, "input"),
        (MODERATIONS, {}, "input"),
        (RERANK, {"query": "a"}, "documents"),
        (IMAGES, {"prompt": "a", "n": 10**9}, "n"),
        (IMAGES, {"prompt": "a", "Size": "64x64"}, "Size"),
        (IMAGES, {"prompt": "a", "size": 5}, "size"),
    ],
)
def test_what_is_wrong_is_named(api: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        extent(api, **fields)
    assert caught.value.param == param


def test_a_form_without_model_or_with_a_wrong_number_is_refused() -> None:
    for form, param in (({"prompt": "a"}, "model"), ({"model": "m", "n": "two"}, "n")):
        with pytest.raises(BadRequest) as caught:
            read_form(IMAGE_EDITS, form, 10)
        assert caught.value.param == param


def test_streams_are_asked_for_in_two_ways() -> None:
    assert read_other(IMAGES, b'{"model":"m","prompt":"a","stream":true}').stream
    assert read_other(SPEECH, b'{"model":"m","input":"a","stream_format":"sse"}').stream
    assert read_form(TRANSCRIPTIONS, {"model": "m", "stream": "true"}, 5).stream
    assert not read_other(SPEECH, b'{"model":"m","input":"a","stream_format":"audio"}').stream


def test_no_window_is_too_short_for_what_is_not_known() -> None:
    profile = read_form(TRANSCRIPTIONS, {"model": "m"}, 25_000_000).profile
    assert (profile.input_bytes, profile.input_tokens, profile.max_output_tokens) == (25_000_000, 0, None)
    assert read_other(IMAGES, b'{"model":"m","prompt":"a boat","n":10}').profile.max_output_tokens is None
