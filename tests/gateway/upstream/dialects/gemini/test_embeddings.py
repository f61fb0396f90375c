from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidField
from gateway.wire.answers import MalformedAnswer, read_answer
from gateway.wire.requests import EMBEDDINGS
from tests.gateway.upstream.dialects.speaking import ask, outgoing, sent, translation, whole


def test_each_text_is_a_request_of_its_own() -> None:
    request = ask(EMBEDDINGS, input=["a", "b"], dimensions=256, encoding_format="base64", user="u")
    made = outgoing("gemini", request, upstream_model="gemini-embedding-001")

    assert made.path == b"/models/gemini-embedding-001:batchEmbedContents"
    assert msgspec.json.decode(made.body) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "outputDimensionality": 256,
                "content": {"parts": [{"text": text}]},
            }
            for text in ("a", "b")
        ]
    }
    assert len(sent("gemini", EMBEDDINGS, input="a", dimensions=None)["requests"]) == 1


@pytest.mark.parametrize("fields", [{"input": [1, 2]}, {"input": [[1]]}, {"input": "a", "task": "search"}])
def test_what_is_no_text_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as caught:
        sent("gemini", EMBEDDINGS, **fields)

    assert str(caught.value.param).startswith(("input", "task"))


ANSWER = {"embeddings": [{"values": [0.5, -1.0]}, {"values": [2.0, 0.0]}], "usageMetadata": {"promptTokenCount": 7}}


def test_vectors_come_as_lists_or_as_base64() -> None:
    request = ask(EMBEDDINGS, input=["a", "b"])
    told = whole("gemini", ANSWER, request)

    assert [item["embedding"] for item in told["data"]] == [[0.5, -1.0], [2.0, 0.0]]
    assert [item["index"] for item in told["data"]] == [0, 1]
    told = whole("gemini", ANSWER, ask(EMBEDDINGS, input="a", encoding_format="base64"))
    assert told["data"][0]["embedding"] == "AAAAPwAAgL8="
    usage = read_answer(msgspec.json.encode(told)).usage
    assert usage is not None
    assert usage.input_tokens == 7


def test_other_answers_are_malformed() -> None:
    made = translation("gemini", ask(EMBEDDINGS, input="a"))

    with pytest.raises(MalformedAnswer):
        made.whole(b'{"candidates":[]}')
    assert b"Bad" in made.error(400, b'{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}')
    assert made.end() == b""
