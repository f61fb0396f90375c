"""The beginning of one attempt: its request in the provider's words, sent off, with all that will settle it."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

from gateway.admission.permit import Permit
from gateway.config.snapshot import Timeouts
from gateway.context import RequestContext
from gateway.exchange.relay import Relay
from gateway.exchange.settlement import Settlement
from gateway.reply import Reply
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import Attempt, Name
from gateway.upstream.dialects.protocol import Wish
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.launch import launch, target_of
from gateway.upstream.transport import Transport
from gateway.wire.requests import EMBEDDINGS
from routing.catalog import Deployment


class Departure(NamedTuple):
    """What is settled about an attempt before it begins."""

    name: Name
    deployment: Deployment
    permit: Permit | None
    """None where nothing governs it."""


class Way(Protocol):
    """What an attempt goes out with."""

    @property
    def health(self) -> UpstreamHealth:
        """How the providers are."""
        ...

    @property
    def transport(self) -> Transport:
        """The way to them."""
        ...

    @property
    def recorder(self) -> Recorder:
        """Who hears what it cost."""
        ...


def depart(context: RequestContext, reply: Reply, way: Way, departure: Departure) -> Relay:
    """Begin the attempt. Raises BadRequest, with nothing sent, when its provider's dialect cannot say the request."""
    snapshot, request, deployment, permit = context.snapshot, context.request, departure.deployment, departure.permit
    assert request is not None, "an exchange begins after reading"  # noqa: S101 -- guards a programming error
    target = target_of(snapshot.endpoints[deployment.provider], snapshot.timeouts.get(deployment.id))
    wish = Wish(
        deployment.upstream_model,
        _longest(context) if permit is None else permit.max_output_tokens,
        deployment.max_tokens_field,
        deployment.max_output_tokens,
        request.stream or (permit is not None and permit.offer.metered),
        context.request_id,
        context.forwarded,
        permit is not None and permit.running_usage,
    )
    timeouts = target.timeouts
    if context.attribution.timeout_s is not None:
        timeouts = _within(timeouts, context.deadline_s - time.monotonic())
    call = launch(way.transport, target, request, wish, timeouts)
    attempt = Attempt(departure.name, deployment, target, call)
    context.deployment = deployment
    relay = Relay(context, reply, Settlement(context, attempt, permit, way.recorder))
    route = context.route
    if route is not None and route.model.hedge is not None and attempt.kind == "first":
        relay.hedge_at_s = way.health.expect_first_byte(route.model, deployment, attempt.sent_s)
    return relay


def _longest(context: RequestContext) -> int | None:
    """The agent's bound on answers, which holds without any budget too."""
    assert context.principal is not None, "an exchange begins after authentication"  # noqa: S101 -- as above
    if context.api == EMBEDDINGS:
        return None
    return context.snapshot.agents[context.principal.agent].max_output_tokens


def _within(timeouts: Timeouts, left_s: float) -> Timeouts:
    """Time-outs that end by the client's own deadline."""
    left_s = max(0.001, left_s)
    return Timeouts(
        min(timeouts.connect_s, left_s),
        min(timeouts.first_byte_s, left_s),
        min(timeouts.idle_s, left_s),
        min(timeouts.total_s, left_s),
    )
