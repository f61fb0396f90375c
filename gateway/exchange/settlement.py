"""The one moment at which an attempt becomes a charge. Never waits for anything, so nothing can come in between."""

from __future__ import annotations

import time

from gateway.context import RequestContext
from gateway.telemetry.events import ChargePosted
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import NOTHING, Attempt, Bill, ServiceTiers
from gateway.wire.answers import StreamObserver
from gateway.wire.requests import ModelRequest
from routing.money import NanoUsd, Usage

_PURPOSES = {"ok": "useful", "cancelled": "cancelled", "drained": "cancelled"}


class Settlement:
    """Settles one attempt, once."""

    __slots__ = ("_context", "_recorder", "_request", "attempt", "observer")

    def __init__(self, context: RequestContext, request: ModelRequest, attempt: Attempt, recorder: Recorder) -> None:
        self._context = context
        self._request = request
        self._recorder = recorder
        self.attempt = attempt
        self.observer = StreamObserver(request.profile.answers)

    @property
    def done(self) -> bool:
        """Whether the attempt is settled."""
        return self.attempt.settled

    def price(self, usage: Usage, service_tier: str | None, *, estimated: bool) -> Bill:
        """What `usage` costs, in the tier that the answer names."""
        tiers = ServiceTiers(self._request.profile.service_tier, service_tier)
        return self.attempt.price(usage, tiers, self._context.arrived_at_s, estimated=estimated)

    def nothing(self, outcome: str) -> None:
        """Nothing can have been billed."""
        self.settle(outcome, NOTHING, estimated=False)

    def unseen(self, outcome: str) -> None:
        """It may have been billed, though nothing of its answer was seen."""
        self.settle(outcome, self.attempt.estimate_unseen(self._request.profile), estimated=True)

    def size(self, outcome: str, content_events: int, text_bytes: int) -> None:
        """An answer that said nothing of its usage: estimated from its size."""
        usage = self.attempt.estimate(self._request.profile, content_events, text_bytes)
        self.settle(outcome, usage, estimated=True)

    def observed(self, outcome: str) -> None:
        """Settle with the provider's usage where it came, else with an estimate of what was seen, or may have been."""
        observer, attempt = self.observer, self.attempt
        if observer.usage is not None and (observer.complete or not observer.outdated):
            self.settle(outcome, observer.usage, estimated=False, service_tier=observer.service_tier)
        elif observer.content_events:
            usage = attempt.estimate(self._request.profile, observer.content_events, observer.text_bytes)
            if observer.usage is not None:  # what was reported before the last content, at least
                usage = Usage(*map(max, usage, observer.usage))
            self.settle(outcome, usage, estimated=True, service_tier=observer.service_tier)
        else:
            self.unseen(outcome)

    def settle(self, outcome: str, usage: Usage, *, estimated: bool, service_tier: str | None = None) -> Bill:
        """Post the charge. Whoever finds the attempt settled must not call this."""
        attempt, context = self.attempt, self._context
        assert not attempt.settled, "an attempt is settled once"  # noqa: S101 -- guards a programming error
        attempt.settled = True
        bill = self.price(usage, service_tier, estimated=estimated)
        context.cost = NanoUsd(context.cost + bill.cost)
        charge = self._charge(outcome, bill)
        if context.permit is not None:
            context.permit.settle(charge)
        self._recorder.record(charge)
        return bill

    def _charge(self, outcome: str, bill: Bill) -> ChargePosted:
        attempt, context = self.attempt, self._context
        principal, route, deployment, permit = context.principal, context.route, attempt.deployment, context.permit
        attribution, now_s = context.attribution, time.time()
        assert principal is not None  # noqa: S101 -- guards a programming error
        assert route is not None  # noqa: S101 -- as above
        first_byte_s = attempt.first_byte_s
        return ChargePosted(
            f"{context.request_id}.{attempt.number}",
            context.request_id,
            attempt.number,
            now_s,
            principal.org,
            principal.team,
            principal.agent,
            route.model.name,
            deployment.id,
            deployment.provider,
            deployment.upstream_model,
            bill.usage,
            bill.price_point,
            bill.service_tier,
            bill.cost,
            bill.estimated,
            deployment.unpriced,
            outcome,
            _PURPOSES.get(outcome, "failed"),
            attempt.status,
            (time.monotonic() - attempt.sent_s) * 1000,
            None if first_byte_s is None else (first_byte_s - attempt.sent_s) * 1000,
            permit.run_path
            if permit is not None
            else f"{principal.agent}/{attribution.run}"
            if attribution.run
            else "",
            attribution.user,
            attribution.tags,
            now_s if permit is None else permit.window_at_s,
            "released" if bill.usage is NOTHING else "settled",
            NanoUsd(0) if permit is None else permit.reserved,
        )
