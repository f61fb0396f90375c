"""One upstream call: what it was, how it ended, and its charge, posted exactly once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.errors import FareboxError, UpstreamFailure, UpstreamTimeout
from gateway.pricing.estimate import estimate_output_tokens
from gateway.upstream.dialects.protocol import BILLS_AS_REPORTED, Complaint
from gateway.upstream.launch import Target
from gateway.upstream.transport import Call, ResponseTooLarge, TimedOut, TransportError, Unreachable
from routing.catalog import Deployment
from routing.failures import Failure
from routing.money import ZERO, NanoUsd, Price, Usage, cost
from routing.profile import RequestProfile
from routing.tariff import fee, units_text

FAST_TOKENS_PER_S = 200
"""What an unseen answer may have been generated at: faster than most models, so that the estimate is rather high."""
UNSEEN_TOKENS_MAX = 4096
"""The bound on an unseen answer's estimate when the client gave none."""

Kind = Literal["first", "fallback", "retry", "hedge"]
"""Why an attempt was made."""

NOTHING = Usage()
"""The usage of a call that cannot have been billed: not even a fee per request is due."""


class Bill(NamedTuple):
    """What an attempt cost."""

    usage: Usage
    estimated: bool
    cost: NanoUsd
    price_point: str
    service_tier: str
    listed: NanoUsd | None = None
    """What the price list says, where `cost` is the provider's word."""
    fee: NanoUsd = ZERO
    """Part of `cost`: what the deployment's tariff asks for `units`."""
    units: str = ""
    """What was billed by count, or would have been: `web_search=2`."""


class Attempt:
    """One call to one deployment."""

    __slots__ = (
        "billed",
        "call",
        "deployment",
        "ended_s",
        "failure",
        "first_byte_s",
        "id",
        "kind",
        "number",
        "sent_s",
        "settled",
        "status",
        "target",
        "went_well",
    )

    def __init__(  # noqa: PLR0917 -- all of it says which call it is
        self, id: str, number: int, kind: Kind, deployment: Deployment, target: Target, call: Call
    ) -> None:
        self.id = id
        """`<request id>.<number>`: of its reservation and its charge too."""
        self.number = number
        """1 for the request's first."""
        self.kind: Kind = kind
        self.deployment = deployment
        self.target = target
        self.call = call
        self.sent_s = time.monotonic()
        self.ended_s: float | None = None
        self.failure: Failure | None = None
        """How it failed; None while it has not."""
        self.first_byte_s: float | None = None
        self.status: int | None = None
        self.settled = False
        """Set by the one settlement. Whoever finds it set must not settle again."""
        self.billed = False
        """Whether its charge is for anything: then the same again may be paid for twice."""
        self.went_well = False
        """Whether its charge says so."""

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means, in the provider's own words."""
        return self.target.dialect.complaint(status, body)

    def price(
        self,
        usage: Usage,
        asked: str,
        served: str | None,
        now_s: float,
        *,
        estimated: bool,
        services: Mapping[str, int] | None = None,
    ) -> Bill:
        """What `usage` costs here, in the service tier that was `served`: it may be another than was `asked` for.

        An answer that names none (None) may have been served in either: the dearer one counts. `services`: how many
        there were of each unit that the deployment's tariff may ask a fee for.
        """
        tier = served or asked
        if usage is NOTHING:
            return Bill(NOTHING, estimated, NanoUsd(0), "", tier)
        bill = self._price_in(usage, tier, now_s, estimated)
        if served is None and tier != "default":
            bill = max(bill, self._price_in(usage, "default", now_s, estimated), key=_by_cost)
        if services:
            charged = fee(self.deployment.tariff, services)
            bill = bill._replace(cost=NanoUsd(bill.cost + charged), fee=charged, units=units_text(services))
        return bill

    def as_reported(self, bill: Bill, reported: NanoUsd) -> Bill:
        """The bill with what the provider says that it costs, where that is what it bills. An estimate stays one."""
        if self.target.dialect.name not in BILLS_AS_REPORTED or bill.estimated or bill.usage is NOTHING:
            return bill
        return bill._replace(cost=reported, listed=bill.cost)

    def _price_in(self, usage: Usage, tier: str, now_s: float, estimated: bool) -> Bill:
        price = self.deployment.price
        assert isinstance(price, Price), "a deployment without a price is never called"  # noqa: S101 -- the pipeline refuses it
        point = price.at(usage.input_tokens, now_s, tier)
        return Bill(usage, estimated, cost(usage, point), point.id, tier)

    def estimate(self, profile: RequestProfile, content_events: int, text_bytes: int) -> Usage:
        """Usage of a call whose provider sent none, from what was seen of its answer: rather high than low, never 0."""
        return Usage(profile.input_tokens, estimate_output_tokens(content_events, text_bytes))

    def estimate_unseen(self, profile: RequestProfile) -> Usage:
        """Usage of a call that may have been billed though nothing of its answer was seen."""
        bound = UNSEEN_TOKENS_MAX if profile.max_output_tokens is None else profile.max_output_tokens
        elapsed = int((time.monotonic() - self.sent_s) * FAST_TOKENS_PER_S) + 1
        return Usage(profile.input_tokens, min(bound, elapsed) * profile.answers)


def _by_cost(bill: Bill) -> int:
    return bill.cost


def outcome_of(error: TransportError) -> str:
    """The charge's outcome for an answer that did not come, or not whole."""
    if isinstance(error, TimedOut):
        return "timeout"
    if isinstance(error, Unreachable):
        return "unreachable"
    if isinstance(error, ResponseTooLarge):
        return "malformed"
    return "cut"


def client_error(provider: str, error: TransportError) -> FareboxError:
    """What the client is told about it."""
    if isinstance(error, TimedOut):
        return UpstreamTimeout(
            f"The provider `{provider}` did not answer in time ({error}). The request can be tried again.",
            reason=f"{error.phase}_timeout",
        )
    if isinstance(error, Unreachable):
        return UpstreamFailure(
            f"The provider `{provider}` cannot be reached: {error}. Nothing was billed.", reason="unreachable"
        )
    if isinstance(error, ResponseTooLarge):
        return UpstreamFailure(
            f"The answer of the provider `{provider}` is larger than the gateway accepts ({error}).",
            reason="response_too_large",
        )
    return UpstreamFailure(
        f"The connection to the provider `{provider}` broke before its answer was whole. It was not sent again, "
        "because the provider may have billed it.",
        reason="connection_broken",
    )
