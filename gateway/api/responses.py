"""`/v1/responses/...`: responses that were made before, from what the gateway keeps (docs/responses.md). Raw ASGI.

GET, DELETE /v1/responses/{id}          (?stream=true&starting_after=N: the events of one in the background)
POST        /v1/responses/{id}/cancel
GET         /v1/responses/{id}/input_items
POST        /v1/responses/input_tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.api.answers import answer, answer_json
from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope
from gateway.api.background import send_events
from gateway.api.caller import principal_of
from gateway.errors import InvalidField, InvalidJson, MethodNotAllowed, NotFound
from gateway.identity.keys import Principal
from gateway.responses.items import DEFAULT_PAGE, MAX_PAGE, Slice, items_of, list_object, part_of, text_of
from gateway.services import Services
from gateway.wire.native import RESPONSES
from gateway.wire.requests import Fields
from gateway.wire.tongues import read_tongue

PATH: Final = "/v1/responses"

_fields = msgspec.json.Decoder(Fields)


async def serve(services: Services, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
    """Answer a request below `/v1/responses`. Raises FareboxError, JournalError, ClientGone."""
    principal = await principal_of(services, scope)
    method, path = scope["method"], scope["path"].rstrip("/")
    name, _, what = path.removeprefix(f"{PATH}/").partition("/")
    name = unquote(name)
    if name == "input_tokens" and not what:
        _only(method, ("POST",), path)
        body = await AsgiCall(RESPONSES, scope, receive).body(services.snapshot.server.max_body_bytes)
        await answer_json(reply, 200, await _input_tokens(services, principal, body))
    elif what == "cancel":
        _only(method, ("POST",), path)
        row = await services.responses.background.cancel(principal, name)
        await answer(reply, 200, "application/json", row.body)
    elif what == "input_items":
        _only(method, ("GET", "HEAD"), path)
        await _input_items(services, principal, name, scope, reply)
    elif what or name == "compact":
        raise NotFound(f"{path} is not served here.")
    elif method == "DELETE":
        await services.responses.background.delete(principal, name)
        await answer_json(reply, 200, {"id": name, "object": "response", "deleted": True})
    else:
        _only(method, ("GET", "HEAD", "DELETE"), path)
        await _show(services, principal, name, scope, reply)


def _only(method: str, methods: tuple[str, ...], path: str) -> None:
    if method not in methods:
        raise MethodNotAllowed(f"{path} takes {' or '.join(each for each in methods if each != 'HEAD')}, not {method}.")


async def _show(services: Services, principal: Principal, name: str, scope: Scope, reply: AsgiReply) -> None:
    background, asked = services.responses.background, query_of(scope)
    if asked.get("stream") == "true":
        after = _whole(asked, "starting_after", -1, (-1, 2**53))
        await send_events(reply, background.events(principal, name, after))
        return
    row = await background.find(principal, name)
    await answer(reply, 200, "application/json", row.body)


async def _input_items(services: Services, principal: Principal, name: str, scope: Scope, reply: AsgiReply) -> None:
    wanted = slice_of(query_of(scope))
    row = await services.responses.background.find(principal, name)
    items, more = part_of(items_of(row.input), wanted)
    await answer_json(reply, 200, list_object(items, more=more))


async def _input_tokens(services: Services, principal: Principal, body: bytes) -> dict[str, object]:
    """An estimate: no provider is asked."""
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body must be a JSON object: {error}") from None
    store = services.responses.store
    recalled = await store.recall(principal, *follows(fields))
    named = fields if text_of(fields.get("model")) else {**fields, "model": msgspec.Raw(b'"any"')}
    request = read_tongue(RESPONSES, msgspec.json.encode({**named, "input": fields.get("input", msgspec.Raw(b"[]"))}))
    tokens = recalled.input_tokens + request.profile.input_tokens
    return {"object": "response.input_tokens", "input_tokens": tokens}


def follows(fields: Mapping[str, msgspec.Raw]) -> tuple[str | None, str | None]:
    """The response, and the conversation, that a request says it follows up on. Raises InvalidField."""
    return _id_in(fields, "previous_response_id"), _id_in(fields, "conversation")


def _id_in(fields: Mapping[str, msgspec.Raw], name: str) -> str | None:
    written = fields.get(name)
    if written is None or bytes(written) == b"null":
        return None
    if name == "conversation" and bytes(written)[:1] == b"{":
        written = _fields.decode(written).get("id", written)
    found = text_of(written)
    if not found:
        raise InvalidField(f"`{name}` must be an id.", param=name)
    return found


# --- lists ---


def query_of(scope: Scope) -> dict[str, str]:
    """The parameters of the URL; the last of each."""
    parsed = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in parsed.items()}


def slice_of(asked: Mapping[str, str]) -> Slice:
    """Which part of a list is asked for. Raises InvalidField."""
    order = asked.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise InvalidField("`order` must be `asc` or `desc`.", param="order")
    limit = _whole(asked, "limit", DEFAULT_PAGE, (1, MAX_PAGE))
    return Slice(limit, order == "asc", asked.get("after") or None, asked.get("before") or None)


def _whole(asked: Mapping[str, str], name: str, default: int, span: tuple[int, int]) -> int:
    text = asked.get(name)
    if text is None:
        return default
    least, most = span
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise InvalidField(f"`{name}` must be a whole number from {least} to {most}.", param=name)
    return value
