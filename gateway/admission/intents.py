"""Attempts that nothing governs: noted before they are sent, so that a killed gateway leaves none uncharged."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.admission.bids import UNBOUNDED_OUTPUT_TOKENS
from gateway.admission.origins import origin_of
from gateway.config.snapshot import Agent
from gateway.context import RequestContext
from gateway.errors import BudgetStoreUnavailable
from gateway.ledger.operations import Amounts, Origin
from gateway.store.protocol import StoreUnavailable
from gateway.telemetry.events import ChargePosted, Event
from routing.catalog import Deployment
from routing.money import Price, cost_of_text


class IntentLog(Protocol):
    """The part of the memory store that remembers what was about to be sent."""

    def intend(self, attempt: str, at_s: float, charged: Amounts, origin: Origin) -> Awaitable[None] | None:
        """Note an attempt, and what it is charged if nobody lives to settle it. Raises StoreUnavailable.

        What it returns has to be awaited before anything is sent.
        """
        ...

    def forget_intents(self, attempts: Sequence[str]) -> None:
        """Their charges are on their way to the journal: nothing need be known of them any more."""
        ...

    def withdraw_intent(self, attempt: str) -> None:
        """Nothing was sent."""
        ...


class Intents:
    """The intents of one gateway. A `Sink`: it hears from the charges which of them are over."""

    def __init__(self, log: IntentLog) -> None:
        self._log = log

    def note(self, context: RequestContext, deployment: Deployment, number: int) -> Awaitable[None] | None:
        """Note attempt `number` of a routed request, to `deployment`. Await what it returns, if anything.

        Raises BudgetStoreUnavailable when it cannot be noted: then it must not be sent.
        """
        principal = context.principal
        assert principal is not None  # noqa: S101 -- guards a programming error
        agent = context.snapshot.agents[principal.agent]
        amounts, origin = _amounts(context, agent, deployment), origin_of(context, agent, deployment, (), number)
        try:
            return self._log.intend(f"{context.request_id}.{number}", context.arrived_at_s, amounts, origin)
        except StoreUnavailable as error:
            raise BudgetStoreUnavailable(
                f"What this request may spend cannot be noted now ({error}), so it is not sent. Try again.",
                reason="store",
            ) from None

    def withdraw(self, context: RequestContext, number: int) -> None:
        """Attempt `number` was not sent after all."""
        self._log.withdraw_intent(f"{context.request_id}.{number}")

    def receive(self, events: Sequence[Event]) -> None:
        """Hear what was charged: what is on its way to the journal needs no intent."""
        self._log.forget_intents([event.charge_id for event in events if type(event) is ChargePosted])


def _amounts(context: RequestContext, agent: Agent, deployment: Deployment) -> Amounts:
    """What it may have cost: its input as estimated, its answers as long as they may become."""
    request, price = context.request, deployment.price
    assert request is not None  # noqa: S101 -- guards a programming error
    profile = request.profile
    assert isinstance(price, Price), "a deployment without a price is never called"  # noqa: S101 -- the pipeline refuses it
    longest = profile.max_output_tokens
    for most in (agent.max_output_tokens, deployment.max_output_tokens):
        if most is not None and (longest is None or most < longest):
            longest = most
    output = (UNBOUNDED_OUTPUT_TOKENS if longest is None else longest) * profile.answers
    point = price.at(profile.input_tokens, context.arrived_at_s, profile.service_tier)
    return Amounts(cost_of_text(profile.input_tokens, output, point), profile.input_tokens + output)
