"""`/v1/conversations`: what goes on for longer than one response (docs/responses.md). Raw ASGI.

POST              /v1/conversations
GET, POST, DELETE /v1/conversations/{id}
GET, POST         /v1/conversations/{id}/items
GET, DELETE       /v1/conversations/{id}/items/{item}
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import unquote

import msgspec

from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope
from gateway.api.background import user_of
from gateway.api.caller import principal_of
from gateway.api.responses import query_of, slice_of
from gateway.errors import InvalidField, InvalidJson, MethodNotAllowed, MissingField, NotFound
from gateway.identity.keys import Principal
from gateway.responses.items import list_object
from gateway.services import Services

PATH: Final = "/v1/conversations"

MAX_PAIRS: Final = 16

_Key = Annotated[str, msgspec.Meta(max_length=64)]
_Value = Annotated[str, msgspec.Meta(max_length=512)]


class _Body(msgspec.Struct):
    """Of every request: each uses what it has a use for, unknown fields are as good as absent."""

    metadata: dict[_Key, _Value] | msgspec.UnsetType | None = msgspec.UNSET
    items: list[msgspec.Raw] | None = None


_decoder = msgspec.json.Decoder(_Body)


class _Call:
    """One request, of a caller who is known."""

    def __init__(self, services: Services, scope: Scope, receive: Receive, principal: Principal) -> None:
        self.services = services
        self.conversations = services.responses.conversations
        self.scope = scope
        self.receive = receive
        self.principal = principal
        self.method = scope["method"]

    async def body(self) -> _Body:
        """What it says. Raises BadRequest errors that name the field."""
        limit = self.services.snapshot.server.max_body_bytes
        return read_body(await AsgiCall("conversations", self.scope, self.receive).body(limit))

    @property
    def user(self) -> str | None:
        """Whom it is for."""
        return user_of(self.services, self.scope, self.principal, {})


async def serve(services: Services, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
    """Answer a request to `/v1/conversations`. Raises FareboxError, JournalError, ClientGone."""
    call = _Call(services, scope, receive, await principal_of(services, scope))
    path = scope["path"].rstrip("/")
    parts = [unquote(part) for part in path.removeprefix(PATH).split("/")[1:]]
    found: object
    match parts:
        case []:
            _only(call, ("POST",), path)
            body = await call.body()
            found = await call.conversations.create(call.principal, call.user, _metadata(body), body.items or [])
        case [name]:
            found = await _one(call, name, path)
        case [name, "items"]:
            found = await _items(call, name, path)
        case [name, "items", item]:
            found = await _item(call, name, item, path)
        case _:
            raise NotFound(f"There is no {path} here.")
    await answer_json(reply, 200, found)


async def _one(call: _Call, name: str, path: str) -> object:
    if call.method == "DELETE":
        await call.conversations.delete(call.principal, name)
        return {"id": name, "object": "conversation.deleted", "deleted": True}
    if call.method == "POST":
        body = await call.body()
        if body.metadata is msgspec.UNSET:
            raise MissingField("Missing required parameter: `metadata`.", param="metadata")
        return await call.conversations.update(call.principal, name, _metadata(body))
    _only(call, ("GET", "HEAD", "POST", "DELETE"), path)
    return await call.conversations.show(call.principal, name)


async def _items(call: _Call, name: str, path: str) -> object:
    if call.method == "POST":
        body = await call.body()
        if body.items is None:
            raise MissingField("Missing required parameter: `items`.", param="items")
        return list_object(await call.conversations.add(call.principal, name, call.user, body.items), more=False)
    _only(call, ("GET", "HEAD", "POST"), path)
    items, more = await call.conversations.items(call.principal, name, slice_of(query_of(call.scope)))
    return list_object(items, more=more)


async def _item(call: _Call, name: str, item: str, path: str) -> object:
    if call.method == "DELETE":
        return await call.conversations.delete_item(call.principal, name, item)
    _only(call, ("GET", "HEAD", "DELETE"), path)
    return await call.conversations.item(call.principal, name, item)


def _only(call: _Call, methods: tuple[str, ...], path: str) -> None:
    if call.method not in methods:
        named = " or ".join(each for each in methods if each != "HEAD")
        raise MethodNotAllowed(f"{path} takes {named}, not {call.method}.")


def read_body(body: bytes) -> _Body:
    """What a body says; an empty one says nothing. Raises BadRequest errors that name the field."""
    if not body.strip():
        return _Body()
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        param = path.strip(".`").partition("[")[0] or None
        raise InvalidField(f"{f'`{param}`' if param else 'The body'} is not valid: {problem}.", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None


def _metadata(body: _Body) -> dict[str, str]:
    found = body.metadata or {}
    if len(found) > MAX_PAIRS:
        raise InvalidField(f"`metadata` may have {MAX_PAIRS} pairs at most.", param="metadata")
    return found
