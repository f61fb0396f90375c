"""The one moment at which an attempt becomes a charge. Never waits for anything, so nothing can come in between."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from gateway.admission.permit import Permit
from gateway.context import RequestContext
from gateway.ledger.meter import Meter
from gateway.pricing.extents import Billed, billed, unseen
from gateway.telemetry.events import WELL, ChargePosted
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import NOTHING, Attempt, Bill, Kind, outcome_of
from gateway.upstream.refusals import may_be_billed
from gateway.upstream.transport import TransportError
from gateway.wire.extent import Extent
from gateway.wire.other_answers import OtherObserver
from gateway.wire.requests import ModelRequest
from gateway.wire.wires import Observer
from routing.money import NanoUsd, Usage

_UNREAD_BYTES = 4_096
"""More than the events of a moment."""
_NOT_RESERVED = NanoUsd(0)
_PURPOSES = {
    "ok": "useful",
    "shortened": "useful",
    "cancelled": "cancelled",
    "drained": "cancelled",
    "unverified": "unverified",
}


def _purpose(outcome: str, kind: Kind, *, looping: bool) -> str:
    """What the money went for: a failed attempt for nothing, a second one for what it was begun for."""
    purpose = _PURPOSES.get(outcome, "failed")
    if kind != "first" and purpose not in {"failed", "unverified"}:
        return kind
    return "loop" if looping and purpose == "useful" else purpose


class Settlement:
    """Settles one attempt, once."""

    __slots__ = (
        "_context",
        "_observer",
        "_recorder",
        "_request",
        "attempt",
        "meter",
        "permit",
        "reported",
        "services",
        "usage",
    )

    def __init__(self, context: RequestContext, attempt: Attempt, permit: Permit | None, recorder: Recorder) -> None:
        """`permit` is None where nothing governs the attempt."""
        assert context.request is not None  # noqa: S101 -- guards a programming error
        self._context = context
        self._request: ModelRequest = context.request
        self._recorder = recorder
        self.attempt = attempt
        self.permit = permit
        self.meter = None if permit is None else permit.offer.meter(permit.reserved, permit.max_output_tokens)
        """Counts the stream, where what is reserved for it is less than its bound."""
        self._observer: Observer | None = None
        self.usage: Usage | None = None
        """As it was settled, where a policy decided."""
        self.reported: NanoUsd | None = None
        """What the provider said that a whole answer costs; of a stream the observer knows."""
        self.services: Mapping[str, int] | None = None
        """How often a whole answer says that the provider ran what it bills beside tokens; of a stream as above."""

    @property
    def observer(self) -> Observer:
        """What was seen of its stream. Made when it is first asked for: whole answers need none."""
        observer = self._observer
        if observer is None:
            answers = self._request.profile.answers
            observer = self._observer = self.attempt.target.wire.observer(answers, remember=self.meter is not None)
        return observer

    @property
    def done(self) -> bool:
        """Whether the attempt is settled."""
        return self.attempt.settled

    def price(self, usage: Usage, service_tier: str | None, *, estimated: bool) -> Bill:
        """What `usage` costs, in the tier that the answer names, or what the provider says where its word counts."""
        asked = self._request.profile.service_tier
        services = self._services(estimated=estimated)
        bill = self.attempt.price(
            usage, asked, service_tier, self._context.arrived_at_s, estimated=estimated, services=services
        )
        reported = self.reported
        if reported is None and self._observer is not None:
            reported = self._observer.reported
        return bill if reported is None else self.attempt.as_reported(bill, reported)

    def _services(self, *, estimated: bool) -> Mapping[str, int] | None:
        """How often the provider ran what it bills beside tokens: as it said, and where it did not come to that, and a
        budget governs it, as often as it may have."""
        said, native, permit = self.services, self._request.native, self.permit
        if said is None and self._observer is not None:
            said = self._observer.services
        if native is None or not native.services or not estimated or permit is None or not permit.offer.is_budgeted:
            return said
        most: dict[str, int] = {}
        for service in native.services:
            most[service.name] = most.get(service.name, 0) + (service.most or 0)
        return most if said is None else {**said, **{name: max(said.get(name, 0), most[name]) for name in most}}

    def nothing(self, outcome: str) -> None:
        """Nothing can have been billed."""
        self.settle(outcome, NOTHING, estimated=False)

    def unseen(self, outcome: str) -> Bill:
        """It may have been billed, though nothing of its answer was seen."""
        if self._request.extent is not None:
            return self._beside_chat(outcome, self._request.extent)
        usage = self._most() or self.attempt.estimate_unseen(self._request.profile)
        return self.settle(outcome, usage, estimated=True)

    def size(self, outcome: str, content_events: int, text_bytes: int, *, service_tier: str | None = None) -> Bill:
        """An answer that said nothing of its usage: estimated from its size, where no budget asks for the most."""
        if self._request.extent is not None:
            return self._beside_chat(outcome, self._request.extent)
        usage = self._most() or self.attempt.estimate(self._request.profile, content_events, text_bytes)
        return self.settle(outcome, usage, estimated=True, service_tier=service_tier)

    def shortened(self) -> Bill:
        """The stream was ended because its money was."""
        usage = self._most()
        assert usage is not None, "only metered streams are"  # noqa: S101 -- guards a programming error
        bill = self.settle("shortened", usage, estimated=True)
        permit = self.permit
        if permit is not None:
            seen = min(usage.output_tokens, 0 if self.meter is None else self.meter.seen)
            permit.learn(usage._replace(output_tokens=seen), shortened=True)
        return bill

    def observed(self, outcome: str) -> Bill:
        """Settle with the provider's usage where it came, else with an estimate of what was seen, or may have been."""
        observer, attempt = self.observer, self.attempt
        if self._request.extent is not None:
            return self._beside_chat(outcome, self._request.extent)
        usage, tier, most = observer.usage, observer.service_tier, None
        if not observer.complete or usage is None:
            most = self._most()
        if usage is not None and (observer.complete or (most is None and not observer.outdated)):
            return self.settle(outcome, usage, estimated=False, service_tier=tier, cut=observer.cut)
        if most is None:
            if not observer.content_events:
                return self.unseen(outcome)
            most = attempt.estimate(self._request.profile, observer.content_events, observer.text_bytes)
            if usage is not None:  # what was reported before the last content, at least
                most = Usage(*map(max, most, usage))
        return self.settle(outcome, most, estimated=True, service_tier=tier)

    def told(self, outcome: str, usage: Usage | None, counted: Mapping[str, int] | None) -> Bill:
        """A whole answer of an API beside chat: what it told of its tokens, and of its units."""
        extent = self._request.extent
        assert extent is not None, "it is beside chat"  # noqa: S101 -- guards a programming error
        return self._as_billed(
            outcome, billed(extent, usage, counted, self.attempt.deployment, self._context.arrived_at_s)
        )

    def _beside_chat(self, outcome: str, extent: Extent) -> Bill:
        """An answer beside chat as far as it was seen."""
        observer, permit = self._observer, self.permit
        if isinstance(observer, OtherObserver) and (observer.complete or observer.done):
            return self.told(outcome, observer.usage, observer.counted())
        most = permit is not None and permit.offer.bound is not None and permit.offer.is_budgeted
        return self._as_billed(outcome, unseen(extent, self.attempt.deployment, self._context.arrived_at_s, most=most))

    def _as_billed(self, outcome: str, found: Billed) -> Bill:
        self.services = found.services or {}
        return self.settle(outcome, found.usage, estimated=found.estimated)

    def broken(self, error: TransportError) -> None:
        """The connection to the provider broke. A settled attempt stays as it is."""
        if self.done:
            return
        outcome = outcome_of(error)
        if not error.sent:
            self.nothing(outcome)
        elif self._is_refused:
            self.nothing("error")
        else:
            self.observed(outcome)

    def interrupted(self, outcome: str) -> None:
        """It was given up by the client or by us. A settled attempt stays as it is."""
        if self.done:
            return
        if not self.attempt.call.sent or self._is_refused:
            self.nothing(outcome)
        else:
            self.observed(outcome)

    @property
    def _is_refused(self) -> bool:
        """Whether the provider's status says that nothing was generated."""
        status = self.attempt.status
        return status is not None and not 200 <= status < 300 and not may_be_billed(status)

    def _most(self) -> Usage | None:
        """The most that an attempt which was broken off can have used; None when no budget asks, or nothing bounds it.

        What the provider has reported of its input is known; of its output it may have been too early to tell.
        """
        most, known = self._unreported(), self.observer.usage
        if most is None or known is None:
            return most
        return known._replace(output_tokens=max(most.output_tokens, known.output_tokens))

    def _unreported(self) -> Usage | None:
        """The most that can have been used, for all that the provider has not said.

        Where a budget governs it the charge must not fall short of the bill. How fast a deployment generates at most,
        and how soon it stops, is what its operator declares; without that all that was reserved may have been used.
        """
        permit = self.permit
        if permit is None or permit.offer.bound is None or not permit.offer.is_budgeted:
            return None
        if self.meter is not None:
            return Usage(permit.offer.expected_input.tokens, self._metered(permit, self.meter))
        bound, metering = permit.offer.bound, permit.deployment.metering if self._request.countable else None
        longest = bound.output_tokens
        if permit.max_output_tokens is not None:
            longest = min(longest, permit.max_output_tokens + bound.predicted_tokens)
        most = longest * bound.answers
        if metering is not None and not self._fell_behind:
            elapsed_s = time.monotonic() - self.attempt.sent_s
            generated = math.ceil(elapsed_s * metering.tokens_per_s) * bound.answers
            if self.observer.content_events:
                generated = self.observer.counted_tokens(metering.tokens_per_event)
            most = min(most, generated + metering.margin_tokens * bound.answers)
        return Usage(bound.input_tokens, most)

    def _metered(self, permit: Permit, meter: Meter) -> int:
        """The output tokens of a metered stream that was broken off, at most."""
        meter.count(self.observer.counted_tokens(permit.tokens_per_event))
        metering = permit.deployment.metering
        if metering is None or not (meter.late or self._fell_behind):
            return meter.spent_tokens()
        elapsed_s = time.monotonic() - self.attempt.sent_s
        return meter.generated_tokens(math.ceil(elapsed_s * metering.tokens_per_s))

    @property
    def _fell_behind(self) -> bool:
        """Whether it was not read as it came, as after a stop of the process: much may be on the way, unseen."""
        return self.attempt.call.unread > _UNREAD_BYTES

    def settle(
        self, outcome: str, usage: Usage, *, estimated: bool, service_tier: str | None = None, cut: bool = False
    ) -> Bill:
        """Post the charge. Whoever finds the attempt settled must not call this.

        `cut`: the answer reached a bound on its length.
        """
        attempt, context = self.attempt, self._context
        assert not attempt.settled, "an attempt is settled once"  # noqa: S101 -- guards a programming error
        if self._request.is_free:
            usage = NOTHING
        attempt.settled = True
        attempt.went_well = outcome in WELL
        attempt.billed = usage is not NOTHING
        bill = self.price(usage, service_tier, estimated=estimated)
        context.cost = NanoUsd(context.cost + bill.cost)
        if context.decided is not None:
            self.usage = usage
            if attempt.went_well:
                context.decided.usage = usage
        charge = self._charge(outcome, bill)
        permit = self.permit
        if permit is not None:
            permit.settle(charge)
            if outcome in {"ok", "unverified"} and not estimated and attempt.billed:
                permit.learn(usage, cut=cut)
        self._recorder.record(charge)
        return bill

    def _charge(self, outcome: str, bill: Bill) -> ChargePosted:
        attempt, context = self.attempt, self._context
        principal, deployment, permit = context.principal, attempt.deployment, self.permit
        attribution, now_s = context.attribution, time.time()
        assert principal is not None  # noqa: S101 -- guards a programming error
        first_byte_s, ended_s = attempt.first_byte_s, time.monotonic()
        if permit is None:
            run_path = f"{principal.agent}/{attribution.run}" if attribution.run else ""
            window_at_s, reserved, reserved_at_s = now_s, _NOT_RESERVED, 0.0
        else:
            run_path, window_at_s, reserved = permit.run_path, permit.window_at_s, permit.reserved
            reserved_at_s = permit.granted.at_s if permit.granted.at_s != window_at_s else 0.0
        return ChargePosted(
            attempt.id,
            context.request_id,
            attempt.number,
            now_s,
            principal.org,
            principal.team,
            principal.agent,
            deployment.model,
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
            _purpose(outcome, attempt.kind, looping=context.looping),
            attempt.status,
            (ended_s - attempt.sent_s) * 1000,
            None if first_byte_s is None else (first_byte_s - attempt.sent_s) * 1000,
            run_path,
            attribution.user,
            attribution.tags,
            window_at_s,
            "released" if bill.usage is NOTHING else "settled",
            reserved,
            reserved_at_s,
            bill.listed,
            bill.fee,
            bill.units,
        )
