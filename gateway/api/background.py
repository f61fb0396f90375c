"""`POST /v1/responses` with `background: true`: answered at once, and made without its client (docs/responses.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope
from gateway.api.detached import DetachedCall
from gateway.api.responding import ResponsesReply
from gateway.context import new_request_id
from gateway.errors import FareboxError, InvalidKey
from gateway.identity.attribution import attribute
from gateway.identity.keys import Principal
from gateway.reply import Reply
from gateway.responses.background import Asked, follow
from gateway.responses.job import Refused
from gateway.responses.store import Keeper
from gateway.services import Services
from gateway.wire.native import RESPONSES, Native
from gateway.wire.requests import Fields
from gateway.wire.tongues import read_tongue

_FIELD, _ESCAPED = b'"background"', b"\\u00"
_fields = msgspec.json.Decoder(Fields)


async def heard(services: Services, scope: Scope, receive: Receive, reply: AsgiReply) -> Receive | None:
    """Serve a request for a response if it is for the background; else what gives its body again.

    Raises FareboxError, JournalError, ClientGone.
    """
    try:
        principal = await services.pipeline.authenticate(services.snapshot, scope["headers"])
    except InvalidKey:
        return receive  # refused there, and noted
    body = await AsgiCall(RESPONSES, scope, receive).body(services.snapshot.server.max_body_bytes)
    inside = _without_background(body)
    if inside is None:
        return _again(body, receive)
    try:
        native = read_tongue(RESPONSES, body).native
    except FareboxError:
        return _again(inside, receive)  # refused there, and noted
    assert native is not None, "a tongue's request is kept as it came"  # noqa: S101 -- guards a programming error
    await _begin(services, scope, receive, (inside, native, principal), reply)
    return None


def _without_background(body: bytes) -> bytes | None:
    """The same request without the wish, where it has it; None for all others."""
    if _FIELD not in body and _ESCAPED not in body:  # a field's name may be written with escapes
        return None
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bytes(fields.pop("background", b"")) != b"true":
        return None
    return msgspec.json.encode(fields)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def once_more() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body}

    return once_more


async def _begin(
    services: Services, scope: Scope, receive: Receive, request: tuple[bytes, Native, Principal], reply: AsgiReply
) -> None:
    body, native, principal = request

    answering: list[ResponsesReply] = []

    async def serve(inner: Reply, keeper: Keeper) -> None:
        call = DetachedCall(AsgiCall(RESPONSES, scope, receive), body)
        answering.append(ResponsesReply(inner, keeper))
        await services.pipeline.serve(services.snapshot, call, answering[0])

    user = user_of(services, scope, principal, native.fields)
    asked = Asked(principal, user, native, lambda: answering[0].request_id)
    job = await services.responses.background.begin(asked, serve, reply.on_disconnect)
    reply.as_it_is()
    if job.refused is not None:
        await _refuse(reply, job.refused)
    elif native.stream:
        await send_events(reply, follow(job, -1), job.row.request_id)
    else:  # it may have gone on by now; its client is told of the beginning, as it expects
        headers = [(b"content-type", b"application/json"), (b"x-request-id", job.row.request_id.encode())]
        await reply.whole(200, headers, job.row.body)


async def _refuse(reply: AsgiReply, refused: Refused) -> None:
    if refused.error is not None:
        await reply.error(refused.error, refused.request_id)
        return
    headers = [header for header in refused.headers if header[0] != b"content-length"]
    await reply.whole(refused.status, headers, refused.body)


def user_of(services: Services, scope: Scope, principal: Principal, fields: Fields) -> str | None:
    """Whom a request is for, as its client says."""
    agent = services.snapshot.agents[principal.agent]
    try:
        return attribute(scope["headers"], fields, agent.trust)[0].user
    except FareboxError:
        return None


async def send_events(reply: AsgiReply, events: AsyncIterator[bytes], request_id: str = "") -> None:
    """Send events as they come, until there are no more or the client leaves."""
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reply.on_disconnect(lambda: None if lost.done() else lost.set_result(None))
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", (request_id or new_request_id(time.time())).encode()),
    ]
    async with aclosing(_until(events, lost)) as coming:
        first = await anext(coming, None)  # what is wrong is told as an error, not in the stream
        await reply.start(200, headers)
        if first is not None:
            await reply.send(first)
        async for event in coming:
            await reply.send(event)
    reply.on_disconnect(None)
    if not lost.done():
        await reply.finish()


async def _until(events: AsyncIterator[bytes], lost: asyncio.Future[None]) -> Any:
    iterator = aiter(events)
    while True:
        coming: asyncio.Future[bytes] = asyncio.ensure_future(anext(iterator))
        try:
            await asyncio.wait((coming, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not coming.done():
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming
        if coming.cancelled():
            return
        try:
            event = coming.result()
        except StopAsyncIteration:
            return
        yield event
