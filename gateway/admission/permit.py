"""What an admitted attempt may spend, and the way back to the store."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.admission.bids import Offer
from gateway.learned.expectations import Expectation
from gateway.ledger.operations import Amounts, Extension, Granted
from gateway.store.protocol import Store
from gateway.telemetry.events import ChargePosted
from routing.catalog import Deployment
from routing.money import NanoUsd, Usage


class Learner(Protocol):
    """What is learned of agents' requests to models."""

    def expect(self, agent: str, model: str) -> Expectation:
        """What most of an agent's requests to a model stay below."""
        ...

    def observe(
        self, agent: str, model: str, input_bytes: int, usage: Usage, *, truncated: bool, answers: int = 1
    ) -> None:
        """Learn from an answer whose usage the provider reported."""
        ...


class Keepers(NamedTuple):
    """Who hears of an attempt under way."""

    store: Store
    learner: Learner


class Permit:
    """One attempt's reservation, pending until it is settled or released."""

    __slots__ = (
        "_learner",
        "_store",
        "clamped",
        "granted",
        "headers",
        "id",
        "max_output_tokens",
        "offer",
        "reserved",
        "window_at_s",
    )

    def __init__(
        self, keepers: Keepers, reservation: str, offer: Offer, granted: Granted, *, bounded: bool = False
    ) -> None:
        """`bounded`: nothing more will be there for a metered stream, so the provider is to bound it."""
        self._store, self._learner = keepers
        self.id = reservation
        self.offer = offer
        """The candidate that fitted."""
        self.granted = granted
        self.window_at_s = granted.at_s
        """The moment whose windows its charge counts in: the reservation's, or the outermost carve's that it spends."""
        self.reserved = NanoUsd((granted.calibrated if offer.metered else granted.strict).money)
        """The most it may cost: what its tightest claims hold."""
        bounded = bounded and offer.metered and granted.calibrated != offer.bid.calibrated
        self.clamped = (bounded or granted.strict != offer.bid.strict) and offer.bound is not None
        """Whether its answer is bounded lower than the client asked for, for want of room."""
        self.max_output_tokens: int | None = offer.cap
        """The bound to write into the request; None leaves the client's own."""
        if offer.bound is not None:
            bound = offer.bound
            self.max_output_tokens = bound.tokens_for(granted.strict) if self.clamped else bound.set_max_tokens
            if bounded:
                paid = bound.tokens_for(granted.calibrated, offer.tokens_per_byte)
                self.max_output_tokens = min(self.max_output_tokens or 0, paid)
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """For the answer: what is left, and what was shortened."""

    @property
    def deployment(self) -> Deployment:
        """Where the attempt goes."""
        return self.offer.deployment

    @property
    def tokens_per_event(self) -> int:
        """What one event of its stream counts for."""
        metering = self.deployment.metering
        return 1 if metering is None else metering.tokens_per_event

    @property
    def running_usage(self) -> bool:
        """Whether its stream is to say in every event what was used so far. With several answers each tells its own."""
        offer, metering = self.offer, self.deployment.metering
        answers = 0 if offer.bound is None else offer.bound.answers
        return offer.metered and answers == 1 and metering is not None and metering.running_usage

    @property
    def run_path(self) -> str:
        """The runs from the root to the attempt's own."""
        return self.offer.bid.origin.run_path

    async def extend(self, more: Amounts) -> Extension:
        """Reserve more for a metered stream. Raises StoreUnavailable."""
        answer = await self._store.extend(self.id, more)
        if answer == "extended":
            self.reserved = NanoUsd(self.reserved + more.money)
        return answer

    def release(self) -> None:
        """No attempt was made: give all of it back."""
        self._store.release(self.id)

    def settle(self, charge: ChargePosted) -> None:
        """The attempt is over: post its charge, or give all of it back."""
        if charge.resolution == "released":
            self._store.release(self.id, charge)
        else:
            tokens = charge.usage.input_tokens + charge.usage.output_tokens
            self._store.settle(self.id, Amounts(charge.cost_nano_usd, tokens), charge)

    def learn(self, usage: Usage, *, cut: bool = False, shortened: bool = False) -> None:
        """The provider has told what a whole answer took: remember it for the next one like it.

        One that was `cut` at a bound, whoever's, or `shortened` for want of money, would have taken at least so much;
        of the latter's input nothing was told.
        """
        offer = self.offer
        if offer.learns and offer.bound is not None:
            origin, bound = offer.bid.origin, offer.bound
            text_bytes = bound.text_bytes if bound.text_tokens == bound.input_tokens and not shortened else 0
            longest = bound.output_tokens if self.max_output_tokens is None else self.max_output_tokens
            cut = cut or shortened or usage.output_tokens >= longest * bound.answers
            self._learner.observe(origin.agent, origin.model, text_bytes, usage, truncated=cut, answers=bound.answers)
