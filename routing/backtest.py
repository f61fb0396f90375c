"""What a policy would have done with requests that were recorded, before it rules. Pure.

Each request goes through several worlds: `today` (what was really paid), the `candidate` policy, the cheapest and the
strongest of the policy's models that pass the gates, and one of them at random. A world keeps its own budgets, runs
and sessions, so that what it saves in the morning is there in the evening. `routing.replay` says what another model
would have cost. Requests that the policy does not route go where they went in every world, and an answer that a rule
wants verified passes.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from routing.caps import Cap, denied, let_in
from routing.catalog import Catalog, Model
from routing.decision import Decision, Session, View, Wanted
from routing.gates import Gate, demand_of
from routing.lengths import Lengths
from routing.money import NanoUsd
from routing.outcomes import DRAWS, Outcomes, Quality
from routing.recorded import UNKNOWN_COMPLEXITY, Recorded, facts_of
from routing.replay import Placed, World, priced
from routing.router import Router
from routing.rules import CompiledPolicy
from routing.sessions import Sessions
from routing.strength import strong_first

TODAY: Final = "today"
CANDIDATE: Final = "candidate"
CHEAPEST: Final = "cheapest_only"
STRONGEST: Final = "strongest_only"
RANDOM: Final = "random_mix"
WORLDS: Final = (TODAY, CANDIDATE, CHEAPEST, STRONGEST, RANDOM)
BASELINES: Final = (CHEAPEST, STRONGEST, RANDOM)


class AgentRules(NamedTuple):
    """What holds for one agent besides its policy."""

    policy: CompiledPolicy | None
    """The candidate, or whichever other policy it keeps; None: its requests go where they went."""
    value_usd: float = 0.0
    """What its answers are worth where nothing is declared."""
    allowed: tuple[frozenset[str], ...] = ()
    residency: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a backtest goes by."""

    catalog: Catalog
    agents: Mapping[str, AgentRules]
    """Requests of agents that are not in it go where they went."""
    caps: Sequence[Cap] = ()
    lengths: Lengths = field(default_factory=Lengths)
    judged: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By agent and model, the mean score where enough answers were judged: it stands in where nothing is recorded."""
    asked_as: str = ""
    """A name that all requests count as having asked for, such as `auto`; empty: each as it was."""
    draws: int = DRAWS
    """Of the bootstrap."""


class WorldTotal(NamedTuple):
    """A world's sums."""

    name: str
    cost: NanoUsd
    answered: int
    denied: int
    """Refused for want of money: in `today` as it was, else also what would not have fitted."""
    unroutable: int
    """Refused because the gates left no candidate."""
    models: Mapping[str, int]
    """Requests by the model that answers."""
    quality: Quality | None = None
    """None: nobody judged enough."""


class AgentChange(NamedTuple):
    """What the candidate changes for one agent."""

    agent: str
    requests: int
    moved: int
    """Requests that another model answers."""
    today: NanoUsd
    candidate: NanoUsd
    denied: int
    """Requests that were answered, and that the candidate refuses."""


class LengthLine(NamedTuple):
    """What was assumed of a model's answers to requests that another one answered in reality."""

    model: str
    requests: int
    learned: int
    """Of these, by a learned ratio; the others are as long as the recorded answer."""
    recorded_tokens: int
    assumed_tokens: int


class Report(NamedTuple):
    """What came out."""

    requests: int
    routed: int
    """Those that the policy routes."""
    since_s: float
    until_s: float
    worlds: tuple[WorldTotal, ...]
    """In the order of `WORLDS`."""
    agents: tuple[AgentChange, ...]
    """The largest change of cost first."""
    lengths: tuple[LengthLine, ...]
    rules: Mapping[str, int]
    """The candidate's requests by rule."""
    guessed_complexity: int
    """Decisions that read a complexity which was not recorded: they read `UNKNOWN_COMPLEXITY`."""

    def world(self, name: str) -> WorldTotal:
        """One of `WORLDS`."""
        return self.worlds[WORLDS.index(name)]

    @property
    def increase(self) -> float:
        """What the candidate costs more than today, as a share; negative where it saves. 1 where today was free."""
        today, candidate = self.world(TODAY).cost, self.world(CANDIDATE).cost
        return (candidate - today) / today if today else float(candidate > 0)


class _Sum:
    """One world's sums while they grow."""

    def __init__(self) -> None:
        self.cost = 0
        self.refused: Counter[str] = Counter()
        self.models: Counter[str] = Counter()

    def add(self, placed: Placed) -> None:
        self.cost += placed.cost
        if placed.refusal:
            self.refused[placed.refusal] += 1
        elif placed.model:
            self.models[placed.model] += 1


class Backtest:
    """Replays requests, in the order of their times: `add` each, then `report`."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._worlds = {name: World(name, setting.caps) for name in WORLDS}
        self._sums = {name: _Sum() for name in WORLDS}
        self._outcomes = Outcomes(WORLDS, setting.draws)
        self._sessions = Sessions(1_000_000)
        self._routers: dict[str, tuple[Router, tuple[Gate, ...]]] = {}
        self._agents: dict[str, list[int]] = {}
        self._lengths: dict[str, list[int]] = {}
        self._rules: Counter[str] = Counter()
        self._requests = self._routed = self._guessed = 0
        self._since_s, self._until_s = float("inf"), 0.0

    def add(self, row: Recorded) -> dict[str, Placed]:
        """Take a request through every world. Returns where it goes in each."""
        self._requests += 1
        self._since_s, self._until_s = min(self._since_s, row.at_s), max(self._until_s, row.at_s)
        was = _as_it_was(row)
        today = self._worlds[TODAY]
        switched = today.switches(row, row.model)
        today.enter(row, was, self._provider(row.model))
        placed = {TODAY: was}
        chosen = self._chosen(row)
        for name in WORLDS[1:]:
            models = None if chosen is None else chosen[name]
            placed[name] = self._place(row, self._worlds[name], models, switched=switched)
        self._note(row, placed)
        return placed

    def _chosen(self, row: Recorded) -> dict[str, Sequence[Model]] | None:
        """The models of each world but today's, in order; None in place of all when no policy routes the request."""
        rules = self._setting.agents.get(row.agent)
        asked = self._setting.asked_as or row.profile.model
        if rules is None or rules.policy is None or asked not in rules.policy.claims:
            return None
        if not row.answered and not row.refused_for_money:  # an error of the client's, or of all providers
            return None
        self._routed += 1
        router, choices = self._router(rules.policy)
        world = self._worlds[CANDIDATE]
        facts = facts_of(row, world.running(row), rules.value_usd)._replace(model=asked)
        wanted = Wanted(
            facts,
            row.request_id,
            row.run,
            row.session,
            row.profile.api,
            parallel_tools=row.parallel_tools,
            in_tool_loop=row.in_tool_loop,
            answers=row.profile.answers,
            service_tier=row.profile.service_tier,
            allowed=rules.allowed,
            residency=rules.residency,
        )
        decision = router.decide(wanted, self._view(row, world), _draw(row))
        self._rules[decision.rule] += 1
        if decision.complexity is not None and row.complexity is None:
            self._guessed += 1
        if decision.models and row.conversation:
            self._remember(row, decision)
        return {CANDIDATE: decision.models, **_baselines(row, wanted, choices, self._setting.lengths)}

    def _router(self, policy: CompiledPolicy) -> tuple[Router, tuple[Gate, ...]]:
        """What decides by a policy, and the models that it chooses from, strong to weak."""
        found = self._routers.get(policy.name)
        if found is None:
            catalog = self._setting.catalog
            found = self._routers[policy.name] = (Router(policy, catalog), strong_first(policy, catalog))
        return found

    def _view(self, row: Recorded, world: World) -> View:
        setting, lengths, complexity = self._setting, self._setting.lengths, row.complexity
        budgets = world.spending.budgets(row)
        score = UNKNOWN_COMPLEXITY if complexity is None else complexity
        return View(
            row.at_s,
            output_tokens=lengths.usual,
            budgets=budgets,
            money_price=world.spending.money_price(budgets),
            memory=self._sessions,
            complexity=lambda: score,
            quality=lambda model, _tier: row.p_correct.get(model, setting.judged.get((row.agent, model))),
        )

    def _remember(self, row: Recorded, decision: Decision) -> None:
        usage = row.usage
        cached = usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
        self._sessions.note(row.conversation, Session(decision.models[0].name, decision.tier, cached, at_s=row.at_s))

    def _place(self, row: Recorded, world: World, models: Sequence[Model] | None, *, switched: bool) -> Placed:
        """Where the request goes in a world that wants it answered by one of `models`; None: that leaves it alone.

        As admission does, the first that fits is taken where a budget asks for that.
        """
        today = self._worlds[TODAY].spending
        tried = [_as_it_was(row)] if models is None else [self._priced(row, world, model, switched) for model in models]
        for placed in tried:
            provider = self._provider(placed.model)
            keys = world.spending.keys(row, placed.model, provider)
            if not placed.model and not placed.refusal:
                return placed
            if row.answered:
                fits = not denied(keys, placed.cost, world.spending, today)
            else:
                fits = bool(placed.model) and let_in(keys, placed.cost, world.spending, today)
            if fits:
                world.enter(row, placed, provider)
                return placed
            if not any(cap.downgrade for cap, _ in keys):
                break
        if not tried:
            return Placed("", refusal="gates")
        return Placed("", refusal="budget") if row.answered else _as_it_was(row)

    def _priced(self, row: Recorded, world: World, model: Model, switched: bool) -> Placed:
        switches = world.switches(row, model.name)
        return priced(row, model, self._setting.lengths, switches=switches, switched=switched)

    def _provider(self, model: str) -> str:
        found = self._setting.catalog.find(model) if model else None
        return found.deployments[0].provider if found is not None and found.deployments else ""

    def _note(self, row: Recorded, placed: Mapping[str, Placed]) -> None:
        for name, each in placed.items():
            self._sums[name].add(each)
        self._outcomes.add(row, {name: each.model for name, each in placed.items() if not each.refusal})
        now = placed[CANDIDATE]
        moved = now.model != row.model and bool(now.model)
        agent = self._agents.setdefault(row.agent, [0, 0, 0, 0, 0])
        lost = row.answered and bool(now.refusal)
        for at, amount in enumerate((1, moved, row.cost, now.cost, lost)):
            agent[at] += amount
        if moved and row.answered:
            line = self._lengths.setdefault(now.model, [0, 0, 0, 0])
            for at, amount in enumerate((1, now.learned, row.usage.output_tokens, now.output_tokens)):
                line[at] += amount

    def report(self) -> Report:
        """The sums of all that was added."""
        quality = self._outcomes.estimates()
        agents = [
            AgentChange(agent, requests, moved, NanoUsd(today), NanoUsd(candidate), refused)
            for agent, (requests, moved, today, candidate, refused) in self._agents.items()
        ]
        return Report(
            self._requests,
            self._routed,
            self._since_s if self._requests else 0.0,
            self._until_s,
            tuple(_total(name, self._sums[name], quality[name]) for name in WORLDS),
            tuple(sorted(agents, key=lambda each: (-abs(each.candidate - each.today), each.agent))),
            tuple(LengthLine(model, *line) for model, line in sorted(self._lengths.items())),
            dict(self._rules.most_common()),
            self._guessed,
        )


def _total(name: str, total: _Sum, quality: Quality | None) -> WorldTotal:
    return WorldTotal(
        name,
        NanoUsd(total.cost),
        sum(total.models.values()),
        total.refused["budget"],
        total.refused["gates"],
        dict(total.models.most_common()),
        quality,
    )


def _as_it_was(row: Recorded) -> Placed:
    if row.refused_for_money and not row.answered:
        return Placed("", row.cost, "budget")
    return Placed(row.model if row.answered else "", row.cost, "", row.usage.output_tokens)


def _draw(row: Recorded) -> float:
    """A number of [0, 1) that is always the same for a request."""
    return zlib.crc32(row.request_id.encode()) / 2**32


def _baselines(row: Recorded, wanted: Wanted, choices: Sequence[Gate], lengths: Lengths) -> dict[str, Sequence[Model]]:
    """The cheapest and the strongest of the policy's models that pass the gates, and one of them at random."""
    demand = demand_of(wanted)
    models = [model for gate in choices if (model := gate.admit(demand)[0]) is not None]
    if not models:
        return dict.fromkeys(BASELINES, ())

    def cost_nano_usd(model: Model) -> int:
        return priced(row, model, lengths, switches=False, switched=False).cost

    at = zlib.crc32(b"mix " + row.request_id.encode()) % len(models)
    return {CHEAPEST: [min(models, key=cost_nano_usd)], STRONGEST: models[:1], RANDOM: models[at : at + 1]}
