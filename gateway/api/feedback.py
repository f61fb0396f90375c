"""`POST /v1/feedback`: what a client says of an answer. Raw ASGI.

    {"request_id": "req_...", "score": 0.8, "comment": "..."}

Once for each request: a later word replaces an earlier one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope
from gateway.api.caller import principal_of
from gateway.errors import InvalidField, InvalidJson, MethodNotAllowed, NotFound
from gateway.feedback import Said
from gateway.services import Services

PATH = "/v1/feedback"
MAX_BODY_BYTES = 65_536
MAX_COMMENT_CHARS = 4_096


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    comment: Annotated[str, msgspec.Meta(max_length=MAX_COMMENT_CHARS)] | None = None


_decoder = msgspec.json.Decoder(_Body)


async def serve(services: Services, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
    """Answer a request to `/v1/feedback`. Raises FareboxError, JournalError, ClientGone."""
    principal = await principal_of(services, scope)
    if scope["method"] != "POST":
        raise MethodNotAllowed(f"{PATH} takes POST, not {scope['method']}.")
    said = read_feedback(await AsgiCall("feedback", scope, receive).body(MAX_BODY_BYTES))
    model = await services.feedback.say(principal.agent, said)
    if model is None:
        raise NotFound(
            f"No answered request `{said.request_id}` of the agent `{principal.agent}` is in the journal. The id is "
            "the answer's `x-request-id`."
        )
    body = {"object": "feedback", "request_id": said.request_id, "agent": principal.agent, "model": model}
    await answer_json(reply, 200, {**body, "score": said.score, "comment": said.comment})


def read_feedback(body: bytes) -> Said:
    """What a body says. Raises BadRequest errors that name the field."""
    try:
        found = _decoder.decode(body)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        param = path.strip(".`") or None
        raise InvalidField(f"{f'`{param}`' if param else 'The body'} is not valid: {problem}.", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    return Said(found.request_id, found.score, None if found.comment is None else found.comment.replace("\0", ""))
