"""The stage `route` where a policy rules: a request and what is known become a decision, the decision a route."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gateway.admission.runs import names_of
from gateway.config.snapshot import Snapshot
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
from gateway.deciding.wanting import Asked, wanted_of
from gateway.errors import FareboxError
from gateway.learned.expectations import Expectation
from gateway.learned.quality import LearnedQuality
from gateway.ledger.scopes import Labels
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.load import Loads
from gateway.wire.requests import ModelRequest
from routing.catalog import Deployment
from routing.decision import Budget, Decision, Session, View, Wanted
from routing.group import candidates
from routing.money import NanoUsd
from routing.pacing import Pacers
from routing.router import Route
from routing.rules import CompiledPolicy
from routing.sessions import Sessions

SLOWED_S: Final = 60.0
"""How long a run that spends too quickly gets the weakest tier, at least."""
_ALL_WELL: Final = frozenset[str]()


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


class _Seen(NamedTuple):
    """A request before its decision."""

    desk: Desk
    wanted: Wanted
    subject: Subject
    view: View


class Look(NamedTuple):
    """What would be decided about a request now, and by what."""

    desk: Desk
    wanted: Wanted
    view: View
    subject: Subject
    slowed: str
    """Why it gets the weakest tier: `velocity`; empty: it does not."""
    decision: Decision


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
        asked = asked_by(context)
        own, parent = asked.own, asked.parent
        run = self.runs.of(own, parent)
        seen = await self._see(context.snapshot, asked, policy, run)
        desk, subject, view = seen.desk, seen.subject, seen.view
        if desk.is_paced and view.budgets:
            view = view._replace(money_price=self._pacers.observe(view.budgets))
        slowed = _slowed(context.loop is not None, asked, run)
        decision = self._decide(desk, seen.wanted, view, slowed)
        decided = context.decided = Decided(decision, seen.wanted, own)
        decided.signals = subject.signals
        decided.downgraded = slowed or ("budget" if decision.reason.startswith("budget ") else "")
        if not decision.models:
            raise nothing_left(decision, asked.request, context.snapshot.catalog)
        decided.may_downgrade = desk.may_downgrade
        context.route = self._routed(asked.request, decision)

    async def look(self, snapshot: Snapshot, asked: Asked, policy: CompiledPolicy) -> Look:
        """What would be decided now, and by what. Nothing is called, counted or remembered."""
        run = self.runs.seen(asked.own, asked.parent)
        seen = await self._see(snapshot, asked, policy, run)
        view = seen.view
        if seen.desk.is_paced and view.budgets:
            view = view._replace(money_price=self._pacers.price(view.budgets))
        slowed = _slowed(False, asked, run)
        decision = self._decide(seen.desk, seen.wanted, view, slowed)
        return Look(seen.desk, seen.wanted, view, seen.subject, slowed, decision)

    def unwell(self, deployments: Iterable[Deployment]) -> tuple[str, ...]:
        """Those that may not be called now, by their ids."""
        if self._health.is_quiet:
            return ()
        unwell = Unwell(self._health, time.monotonic())
        return tuple([each.id for each in deployments if each.id in unwell])

    async def _see(self, snapshot: Snapshot, asked: Asked, policy: CompiledPolicy, run: Run) -> _Seen:
        desk = self._desks.of(snapshot, asked.agent, policy)
        purse = await self._purse(asked, desk) if desk.reads_budgets else NO_BUDGETS
        subject = Subject(asked.request, desk.agent.id, self.judge, desk.ranks, asked.attribution.complexity)
        return _Seen(desk, wanted_of(asked, purse, run), subject, self._view(asked, subject, purse.budgets))

    def _decide(self, desk: Desk, wanted: Wanted, view: View, slowed: str) -> Decision:
        if slowed:
            return desk.weakest.decide(wanted, view._replace(memory=None), self._loads.draw())
        return desk.router.decide(wanted, view, self._loads.draw())

    def cheaper(self, context: RequestContext, policy: CompiledPolicy, refused: FareboxError) -> bool:
        """A budget with `on_exceed: downgrade` has no room: put cheaper candidates behind the route's.

        False where there are none. The same decision, but for money that is short.
        """
        decided, asked = context.decided, asked_by(context)
        assert decided is not None  # noqa: S101 -- guards a programming error
        desk = self._desks.of(context.snapshot, asked.agent, policy)
        decided.may_downgrade = False
        name, before = refused.metadata.get("budget"), decided.decision
        short = [budget for budget in desk.budgets if budget.on_exceed == "downgrade" and name in (None, budget.id)]
        if not short:
            return False
        self._purses.forget()
        spent = tuple([_nearly_spent(budget.id, before) for budget in short])
        subject = Subject(asked.request, desk.agent.id, self.judge, desk.ranks, asked.attribution.complexity)
        view = self._view(asked, subject, spent)._replace(money_price=before.money_price)
        decision = desk.router.decide(decided.wanted, view, self._loads.draw())
        route = self._routed(asked.request, decision)
        if len(route.candidates) <= len(context.route.candidates if context.route is not None else ()):
            return False
        decided.decision, decided.downgraded, context.route = decision, "budget", route
        return True

    async def _purse(self, asked: Asked, desk: Desk) -> Purse:
        agent, attribution, own = desk.agent, asked.attribution, asked.own
        runs = () if own is None else (own,)
        labels = Labels(agent.org, agent.team, agent.id, "", "", runs, attribution.user, attribution.tags)
        return await self._purses.of(desk.budgets, labels, time.monotonic())

    def _view(self, asked: Asked, subject: Subject, budgets: tuple[Budget, ...]) -> View:
        loads, health, stream = self._loads, self._health, asked.request.stream
        return View(
            asked.at_s,
            _ALL_WELL if health.is_quiet else Unwell(health, time.monotonic()),
            lambda deployment: loads.latency_s(deployment, stream=stream),
            self.lengths.of,
            budgets,
            1.0,
            self.sessions,
            subject.complexity,
            subject.p_correct,
        )

    def _routed(self, request: ModelRequest, decision: Decision) -> Route:
        """The decision's models in order, the deployments of each in the order of its own strategy."""
        found: list[Deployment] = []
        loads = self._loads
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


def asked_by(context: RequestContext) -> Asked:
    """What a request's context knows. Raises RunNotAllowed when it names a parent that is not its key's to name."""
    principal, request, snapshot = context.principal, context.request, context.snapshot
    assert principal is not None  # noqa: S101 -- guards a programming error
    assert request is not None  # noqa: S101 -- as above
    agent = snapshot.agents[principal.agent]
    allowed = tuple([each for each in (principal.allowed_models, agent.allowed_models) if each is not None])
    own, parent = names_of(principal, context.attribution)
    return Asked(request, context.attribution, agent, allowed, context.request_id, context.arrived_at_s, own, parent)


def _slowed(looping: bool, asked: Asked, run: Run) -> str:
    """Why a request gets the weakest tier, if it does."""
    if looping and asked.agent.loops.action == "downgrade":
        return "loop"
    if run.too_quick_until_s > asked.at_s:
        return "velocity"
    return ""


def _nearly_spent(budget: str, decision: Decision) -> Budget:
    """A budget with just so much left that the decision stands and cheaper candidates are looked for behind it."""
    return Budget(budget, NanoUsd(decision.expected_cost), 1.0, 1.0, downgrade=True)
