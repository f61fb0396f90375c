"""The head of an answer: the provider's headers that pass, and ours."""

from __future__ import annotations

from functools import lru_cache

from gateway.context import RequestContext
from gateway.exchange.settlement import Settlement
from gateway.reply import Headers
from gateway.upstream.headers import client_headers
from gateway.upstream.transport import Response
from routing.catalog import Deployment
from routing.router import Route


def answer_headers(context: RequestContext, settlement: Settlement, response: Response) -> Headers:
    """What goes on of the provider's headers, the request's id, what served it, and its run."""
    route, attempt, permit = context.route, settlement.attempt, settlement.permit
    assert route is not None  # noqa: S101 -- guards a programming error
    headers = client_headers(response.headers)
    headers.append((b"x-request-id", context.request_id.encode()))
    headers += labels_of(attempt.deployment, route)
    if context.loop is not None:
        headers.append((b"x-farebox-loop", context.loop.encode()))
    if attempt.number > 1:
        headers.append((b"x-farebox-attempts", b"%d" % attempt.number))
    if permit is not None:
        headers += permit.headers
    run = context.attribution.run
    if run is not None:
        headers.append((b"x-farebox-run", run.encode()))
    return headers


def as_json(headers: Headers) -> Headers:
    """The head of a stream, for the one answer that was put together from it."""
    return [*(header for header in headers if header[0] != b"content-type"), (b"content-type", b"application/json")]


@lru_cache(maxsize=4096)
def _labels(model: str, deployment: str, rule: str, reason: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-farebox-model", model.encode()),
        (b"x-farebox-deployment", deployment.encode()),
        (b"x-farebox-route", f"{rule}; {reason}".encode()),
    )


def labels_of(deployment: Deployment, route: Route) -> tuple[tuple[bytes, bytes], ...]:
    """The response headers that say what served a request."""
    return _labels(deployment.model, deployment.id, route.rule, route.reason)


def is_readable(response: Response) -> bool:
    """Whether its events can be read: what compression the transport knows, it has undone."""
    return all(name != b"content-encoding" or value.lower() == b"identity" for name, value in response.headers)


def is_event_stream(response: Response) -> bool:
    """Whether the answer is a stream; one that does not tell its type is taken for what was asked for."""
    types = [value for name, value in response.headers if name == b"content-type"]
    return not types or types[0].lower().startswith(b"text/event-stream")
