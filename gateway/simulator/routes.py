"""Where requests are posted, and what begins a generation there. One line an endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import invalid
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.messages.begin import begin as begin_message
from gateway.simulator.messages.begin import count
from gateway.simulator.messages.tongue import ANTHROPIC
from gateway.simulator.others import audio, images, texts
from gateway.simulator.others.forms import read_form
from gateway.simulator.responses.begin import begin as begin_response
from gateway.simulator.tongues import OPENAI, Tongue


def json_object(raw: bytes, content_type: str = "") -> Body:
    """Read a body of JSON. Raises SimError (400)."""
    try:
        body: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("We could not parse the JSON body of your request.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise invalid("The body of your request must be a JSON object.", code="invalid_json")
    return body


class Route(NamedTuple):
    """An endpoint."""

    endpoint: str
    """Its name on the bill."""
    kinds: tuple[str, ...]
    """The kinds of models that it takes; of `fixed` ones only chat knows how to answer."""
    begin: Callable[[Engine, Request], Awaitable[tuple[Generation, Wire] | bytes]]
    """Begins a generation, which must be settled; or makes a whole answer that costs nothing. Raises SimError."""
    read: Callable[[bytes, str], Body] = json_object
    """Reads a request's body, given with its content type. Raises SimError (400)."""
    tongue: Tongue = OPENAI


ROUTES: dict[str, Route] = {
    "/v1/chat/completions": Route("chat", ("chat", "fixed"), Engine.chat),
    "/v1/completions": Route("completions", ("chat",), Engine.completion),
    "/v1/embeddings": Route("embeddings", ("embedding",), Engine.embedding),
    "/v1/responses": Route("responses", ("chat",), begin_response),
    "/v1/messages": Route("messages", ("chat",), begin_message, tongue=ANTHROPIC),
    "/v1/messages/count_tokens": Route("messages", ("chat",), count, tongue=ANTHROPIC),
    "/v1/moderations": Route("moderations", ("moderation",), texts.moderate),
    "/v1/rerank": Route("rerank", ("rerank",), texts.rerank),
    "/v1/images/generations": Route("images", ("image",), images.generate),
    "/v1/images/edits": Route("image_edits", ("image",), images.edit, read_form),
    "/v1/images/variations": Route("image_variations", ("image",), images.vary, read_form),
    "/v1/audio/speech": Route("speech", ("speech",), audio.speak),
    "/v1/audio/transcriptions": Route("transcriptions", ("hearing",), audio.transcribe, read_form),
    "/v1/audio/translations": Route("translations", ("hearing",), audio.translate, read_form),
}
