"""All paths of the data plane: those that ask a model, and those that the gateway answers itself.

`ASKING` go through the pipeline, where no provider is called without a reservation. `LOCAL` never call a provider.
tests/integration/test_routes.py walks both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gateway.api import conversations, feedback, me, models, operations, responses, runs
from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiReply, Receive, Scope
from gateway.services import Services
from gateway.wire import others
from gateway.wire.native import COUNT, MESSAGES, RESPONSES
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS

GET: Final = ("GET", "HEAD")
ALL: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""The handler says itself which methods it takes."""

ASKING: Final[dict[str, str]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT,
    "/v1/responses": RESPONSES,
    "/v1/moderations": others.MODERATIONS,
    "/v1/images/generations": others.IMAGES,
    "/v1/images/edits": others.IMAGE_EDITS,
    "/v1/images/variations": others.IMAGE_VARIATIONS,
    "/v1/audio/speech": others.SPEECH,
    "/v1/audio/transcriptions": others.TRANSCRIPTIONS,
    "/v1/audio/translations": others.TRANSLATIONS,
    "/v1/rerank": others.RERANK,
    "/v2/rerank": others.RERANK,
}
"""The API behind a path that takes POST."""

LATER: Final = ("/v1/files", "/v1/batches", "/v1/messages/batches", "/v1/realtime", "/v1/images", "/v1/audio")
"""Paths of OpenAI's and Anthropic's that are not served yet."""

Serve = Callable[[Services, Scope, Receive, AsgiReply], Awaitable[None]]


class Local(NamedTuple):
    """A path that the gateway answers itself."""

    path: str
    serve: Serve
    methods: tuple[str, ...] = GET
    below: bool = False
    """Whether it serves what is below the path, too."""


async def _root(_services: Services, _scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    message = "An OpenAI-compatible gateway. Point an SDK's base_url at /v1; GET /v1/models lists the models."
    await answer_json(reply, 200, {"name": "farebox", "message": message})


LOCAL: Final = (
    Local("/", _root),
    *(Local(path, serve) for path, serve in operations.OPERATIONS.items()),
    Local(models.PATH, models.serve_models, below=True),
    Local("/v1/me", me.serve_me),
    Local(me.REQUESTS, me.serve_request, below=True),
    Local(runs.PATH, runs.serve, ALL, below=True),
    Local(feedback.PATH, feedback.serve, ALL),
    Local(responses.PATH, responses.serve, ALL, below=True),
    Local(conversations.PATH, conversations.serve, ALL, below=True),
)


def find(path: str) -> Local | None:
    """Who answers `path`, which has no slash at its end."""
    found = _EXACT.get(path)
    if found is not None:
        return found
    return next((each for each in _BELOW if path.startswith(each.path + "/")), None)


_EXACT: Final = {each.path: each for each in LOCAL}
_BELOW: Final = tuple([each for each in LOCAL if each.below])
