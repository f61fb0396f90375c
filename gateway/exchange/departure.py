"""The beginning of one attempt: its request in the provider's words, sent off."""

from __future__ import annotations

import time

from gateway.admission.permit import Permit
from gateway.config.snapshot import Timeouts
from gateway.context import RequestContext
from gateway.upstream.dialects.protocol import Wish
from gateway.upstream.launch import Target, launch, target_of
from gateway.upstream.transport import Call, Transport
from gateway.wire.requests import EMBEDDINGS
from routing.catalog import Deployment


def depart(
    context: RequestContext, transport: Transport, deployment: Deployment, permit: Permit | None
) -> tuple[Call, Target]:
    """Send an attempt's request. `permit` is None where nothing governs it.

    Raises BadRequest, with nothing sent, when the deployment's dialect cannot say the request.
    """
    snapshot, request = context.snapshot, context.request
    assert request is not None, "an exchange begins after reading"  # noqa: S101 -- guards a programming error
    target = target_of(snapshot.endpoints[deployment.provider], snapshot.timeouts.get(deployment.id), request)
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
    wanted_s = context.attribution.timeout_s
    if wanted_s is not None:  # the client's own, not its deadline: what ends by ours counts for the breaker
        timeouts = _within(timeouts, context.arrived_s + wanted_s - time.monotonic())
    call = launch(transport, target, request, wish, timeouts)
    context.deployment = deployment
    return call, target


def _longest(context: RequestContext) -> int | None:
    """The agent's bound on answers, which holds without any budget too."""
    assert context.principal is not None, "an exchange begins after authentication"  # noqa: S101 -- as above
    if context.request is not None and context.request.api == EMBEDDINGS:
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
