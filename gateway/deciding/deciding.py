"""The stage `route` where a policy rules: a request and what is known become a decision, the decision a route."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.admission.runs import names_of
from gateway.config.snapshot import Agent
from gateway.context import RequestContext
from gateway.deciding.budgets import NO_BUDGETS, Counters, Purse, Purses
from gateway.deciding.choices import choice_of
from gateway.deciding.decided import Decided
from gateway.deciding.desk import Desk, Desks
from gateway.deciding.labels import WeakLabels
from gateway.deciding.lengths import Lengths
from gateway.deciding.refusals import nothing_left
from gateway.deciding.runs import Run, Runs
from gateway.deciding.subject import Judge, Subject
from gateway.errors import FareboxError
from gateway.learned.expectations import Expectation
from gateway.learned.quality import LearnedQuality
from gateway.ledger.scopes import Labels
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.load import Loads
from routing.catalog import Deployment
from routing.decision import Budget, Decision, Session, View, Wanted
from routing.group import candidates
from routing.money import NanoUsd
from routing.pacing import Pacers
from routing.router import Route
from routing.rules import CompiledPolicy, Facts
from routing.sessions import Sessions
from routing.value import worth_usd

SLOWED_S: Final = 60.0
"""How long a run that spends too quickly gets the weakest tier, at least."""
_ALL_WELL: Final = frozenset[str]()
_NO_TAGS: Final[dict[str, str]] = {}
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""


class Knowledge(NamedTuple):
    """Who is asked for what a decision depends on."""

    store: Counters
    health: UpstreamHealth
    loads: Loads
    expect: Callable[[str, str], Expectation]
    """By agent and model."""
    quality: LearnedQuality


class Unwell:
    """Deployments that may not be called now, as far as breakers know."""

    __slots__ = ("_health", "_now_s")

    def __init__(self, health: UpstreamHealth, now_s: float) -> None:
        self._health = health
        self._now_s = now_s

    def __contains__(self, deployment: object) -> bool:
        provider, _, _ = str(deployment).partition("/")
        both = (self._health.breakers.breaker(str(deployment)), self._health.breakers.breaker(provider))
        return any(each is not None and each.admits(self._now_s) == "no" for each in both)


class Deciding:
    """Decides for the requests of one gateway, and learns from how they went."""

    def __init__(self, known: Knowledge) -> None:
        self._health = known.health
        self._loads = known.loads
        self._purses = Purses(known.store)
        self._desks = Desks()
        self._pacers = Pacers()
        self.sessions = Sessions()
        self.runs = Runs()
        self.lengths = Lengths(known.expect)
        self.judge = Judge(known.quality.quality)
        self._labels = WeakLabels(known.quality)

    # --- before ---

    async def route(self, context: RequestContext, policy: CompiledPolicy) -> None:
        """Decide by the policy of the request's agent. Raises FareboxError when the gates leave nothing."""
        principal, snapshot = context.principal, context.snapshot
        assert principal is not None  # noqa: S101 -- guards a programming error
        desk = self._desks.of(snapshot, snapshot.agents[principal.agent], policy)
        own, parent = names_of(principal, context.attribution)
        purse = await self._purse(context, desk, own) if desk.reads_budgets else NO_BUDGETS
        run = self.runs.of(own, parent)
        subject = self._subject(context, desk)
        wanted = self._wanted(context, desk, purse, subject, (own, run))
        slowed = _slowed(context, desk.agent, run)
        money_price = self._pacers.observe(purse.budgets) if desk.is_paced and purse.budgets else 1.0
        view = self._view(context, subject, purse, money_price)
        if slowed:
            decision = desk.weakest.decide(wanted, view._replace(memory=None), self._loads.draw())
        else:
            decision = desk.router.decide(wanted, view, self._loads.draw())
        decided = context.decided = Decided(decision, wanted, own)
        decided.signals = subject.signals
        decided.downgraded = slowed or ("budget" if decision.reason.startswith("budget ") else "")
        if not decision.models:
            assert context.request is not None  # noqa: S101 -- as above
            raise nothing_left(decision, context.request, snapshot.catalog)
        decided.may_downgrade = desk.may_downgrade
        context.route = self._routed(context, decision)

    def cheaper(self, context: RequestContext, policy: CompiledPolicy, refused: FareboxError) -> bool:
        """A budget with `on_exceed: downgrade` has no room: put cheaper candidates behind the route's.

        False where there are none. The same decision, but for money that is short.
        """
        decided, snapshot, principal = context.decided, context.snapshot, context.principal
        assert decided is not None  # noqa: S101 -- guards a programming error
        assert principal is not None  # noqa: S101 -- as above
        desk = self._desks.of(snapshot, snapshot.agents[principal.agent], policy)
        decided.may_downgrade = False
        name, before = refused.metadata.get("budget"), decided.decision
        short = [budget for budget in desk.budgets if budget.on_exceed == "downgrade" and name in (None, budget.id)]
        if not short:
            return False
        self._purses.forget()
        spent = Purse(tuple([_nearly_spent(budget.id, before) for budget in short]))
        subject = self._subject(context, desk)
        decision = desk.router.decide(
            decided.wanted, self._view(context, subject, spent, before.money_price), self._loads.draw()
        )
        route = self._routed(context, decision)
        if len(route.candidates) <= len(context.route.candidates if context.route is not None else ()):
            return False
        decided.decision, decided.downgraded, context.route = decision, "budget", route
        return True

    async def _purse(self, context: RequestContext, desk: Desk, run: str | None) -> Purse:
        agent, attribution = desk.agent, context.attribution
        runs = () if run is None else (run,)
        labels = Labels(agent.org, agent.team, agent.id, "", "", runs, attribution.user, attribution.tags)
        return await self._purses.of(desk.budgets, labels, time.monotonic())

    def _subject(self, context: RequestContext, desk: Desk) -> Subject:
        assert context.request is not None  # noqa: S101 -- guards a programming error
        return Subject(context.request, desk.agent.id, self.judge, desk.ranks, context.attribution.complexity)

    def _wanted(
        self, context: RequestContext, desk: Desk, purse: Purse, subject: Subject, named: tuple[str | None, Run]
    ) -> Wanted:
        request, attribution, agent, principal = context.request, context.attribution, desk.agent, context.principal
        assert request is not None  # noqa: S101 -- guards a programming error
        assert principal is not None  # noqa: S101 -- as above
        profile, (own, run) = request.profile, named
        session = "" if attribution.session is None else f"{agent.id}/session:{attribution.session}"
        hours = int(context.arrived_at_s) // 3600
        facts = Facts(
            agent.id,
            agent.team,
            agent.org,
            dict(attribution.tags) if attribution.tags else _NO_TAGS,
            request.model,
            worth_usd(attribution.value_nano_usd, agent.value, agent.max_value),
            attribution.priority or "normal",
            attribution.complexity or 0.0,
            profile.input_tokens,
            _longest(profile.max_output_tokens, agent),
            profile.tools,
            profile.images,
            profile.stream,
            profile.json_schema,
            profile.messages,
            run.cost_usd,
            run.steps,
            run.depth,
            purse.remaining_ratio,
            purse.burn_ratio,
            hours % 24,
            (hours // 24 + _EPOCH_WEEKDAY) % 7 + 1,
        )
        key = session or own
        return Wanted(
            facts,
            context.request_id,
            own or "",
            session,
            request.api,
            request.parallel_tools,
            key is not None and self.sessions.get(key, context.arrived_at_s) is not None and subject.in_tool_loop,
            profile.answers,
            profile.service_tier,
            tuple([each for each in (principal.allowed_models, agent.allowed_models) if each is not None]),
            agent.residency,
        )

    def _view(self, context: RequestContext, subject: Subject, purse: Purse, money_price: float) -> View:
        request, loads, health = context.request, self._loads, self._health
        assert request is not None  # noqa: S101 -- guards a programming error
        return View(
            context.arrived_at_s,
            _ALL_WELL if health.is_quiet else Unwell(health, time.monotonic()),
            lambda deployment: loads.latency_s(deployment, stream=request.stream),
            self.lengths.of,
            purse.budgets,
            money_price,
            self.sessions,
            subject.complexity,
            subject.p_correct,
        )

    def _routed(self, context: RequestContext, decision: Decision) -> Route:
        """The decision's models in order, the deployments of each in the order of its own strategy."""
        found: list[Deployment] = []
        request, loads = context.request, self._loads
        assert request is not None  # noqa: S101 -- guards a programming error
        for model in decision.models:
            if model.strategy == "ordered":
                found += model.priced
            else:
                found += candidates(model, loads.view(model.deployments, stream=request.stream), loads.draw())
        return Route(decision.models[0], tuple(found), decision.rule, decision.reason)

    # --- afterwards ---

    def over(self, context: RequestContext) -> None:
        """The request is over: remember how it went."""
        decided, now_s = context.decided, time.time()
        assert decided is not None  # noqa: S101 -- guards a programming error
        self.runs.ended(decided.run, context.cost)
        if decided.too_quick:
            self.runs.of(decided.run).too_quick_until_s = now_s + SLOWED_S
        usage, deployment, wanted = decided.usage, context.deployment, decided.wanted
        if usage is not None and deployment is not None:
            self.lengths.observe(wanted.facts.agent, deployment.model, usage.output_tokens / max(1, wanted.answers))
            session = wanted.session or wanted.run
            if session:
                tiers = {each.model: each.tier for each in reversed(decided.decision.considered) if not each.excluded}
                cached = usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
                tier = tiers.get(deployment.model, "")
                self.sessions.note(session, Session(deployment.model, tier, cached, decided.called_tools, now_s))
        self._labels.over(context, now_s)
        decided.choice = choice_of(decided, context)


def _slowed(context: RequestContext, agent: Agent, run: Run) -> str:
    """Why a request gets the weakest tier, if it does."""
    if context.loop is not None and agent.loops.action == "downgrade":
        return "loop"
    if run.too_quick_until_s > context.arrived_at_s:
        return "velocity"
    return ""


def _longest(asked: int | None, agent: Agent) -> int:
    """The bound on the answer; 0 without the client's own."""
    if asked is None:
        return 0
    return asked if agent.max_output_tokens is None else min(asked, agent.max_output_tokens)


def _nearly_spent(budget: str, decision: Decision) -> Budget:
    """A budget with just so much left that the decision stands and cheaper candidates are looked for behind it."""
    return Budget(budget, NanoUsd(decision.expected_cost), 1.0, 1.0, downgrade=True)
