"""What messages hold besides text is found, whatever its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.media import Media
from gateway.wire.requests import CHAT, read_request


def media(*messages: Any) -> list[Media]:
    return read_request(CHAT, json.dumps({"model": "m", "messages": messages}).encode()).media


DATA = "data:image/png;base64," + "A" * 100


def test_texts_are_no_media() -> None:
    texts = [{"type": kind, "text": "a"} for kind in ("text", "refusal", "input_text", "output_text", "thinking")]
    assert media({"content": "a"}, {"content": None}, {}, {"content": texts}, {"content": ["a", *texts]}) == []
    assert media({"content": []}, {"content": "a", "audio": None}) == []


@pytest.mark.parametrize(
    ("part", "kind", "inline_bytes"),
    [
        ({"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}, "image", len(DATA) + 2),
        ({"type": "image_url", "image_url": DATA}, "image", len(DATA) + 2),
        ({"image_url": {"url": DATA}}, "image", len(DATA) + 2),
        ({"type": "input_image", "image_url": DATA}, "image", len(DATA) + 2),
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "image", 0),
        ({"type": "image_url"}, "image", 0),
        ({"type": "image", "source": {"data": DATA}}, "image", 0),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio", 0),
        ({"type": "file", "file": {"file_id": "f"}}, "other", 0),
        ({"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}, "other", 0),
        ({"image": "AAAA", "resize": 512}, "other", 0),
        ({"text": DATA}, "other", 0),
        ({"type": 5}, "other", 0),
        (5, "other", 0),
        ([], "other", 0),
    ],
)
def test_parts(part: Any, kind: str, inline_bytes: int) -> None:
    text = {"type": "text", "text": DATA}
    assert media({"content": "a"}, {"content": [text, part]}) == [(kind, "messages[1].content[1]", inline_bytes)]


def test_text_that_looks_like_an_image_is_text() -> None:
    assert media({"content": [{"type": "text", "text": DATA, "image_url": {"url": DATA}}]}) == []


def test_a_part_alone_and_an_earlier_speech() -> None:
    assert media({"content": {"type": "image_url"}}) == [("other", "messages[0].content", 0)]
    assert media({"content": "a", "audio": {"id": "x"}}) == [("audio", "messages[0].audio", 0)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(DATA),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "image_url", "url", "audio"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.lists(st.fixed_dictionaries({"content": _JSON}, optional={"audio": _JSON}), max_size=3))
def test_any_content_is_read(messages: list[dict[str, Any]]) -> None:
    found = media(*messages)
    assert all(0 <= each.inline_bytes <= len(json.dumps(messages)) for each in found)
    for index, message in enumerate(messages):
        named = [each for each in found if each.field.startswith(f"messages[{index}].content")]
        if message["content"] is None or isinstance(message["content"], str):
            assert named == []
        elif not isinstance(message["content"], list):
            assert len(named) == 1
