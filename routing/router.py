"""Chooses models and deployments for a request: what is wanted, a policy and a view in, a Decision out. Pure.

1. Gates (routing.gates): which candidates may be used at all. Nothing overrides them.
2. Rules, in order: the first that matches and of which the gates leave something is obeyed; shadow rules on the way are
   noted. Its candidates are put in order by its strategy (routing.strategies), within the agent's floor and ceiling.
3. Money: where a budget with `on_exceed: downgrade` has less left than the first one costs, the dearest that fits.
4. Health: what cannot be called now comes last.
5. The session: whether its model is kept (routing.sticking).

Decisions are the same for the same request, policy, catalog, view and draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from routing.balance import STRATEGIES
from routing.catalog import Catalog, Deployment, Model
from routing.choice import Choice, choose, downgrade
from routing.decision import Considered, Decision, Shadow, View, Wanted
from routing.gates import Gate, demand_of
from routing.group import candidates
from routing.load import Load
from routing.money import ZERO
from routing.pool import Bounds, Entry, Pool
from routing.rules import CompiledPolicy, Condition, Rule
from routing.sticking import stick
from routing.weighing import Weighing

ASKED: Final = "asked"
"""In place of a rule: the model that was asked for is called, for no policy routes it."""
_NOTHING_KNOWN: Final = View()


class Route(NamedTuple):
    """Ordered candidates, the rule that chose them, and why."""

    model: Model
    """The first candidate's."""
    candidates: tuple[Deployment, ...]
    """In order of preference, none without a price. Empty when the model has no other."""
    rule: str
    reason: str


def route(model: Model, loads: Sequence[Load] = (), draw: float = 0.0) -> Route:
    """The deployments of the model that was asked for, in the order of its strategy.

    `loads`: how each of the model's deployments is; empty: nothing is known. `draw`: a number of [0, 1) by chance.
    """
    strategy = model.strategy
    if strategy == "ordered":  # the usual case
        return Route(model, model.priced, "ordered", "first-deployment")
    return Route(model, candidates(model, loads, draw), strategy, STRATEGIES[strategy].reason)


def decide(
    wanted: Wanted, policy: CompiledPolicy | None, catalog: Catalog, view: View = _NOTHING_KNOWN, draw: float = 0.0
) -> Decision:
    """One decision by a policy. Who decides often keeps a `Router`: that works out the policy only once."""
    return (
        obey(wanted, catalog.find(wanted.facts.model))
        if policy is None
        else Router(policy, catalog).decide(wanted, view, draw)
    )


def obey(wanted: Wanted, model: Model | None) -> Decision:
    """The model that was asked for, by name, with those of its deployments that pass the gates.

    A context window counts where it is surely too short: sizes are estimates, and nothing else was asked for.
    """
    return _obey(wanted, None if model is None else Gate(model, {wanted.facts.model: model.name}))


def _obey(wanted: Wanted, gate: Gate | None) -> Decision:
    if gate is None:
        return Decision((), ASKED, "unknown_model", strongest=wanted.facts.model)
    admitted, reason = gate.admit_named(demand_of(wanted))
    name = gate.model.name
    if admitted is None:
        return Decision((), ASKED, reason, considered=(Considered(name, "", reason),))
    return Decision((admitted,), ASKED, "as asked", strongest=name)


class Router:
    """Decides by one policy over one catalog, and works both out only once."""

    __slots__ = ("_pool", "policy")

    def __init__(self, policy: CompiledPolicy, catalog: Catalog) -> None:
        self.policy = policy
        self._pool = Pool(policy, catalog)

    def decide(self, wanted: Wanted, view: View = _NOTHING_KNOWN, draw: float = 0.0) -> Decision:
        """The ordered candidates for a request, and why. `draw`: a number of [0, 1) by chance."""
        policy = self.policy
        if wanted.facts.model not in policy.claims:
            return _obey(wanted, self._pool.gate(wanted.facts.model))
        weighing, bounds = Weighing(wanted, view), self._pool.bounds(wanted.facts.agent)
        tried = _Tried([], [], [])
        chosen = self._first(weighing, bounds, draw, tried)
        if chosen is None:
            return _nothing(policy, weighing, tried)
        kept = downgrade(chosen, self._pool, bounds, weighing) if weighing.may_downgrade else chosen
        kept = stick(_well_first(kept, weighing), self._pool, bounds, weighing)
        return self._decision(kept, weighing, tried)

    def _first(self, weighing: Weighing, bounds: Bounds, draw: float, tried: _Tried) -> Choice | None:
        """What the first rule chooses that matches and of which the gates leave something."""
        for rule in self.policy.rules:
            condition = rule.condition
            if condition is not None:
                matches = _matches(condition, weighing)
                if not matches:
                    if matches is None:
                        tried.failed.append(rule.name)
                    continue
            choice = choose(rule, self._pool, bounds, weighing, draw)
            if rule.shadow:
                tried.shadows.append(_shadow(rule, choice, weighing))
            elif choice is None:
                tried.skipped.append(rule.name)
            else:
                return choice
        choice = choose(self.policy.default, self._pool, bounds, weighing, draw)
        if choice is not None:
            return choice
        tried.skipped.append(self.policy.default.name)
        left: dict[str, Entry] = {}
        for entry in self._pool.within(bounds):
            if entry.name not in left and weighing.admitted(entry) is not None:
                left[entry.name] = entry
        return Choice(self.policy.default, list(left.values()), "all that passes the gates") if left else None

    def _decision(self, choice: Choice, weighing: Weighing, tried: _Tried) -> Decision:
        rule, entries, view = choice.rule, choice.entries, weighing.view
        first = entries[0]
        strong = self._strongest(first, weighing)
        return Decision(
            tuple([model for entry in entries if (model := weighing.admitted(entry)) is not None]),
            rule.name,
            choice.reason,
            self.policy.name,
            rule.strategy,
            first.tier,
            choice.arm,
            choice.probability,
            weighing.cost(first),
            entries[1].name if len(entries) > 1 else "",
            strong.name,
            weighing.cost(strong),
            _considered(choice, weighing),
            tuple(tried.shadows),
            tuple(tried.failed),
            tuple(tried.skipped),
            weighing.known_complexity,
            weighing.known_p(first),
            view.money_price,
            rule.verify,
        )

    def _strongest(self, first: Entry, weighing: Weighing) -> Entry:
        """The strongest candidate of the policy that passes the gates, whatever the agent's bounds are."""
        for entry in self._pool.strongest():
            if weighing.admitted(entry) is not None:
                return entry if entry.rank > first.rank else first
        return first


class _Tried(NamedTuple):
    """What happened to the rules before the one that was obeyed."""

    shadows: list[Shadow]
    failed: list[str]
    skipped: list[str]


def _matches(condition: Condition, weighing: Weighing) -> bool | None:
    """Whether a condition is fulfilled. Complexity is worked out only where nothing cheaper tells."""
    if "complexity" in condition.reads:
        if condition.excludes(weighing.facts):
            return False
        weighing.read_complexity()
    return condition.matches(weighing.facts)


def _shadow(rule: Rule, choice: Choice | None, weighing: Weighing) -> Shadow:
    if choice is None:
        return Shadow(rule.name, "")
    first = choice.entries[0]
    return Shadow(rule.name, first.name, weighing.cost(first))


def _well_first(choice: Choice, weighing: Weighing) -> Choice:
    """What cannot be called now comes last."""
    if not weighing.view.unwell:
        return choice
    unwell = {entry.name for entry in choice.entries if weighing.is_unwell(entry)}
    if not unwell:
        return choice
    well = [entry for entry in choice.entries if entry.name not in unwell]
    entries = well + [entry for entry in choice.entries if entry.name in unwell]
    return choice._replace(entries=entries, reason=choice.reason if entries[0] is choice.entries[0] else "health")


def _considered(choice: Choice, weighing: Weighing) -> tuple[Considered, ...]:
    known_cost, known_p = weighing.known_cost, weighing.known_p
    found = [
        Considered(entry.name, entry.tier, "", known_cost(entry), known_p(entry), choice.scores.get(entry.name))
        for entry in choice.entries
    ]
    for entry, reason in choice.excluded:
        found.append(Considered(entry.name, entry.tier, reason, known_cost(entry)))
    return tuple(found)


def _nothing(policy: CompiledPolicy, weighing: Weighing, tried: _Tried) -> Decision:
    """No candidate at all: every one of them fails at a gate, and the most frequent failure is the reason."""
    considered = tuple([Considered(name, "", reason) for name, reason in weighing.exclusions()])
    reasons = [reason for each in considered for reason in each.excluded.split(",")]
    told = [reason for reason in reasons if reason != "unknown_model"] or reasons
    reason = max(dict.fromkeys(told), key=told.count) if told else "no models"
    return Decision(
        (),
        policy.default.name,
        reason,
        policy.name,
        expected_cost=ZERO,
        considered=considered,
        shadows=tuple(tried.shadows),
        failed=tuple(tried.failed),
        skipped=tuple(tried.skipped),
        complexity=weighing.known_complexity,
        money_price=weighing.view.money_price,
    )
