"""Requests in other tongues: what they mean in chat."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import BadRequest
from gateway.wire.native import MESSAGES, RESPONSES
from gateway.wire.tongues import meaning, read_any, read_tongue, with_history

MESSAGE = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello."}],"stream":%s}'
RESPONSE = b'{"model":"m","input":"And then?","previous_response_id":"resp_1","max_output_tokens":7}'


def test_chat_is_read_as_it_is() -> None:
    request = read_any("chat", b'{"model":"m","messages":[]}')
    assert (request.api, request.native) == ("chat", None)


@pytest.mark.parametrize("stream", [b"true", b"false"])
def test_a_tongue_is_read_twice_and_its_streams_tell_usage(stream: bytes) -> None:
    body = MESSAGE % stream
    request = read_any(MESSAGES, body)
    assert request.native is not None
    assert (request.api, request.native.api, request.native.body) == ("chat", MESSAGES, body)
    assert request.stream is (stream == b"true")
    assert request.include_usage is request.stream
    assert [message.role for message in request.messages] == ["user"]


def test_usage_is_asked_for_once() -> None:
    native = read_tongue(MESSAGES, MESSAGE % b"true").native
    assert native is not None
    chat = b'{"model":"m","messages":[],"stream":true}'
    assert meaning(chat, native).body == b'{"stream_options":{"include_usage":true},' + chat[1:]
    asked = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
    assert meaning(asked, native).body == asked


def test_what_is_wrong_is_told_in_the_tongues_words() -> None:
    with pytest.raises(BadRequest) as wrong:
        read_any(MESSAGES, b'{"model":"m","messages":[]}')
    assert wrong.value.param == "max_tokens"


def test_a_history_is_told_to_whoever_does_not_remember_it() -> None:
    native = read_tongue(RESPONSES, RESPONSE).native
    assert native is not None
    said = [
        {"type": "message", "role": "user", "content": "Once upon a time"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "there was"}]},
    ]
    request = with_history(native, native, [msgspec.Raw(msgspec.json.encode(item)) for item in said], "openai")

    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.native is native
    assert native.held_at == "openai"
    assert native.body == RESPONSE
    elsewhere = native.elsewhere
    assert elsewhere is not None
    told = msgspec.json.decode(elsewhere.body)
    assert "previous_response_id" not in told
    assert [item["role"] for item in told["input"]] == ["user", "assistant", "user"]
    assert elsewhere.bound_fields == {"max_output_tokens": 7}


def test_a_history_that_chat_has_no_words_for_is_refused_there() -> None:
    """An image that only the earlier provider has: without it the answer would be another, and nobody would know."""
    native = read_tongue(RESPONSES, RESPONSE).native
    assert native is not None
    image = {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}
    with_history(native, native, [msgspec.Raw(msgspec.json.encode(image))], "openai")
    assert native.refused is not None
    assert native.refused.param == "input[0].content[0].file_id"
    assert native.unknown is None
    assert native.elsewhere is not None
    assert native.elsewhere.unknown == "input[0].content[0].file_id"
