"""GET and DELETE of finished responses, and of what they were asked with."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs

import msgspec

from gateway.simulator.conversation import JSON, Conversation, Scope
from gateway.simulator.errors import SimError, invalid
from gateway.simulator.fields import Body
from gateway.simulator.responses.shelf import Shelf
from gateway.simulator.tongues import OPENAI

PREFIX = "/v1/responses/"


async def serve(shelf: Shelf, conversation: Conversation, scope: Scope) -> None:
    """Answer what is asked of one response. Raises SimError (400, 404, 405)."""
    key = OPENAI.admit(conversation)
    owner = hashlib.sha256(key.encode()).hexdigest()[:12] if key else "none"
    response_id, _, rest = scope["path"].removeprefix(PREFIX).partition("/")
    what = (scope["method"], rest)
    found: Body
    if what == ("GET", ""):
        found = shelf.get(owner, response_id).response
    elif what == ("DELETE", ""):
        shelf.delete(owner, response_id)
        found = {"id": response_id, "object": "response", "deleted": True}
    elif what == ("GET", "input_items"):
        found = _listed(shelf.get(owner, response_id).input_items, scope["query_string"])
    elif what == ("POST", "cancel"):
        shelf.get(owner, response_id)
        raise invalid("Cannot cancel a synchronous response.")
    elif rest in {"", "input_items", "cancel"}:
        raise SimError(405, f"Not allowed to {what[0]} on {scope['path']}.", code="method_not_supported")
    else:
        raise SimError(404, f"Invalid URL ({what[0]} {scope['path']})")
    await conversation.answer(200, msgspec.json.encode(found), JSON)


def _listed(items: list[Body], query: bytes) -> Body:
    """A list in one piece, the latest first unless `order=asc`."""
    wanted = parse_qs(query.decode("latin-1"))
    data = items if wanted.get("order") == ["asc"] else items[::-1]
    ids = [item["id"] for item in data]
    return {
        "object": "list",
        "data": data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": False,
    }
