"""A candidate as a bid: what it counts in, and the amounts that it asks for. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.admission.claims import Coverage, is_all_calibrated
from gateway.config.snapshot import Agent
from gateway.errors import CostUnbounded
from gateway.learned.expectations import Expectation
from gateway.ledger.meter import Meter, Terms, opening_tokens
from gateway.ledger.operations import Amounts, Bid, Origin, Unit
from gateway.pricing.bounds import Bound, bound
from gateway.wire.assemble import assemblable
from gateway.wire.requests import EMBEDDINGS, ModelRequest
from routing.catalog import Deployment
from routing.money import NanoUsd, Price, Usage, cost

UNBOUNDED_OUTPUT_TOKENS = 4_096
"""What is counted for an answer that nothing bounds, where no enforced budget needs to know better."""


class Offer(NamedTuple):
    """A bid, and what is needed to make use of it."""

    deployment: Deployment
    bid: Bid
    bound: Bound | None
    """None where nothing bounds the cost, and no enforced budget asks."""
    metered: bool
    """Whether its stream is counted while it runs."""
    opening: Amounts
    """The least that is worth beginning a metered stream with: it ends its margin earlier, unless it is extended. Its
    bid's own least is without the margin, for an answer that the provider bounds."""
    learns: bool
    """Whether its answer's size is worth remembering."""
    tokens_per_byte: float = 1.0
    """What a metered one expects of its input."""
    cap: int | None = None
    """The longest answer that the agent may have, where there is no bound to say so."""

    def meter(self, granted: NanoUsd, max_output_tokens: int | None) -> Meter | None:
        """The meter of its stream, for `granted` nano-USD; None when it is not metered."""
        bound, metering = self.bound, self.deployment.metering
        if not self.metered or bound is None or metering is None:
            return None
        longest = bound.output_tokens if max_output_tokens is None else max_output_tokens + bound.predicted_tokens
        terms = Terms(
            NanoUsd(self.expected_input.money),
            bound.output_rate,
            NanoUsd(bound.expected(longest, self.tokens_per_byte).money),
            bound.answers,
        )
        return Meter(metering, terms, granted)

    @property
    def is_budgeted(self) -> bool:
        """Whether anything counts its money or tokens: then its charge must not fall short of its bill."""
        return any(claim.unit is Unit.MONEY or claim.unit is Unit.TOKENS for claim in self.bid.claims)

    @property
    def is_mixed(self) -> bool:
        """Whether some of what counts its money or tokens is strict, though it is metered."""
        return self.metered and not is_all_calibrated(self.bid.claims)

    @property
    def expected_input(self) -> Amounts:
        """The fee and the input as it is expected."""
        assert self.bound is not None  # noqa: S101 -- only of metered offers
        return self.bound.expected(0, self.tokens_per_byte)


class Asked(NamedTuple):
    """What is the same for all candidates of a request."""

    request: ModelRequest
    agent: Agent
    expected: Expectation
    now_s: float
    whole: bool = False
    """Whether nothing less than the whole amount will do. Metered streams are asked for as ever."""


def is_meterable(request: ModelRequest, agent: Agent, deployment: Deployment) -> bool:
    """Whether the answer can be counted while it is generated: as a stream, the client's or our own."""
    if deployment.metering is None or request.api == EMBEDDINGS or not request.countable or request.extent is not None:
        return False
    return request.stream or (agent.assemble_whole_answers and assemblable(request))


def offer(asked: Asked, deployment: Deployment, coverage: Coverage, origin: Origin) -> Offer:
    """The bid of one candidate. Raises CostUnbounded when an enforced budget covers what nothing bounds."""
    request, agent, expected = asked.request, asked.agent, asked.expected
    try:
        limits = bound(request, deployment, agent.max_output_tokens, asked.now_s)
    except CostUnbounded:
        if any(claim.enforced and claim.unit in (Unit.MONEY, Unit.TOKENS) for claim in coverage.claims):
            raise
        return _unbounded(asked, deployment, coverage, origin)
    strict = calibrated = limits.strict
    metered = coverage.calibrated
    tokens_per_byte = 1.0
    margin = 0
    if metered:
        margin = opening_tokens(deployment.metering) if deployment.metering is not None else 0
        calibrated = limits.expected(expected.output_tokens + margin, expected.tokens_per_byte)
        tokens_per_byte = expected.tokens_per_byte
    least = opening = strict
    shortest = agent.clamp_min_output_tokens
    if shortest is not None and limits.answers and (metered or not asked.whole) and request.extent is None:
        least = opening = _least(limits, shortest, tokens_per_byte, coverage)
        if margin:
            opening = _least(limits, shortest + margin, tokens_per_byte, coverage)
    rate_tokens = request.profile.input_tokens + limits.answers * min(limits.output_tokens, expected.output_tokens)
    if request.extent is not None:
        rate_tokens = sum(request.extent.estimate[:2])
    bid = Bid(coverage.claims, coverage.rates, strict, calibrated, least, rate_tokens, origin, coverage.recurs)
    learns = (metered or agent.reserve == "calibrated") and request.extent is None
    return Offer(deployment, bid, limits, metered, opening, learns, tokens_per_byte)


def _least(limits: Bound, output_tokens: int, tokens_per_byte: float, coverage: Coverage) -> Amounts:
    """The least that is worth having: for strict claims with the whole bound on the input, else as it is expected."""
    if coverage.all_calibrated:
        return limits.expected(output_tokens, tokens_per_byte)
    return limits.least(output_tokens)


def _unbounded(asked: Asked, deployment: Deployment, coverage: Coverage, origin: Origin) -> Offer:
    profile, price = asked.request.profile, deployment.price
    assert isinstance(price, Price), "a deployment without a price is never called"  # noqa: S101 -- the pipeline refuses it
    bounds = [most for most in (profile.max_output_tokens, asked.agent.max_output_tokens) if most is not None]
    output = min(bounds, default=UNBOUNDED_OUTPUT_TOKENS) * profile.answers
    extent = asked.request.extent
    usage = Usage(profile.input_tokens, output) if extent is None else extent.estimate
    point = price.at(usage.input_tokens, asked.now_s, profile.service_tier)
    amounts = Amounts(cost(usage, point), usage.input_tokens + usage.output_tokens)
    bid = Bid(coverage.claims, coverage.rates, amounts, amounts, amounts, amounts.tokens, origin, coverage.recurs)
    cap = None if asked.request.api == EMBEDDINGS or asked.request.extent is not None else asked.agent.max_output_tokens
    return Offer(deployment, bid, None, False, amounts, False, cap=cap)
