from __future__ import annotations

import pytest

from gateway.config.snapshot import Endpoint
from gateway.errors import InvalidField
from gateway.upstream.dialects import openai, registry
from gateway.wire.requests import COMPLETIONS, EMBEDDINGS
from tests.gateway.upstream.dialects.speaking import REQUEST_ID, ask, outgoing, wish_for


def test_a_request_goes_as_it_came() -> None:
    request = ask(model="large", unknown={"field": [1]})

    made = outgoing("openai", request)

    assert made.path == b"/chat/completions"
    assert made.body is request.body
    assert made.headers.decode() == (
        f"content-type: application/json\r\nx-request-id: {REQUEST_ID}\r\nuser-agent: farebox\r\n"
    )


def test_a_wish_is_written_into_it() -> None:
    request = ask()
    endpoint = Endpoint("acme", "https://api.example/v1", (("OpenAI-Project", "ours"),))
    forwarded = [(b"openai-project", b"theirs"), (b"openai-beta", b"x")]

    made = outgoing("openai", request, endpoint, max_tokens=5, stream=True, forwarded=forwarded)

    assert made.body.endswith(b'"stream":true,"stream_options":{"include_usage":true},"max_tokens":5}')
    assert b'"model":"large"' in made.body
    assert made.headers.endswith(b"openai-beta: x\r\n")
    assert b"theirs" not in made.headers


def test_each_api_has_its_path() -> None:
    assert outgoing("openai", ask(COMPLETIONS, prompt="a")).path == b"/completions"
    assert outgoing("openai", ask(EMBEDDINGS, input="a")).path == b"/embeddings"


def test_its_answers_are_not_translated() -> None:
    assert openai.DIALECT.translation(ask(), wish_for(ask())) is None


@pytest.mark.parametrize("name", ["deepseek", "gemini", "groq", "mistral"])
def test_an_api_that_a_provider_lacks_is_refused(name: str) -> None:
    (lacking,) = {"completions", "embeddings"} - registry.find(name).apis
    request = ask(COMPLETIONS, prompt="a") if lacking == "completions" else ask(EMBEDDINGS, input="a")

    with pytest.raises(InvalidField, match=f"has no {lacking}") as caught:
        outgoing(name, request)

    assert caught.value.param == "model"
