"""One request's candidates in numbers, each worked out when it is first asked for: gates, costs, quality. Pure."""

from __future__ import annotations

from typing import Final

from routing.catalog import Model
from routing.decision import Budget, Session, View, Wanted
from routing.gates import Demand, demand_of
from routing.money import NANO_PER_USD, NanoUsd, Usage, cost
from routing.pool import Entry
from routing.rules import Facts

ASSUMED_OUTPUT_TOKENS: Final = 400.0
"""How long an answer is taken to become where nothing was learned yet: the same for all models."""


class Weighing:
    """What is worked out for one decision."""

    __slots__ = ("_admitted", "_budgets", "_costs", "_demand", "_p", "_read", "facts", "session", "view", "wanted")

    def __init__(self, wanted: Wanted, view: View) -> None:
        self.wanted = wanted
        self.view = view
        self.facts: Facts = wanted.facts
        memory, session = view.memory, wanted.session or wanted.run
        self.session: Session | None = memory.get(session, view.now_s) if memory is not None and session else None
        self._demand: Demand = demand_of(wanted)
        self._admitted: dict[str, tuple[Model | None, str]] = {}
        self._costs: dict[str, NanoUsd] = {}
        self._p: dict[str, float | None] = {}
        self._read = False
        self._budgets: tuple[Budget, ...] = (
            tuple([budget for budget in view.budgets if budget.downgrade]) if view.budgets else ()
        )

    def read_complexity(self) -> float:
        """The request's complexity: from now on the conditions' too."""
        if not self._read:
            self._read = True
            score = self.view.complexity
            if score is not None:
                self.facts = self.facts._replace(complexity=score())
        return self.facts.complexity

    @property
    def known_complexity(self) -> float | None:
        """The complexity, if anything has read it."""
        return self.facts.complexity if self._read else None

    def admitted(self, entry: Entry) -> Model | None:
        """The model with those of its deployments that pass the gates; None when there is none."""
        found = self._admitted.get(entry.name)
        if found is None:
            gate = entry.gate
            found = self._admitted[entry.name] = (None, "unknown_model") if gate is None else gate.admit(self._demand)
        return found[0]

    def excluded(self, entry: Entry) -> str:
        """Why an entry does not pass; empty: it does, or nobody asked."""
        found = self._admitted.get(entry.name)
        return "" if found is None else found[1]

    def exclusions(self) -> list[tuple[str, str]]:
        """All models that were asked for and do not pass, and why."""
        return [(name, reason) for name, (_, reason) in self._admitted.items() if reason]

    def is_unwell(self, entry: Entry) -> bool:
        """Whether none of an admitted entry's deployments may be called now."""
        model, unwell = self.admitted(entry), self.view.unwell
        return model is not None and all(deployment.id in unwell for deployment in model.deployments)

    def cost(self, entry: Entry) -> NanoUsd:
        """What an admitted entry's answer is expected to cost, at its first deployment.

        The session's own model finds what it was sent before in its prompt cache; any other one pays the full price:
        that is how switching pays for the cache that it loses.
        """
        found = self._costs.get(entry.name)
        if found is None:
            found = self._costs[entry.name] = self._cost(entry)
        return found

    def _cost(self, entry: Entry) -> NanoUsd:
        model, wanted, facts, view = self.admitted(entry), self.wanted, self.facts, self.view
        assert model is not None  # noqa: S101 -- guards a programming error
        price = model.deployments[0].price
        assert price is not None  # noqa: S101 -- a gate keeps them off
        expected = view.output_tokens(facts.agent, entry.name)
        output_tokens = ASSUMED_OUTPUT_TOKENS if expected is None else expected
        if facts.max_output_tokens:
            output_tokens = min(output_tokens, facts.max_output_tokens)
        cached_tokens, session = 0, self.session
        if session is not None and session.model == entry.name:
            cached_tokens = min(session.cached_tokens, facts.input_tokens)
        usage = Usage(facts.input_tokens, int(output_tokens * wanted.answers), cached_tokens)
        return cost(usage, price.at(facts.input_tokens, view.now_s, wanted.service_tier))

    def cost_usd(self, entry: Entry) -> float:
        """The same, for scores: money itself is never a float."""
        return self.cost(entry) / NANO_PER_USD

    def p_correct(self, entry: Entry) -> float | None:
        """The probability that an entry's answer is right; None where too little is known."""
        if entry.name not in self._p:
            quality = self.view.quality
            self._p[entry.name] = None if quality is None else quality(entry.name, entry.tier)
        return self._p[entry.name]

    def known_cost(self, entry: Entry) -> NanoUsd | None:
        """Its cost, if something asked for it."""
        return self._costs.get(entry.name)

    def known_p(self, entry: Entry) -> float | None:
        """Its probability, if something asked for it."""
        return self._p.get(entry.name)

    def latency_s(self, entry: Entry) -> float | None:
        """The least until a first byte of an admitted entry's deployments; None when nothing is known of one."""
        model = self.admitted(entry)
        assert model is not None  # noqa: S101 -- guards a programming error
        known = [self.view.latency_s(deployment.id) for deployment in model.deployments]
        return None if None in known else min(filter(None, known), default=0.0)

    @property
    def may_downgrade(self) -> bool:
        """Whether a budget covers the request that asks for cheaper models before it refuses."""
        return bool(self._budgets)

    def is_near(self, entry: Entry, times: int) -> bool:
        """Whether one of these budgets may be spent after so many requests like this one."""
        return any(self._exceeds(budget, entry, times) for budget in self._budgets)

    def short_of(self, entry: Entry) -> str:
        """The budget with `on_exceed: downgrade` that has less left than an admitted entry is expected to cost."""
        for budget in self._budgets:
            if self._exceeds(budget, entry, 1):
                return budget.id
        return ""

    def _exceeds(self, budget: Budget, entry: Entry, times: int) -> bool:
        """Whether so many answers cost more than is left, at whichever of the entry's deployments."""
        model = self.admitted(entry)
        assert model is not None  # noqa: S101 -- guards a programming error
        return times * self.cost(entry) > budget.left and all(budget.covers(each) for each in model.deployments)
