"""How many tokens a message would have: asked of a provider that counts, else answered from our own estimate."""

from __future__ import annotations

from gateway.context import RequestContext
from gateway.reply import Reply


async def count_here(context: RequestContext, reply: Reply) -> bool:
    """Answer with an estimate where nobody on the route counts; whether that is so. Leaves those that do otherwise."""
    request, route = context.request, context.route
    assert request is not None, "only what was read is counted"  # noqa: S101 -- guards a programming error
    assert request.native is not None, "it is said in a tongue"  # noqa: S101 -- as above
    assert route is not None, "a route says who is asked"  # noqa: S101 -- as above
    endpoints = context.snapshot.endpoints
    counting = tuple([each for each in route.candidates if request.native.api in endpoints[each.provider].natives])
    if counting:
        context.route = route._replace(candidates=counting)
        return False
    context.outcome, context.status, context.error_code = "ok", 200, ""
    headers = [(b"content-type", b"application/json"), (b"x-request-id", context.request_id.encode())]
    reply.as_it_is()
    await reply.whole(200, headers, b'{"input_tokens":%d}' % request.profile.input_tokens)
    return True
