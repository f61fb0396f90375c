"""The dialect itself: where a request goes, and who says what."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects import openai
from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.gemini.answer import Answer
from gateway.upstream.dialects.gemini.embeddings import Embeddings, embeddings_body
from gateway.upstream.dialects.gemini.request import chat_body
from gateway.upstream.dialects.protocol import Complaint, Outgoing, Translation, Wish
from gateway.wire.requests import CHAT, EMBEDDINGS, ModelRequest

_WORDS = Words(
    context_too_long=("exceeds the maximum number of tokens",),
    account=("api_key_invalid", "user location is not supported", "prepayment credits are depleted"),
)


class Gemini:
    """The `Dialect`."""

    name = "gemini"
    apis = frozenset((CHAT, EMBEDDINGS))
    credentials = ("x-goog-api-key", "")

    def outgoing(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """The request in Gemini's words. Raises InvalidField for what it has none for."""
        if request.api not in self.apis:
            raise openai.not_spoken(request.api)
        head = openai.head(wish.request_id, [], endpoint.headers)
        if request.api == EMBEDDINGS:
            return Outgoing(_path(wish.upstream_model, "batchEmbedContents"), head, embeddings_body(request, wish))
        method = "streamGenerateContent?alt=sse" if request.stream or wish.stream else "generateContent"
        return Outgoing(_path(wish.upstream_model, method), head, chat_body(request, wish))

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """What turns its answer into OpenAI's."""
        return Embeddings(request, wish) if request.api == EMBEDDINGS else Answer(request, wish)

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        return _WORDS.complaint(status, body)


@lru_cache(maxsize=1024)
def _path(model: str, method: str) -> bytes:
    return f"/models/{quote(model.removeprefix('models/'), safe='')}:{method}".encode()
