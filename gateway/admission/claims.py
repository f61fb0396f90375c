"""Which counters and rates an attempt counts in: a snapshot's budgets, limits and runs, as claims for the store. Pure.

What depends on the agent, model and deployment alone is worked out once and kept until one of its windows ends; only
users, tags and runs are looked at per request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.config.snapshot import Agent, Snapshot
from gateway.ledger.budgets import Budget, RateLimit
from gateway.ledger.claiming import carve_id, claim_of
from gateway.ledger.operations import Claim, Rate, Run, Unit
from gateway.ledger.scopes import EACH, SHARED, Labels
from gateway.ledger.windows import FOREVER_S, ROLLING_BUCKETS
from routing.catalog import Deployment

_BY_REQUEST: Final = frozenset({"run", "user", "tag"})
"""Scopes that the request itself, not its key and route, decides."""
_OF_PARENTS: Final = frozenset({"global", "org", "team", "agent"})
"""Scopes that a carve has been reserved in already, besides those of the parents' runs."""
_KEPT: Final = 4096
"""Combinations of agent, model and deployment that are kept worked out."""


class LabelMissing(Exception):
    """A budget or limit needs to know what the request does not say. `label` is `user`, `run` or `tag:<name>`."""

    def __init__(self, label: str, rule: str) -> None:
        super().__init__(label)
        self.label = label
        self.rule = rule


class Coverage(NamedTuple):
    """All that an attempt counts in."""

    claims: tuple[Claim, ...]
    rates: tuple[Rate, ...]
    calibrated: bool
    """Whether any claim is: then the stream has to be metered."""
    until_s: float
    """The store's time when the first of the windows ends."""
    recurs: bool = False
    """Whether other requests have the very same one."""
    all_calibrated: bool = False
    """Whether nothing counts money or tokens strictly."""


class _Fixed(NamedTuple):
    """What agent, model and deployment decide, and which rules are left to the request."""

    coverage: Coverage
    """All there is for a request that names no run, where no rule is left."""
    from_s: float
    until_s: float
    budgets: tuple[Budget, ...]
    limits: tuple[RateLimit, ...]


class Rulebook:
    """The rules of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._budgets = snapshot.budgets
        self._limits = (*snapshot.rate_limits, *snapshot.capacities)
        self._version = snapshot.limits_version
        scopes = [*(budget.scope for budget in snapshot.budgets), *(limit.scope for limit in snapshot.rate_limits)]
        self._by_run = any(scope.kind == "run" for scope in scopes)
        self.has_shadow_rates = any(not limit.enforce for limit in snapshot.rate_limits)
        """Whether a request may pass that a rate in shadow mode would have refused."""
        self._fixed: dict[tuple[str, str, str, str, bool, bool], _Fixed] = {}
        self._usual: dict[tuple[str, str, str, bool], _Fixed] = {}
        """Those of `_fixed` that leave nothing to the request, by agent, model, deployment and `metered`."""
        self._followed: dict[str, bool] = {}
        self.is_empty = not self._budgets and not self._limits
        """Whether there is no budget, no rate limit and no capacity: then only runs are counted."""
        is_free = not snapshot.budgets and not snapshot.rate_limits
        self.ungoverned = frozenset(
            agent.id for agent in snapshot.agents.values() if is_free and not _depends_on_runs(agent)
        )
        """Agents whose requests nothing governs unless they name a run, or come to a deployment with a capacity."""
        self._with_capacity = frozenset(limit.scope.value for limit in snapshot.capacities)

    def has_capacity(self, deployments: Iterable[Deployment]) -> bool:
        """Whether it is known of any of them what it can take."""
        known = self._with_capacity
        return bool(known) and any(each.id in known for each in deployments)

    def follows_runs(self, agent: Agent) -> bool:
        """Whether the agent's runs have to be opened in the store, and are no mere labels."""
        followed = self._followed.get(agent.id)
        if followed is None:
            followed = self._followed[agent.id] = self._by_run or _depends_on_runs(agent)
        return followed

    def usual(self, agent: Agent, deployment: Deployment, *, metered: bool, now_s: float) -> Coverage | None:
        """The coverage of a request that names no run, where it is known and nothing else of the request matters."""
        fixed = self._usual.get((agent.id, deployment.model, deployment.id, metered))
        return fixed.coverage if fixed is not None and fixed.from_s <= now_s < fixed.until_s else None

    def coverage(self, agent: Agent, labels: Labels, runs: Sequence[Run], *, metered: bool, now_s: float) -> Coverage:
        """What an attempt counts in. `runs`: its run and the ancestors, the nearest first.

        `metered`: its stream can be counted, so that calibrated reservations are possible. Raises LabelMissing.
        """
        carved = next((at for at, run in enumerate(runs) if run.carve), None) if runs else None
        fixed = self._fixed_for(agent, labels, metered, carved is not None, now_s)
        if not runs and not fixed.budgets and not fixed.limits:
            self._usual[agent.id, labels.model, labels.deployment, metered] = fixed
            return fixed.coverage
        claims, rates = list(fixed.coverage.claims), list(fixed.coverage.rates)
        spends = runs if carved is None else runs[: carved + 1]
        within = labels._replace(runs=tuple(run.id for run in spends))
        for budget in fixed.budgets:
            calibrated = metered and (budget.reserve or agent.reserve) == "calibrated"
            for value in _values(budget, within, labels):
                claims.append(claim_of(budget, value, now_s, self._version, calibrated=calibrated))
        for limit in fixed.limits:
            for value in limit.scope.values(labels) or ():
                self._add_limit(limit, value, claims, rates)
        calibrated = metered and agent.reserve == "calibrated"
        for run in runs:
            self._add_run(run, run in spends, calibrated, claims)
        if carved is not None:
            claims.append(carved_claim(runs[carved], calibrated))
        if runs and agent.velocity is not None and agent.velocity.action != "off":
            claims.append(_velocity_claim(agent, runs[0], self._version, calibrated))
        return _covering(claims, rates, recurs=False)

    def carve_claims(self, agent: Agent, runs: Sequence[Run], now_s: float) -> tuple[tuple[Claim, ...], str | None]:
        """Where a new run's carve is reserved: the scopes of its parents `runs`, nearest first; and via whose carve.

        Inside a carved parent it is only what that one carved: the rest was reserved with it.
        """
        carved = next((at for at, run in enumerate(runs) if run.carve), None)
        spends = runs if carved is None else runs[: carved + 1]
        claims: list[Claim] = []
        labels = Labels(agent.org, agent.team, agent.id, "", "", tuple(run.id for run in spends))
        for budget in self._budgets:
            kind = budget.scope.kind
            if kind == "run" or (carved is None and kind in _OF_PARENTS):
                claims += [claim_of(budget, value, now_s, self._version) for value in budget.scope.values(labels) or ()]
        for run in spends:
            if run.limits.cost is not None:
                claims.append(_run_claim(run, "cost", Unit.MONEY, run.limits.cost))
        if carved is None:
            return tuple(claims), None
        return (*claims, carved_claim(runs[carved], False)), carve_id(runs[carved].id)

    def _fixed_for(self, agent: Agent, labels: Labels, metered: bool, carved: bool, now_s: float) -> _Fixed:
        key = (agent.id, labels.model, labels.provider, labels.deployment, metered, carved)
        fixed = self._fixed.get(key)
        if fixed is None or not fixed.from_s <= now_s < fixed.until_s:
            if len(self._fixed) >= _KEPT:
                self._fixed.clear()
                self._usual.clear()
            fixed = self._fixed[key] = self._work_out(agent, labels, metered, carved, now_s)
        return fixed

    def _work_out(self, agent: Agent, labels: Labels, metered: bool, carved: bool, now_s: float) -> _Fixed:
        claims: list[Claim] = []
        rates: list[Rate] = []
        for budget in self._budgets:
            kind = budget.scope.kind
            if kind in _BY_REQUEST or (carved and kind in _OF_PARENTS):
                continue
            calibrated = metered and (budget.reserve or agent.reserve) == "calibrated"
            claims += [
                claim_of(budget, value, now_s, self._version, calibrated=calibrated)
                for value in budget.scope.values(labels) or ()
            ]
        for limit in self._limits:
            if limit.scope.kind not in _BY_REQUEST:
                for value in limit.scope.values(labels) or ():
                    self._add_limit(limit, value, claims, rates)
        coverage = _covering(claims, rates, recurs=True)
        return _Fixed(
            coverage,
            max((claim.start_s for claim in claims), default=0.0),
            coverage.until_s,
            tuple(budget for budget in self._budgets if budget.scope.kind in _BY_REQUEST),
            tuple(limit for limit in self._limits if limit.scope.kind in _BY_REQUEST),
        )

    def _add_limit(self, limit: RateLimit, value: str, claims: list[Claim], rates: list[Rate]) -> None:
        scope = limit.scope.describe(value)
        if limit.concurrency is not None:
            key = f"c|{limit.id}|{value}"
            claims.append(Claim(key, Unit.SLOTS, limit.concurrency, self._version, scope, limit.enforce))
        for name, unit, quota in (
            ("requests", Unit.REQUESTS, limit.requests),
            ("tokens", Unit.TOKENS, limit.tokens),
        ):
            if quota is not None:
                key = f"g|{limit.id}|{value}|{name}"
                rates.append(Rate(key, unit, quota.limit, quota.period_s, quota.burst, scope, limit.enforce))

    def _add_run(self, run: Run, spends: bool, calibrated: bool, claims: list[Claim]) -> None:
        limits = run.limits
        if limits.cost is not None and spends:
            claims.append(_run_claim(run, "cost", Unit.MONEY, limits.cost, calibrated=calibrated))
        if limits.requests is not None:
            claims.append(_run_claim(run, "requests", Unit.REQUESTS, limits.requests))
        if limits.tokens is not None:
            claims.append(_run_claim(run, "tokens", Unit.TOKENS, limits.tokens, calibrated=calibrated))


def _covering(claims: Sequence[Claim], rates: Sequence[Rate], *, recurs: bool) -> Coverage:
    return Coverage(
        tuple(claims),
        tuple(rates),
        any(claim.calibrated for claim in claims),
        min((claim.end_s for claim in claims), default=FOREVER_S),
        recurs,
        is_all_calibrated(claims),
    )


def is_all_calibrated(claims: Iterable[Claim]) -> bool:
    """Whether no claim counts money or tokens strictly."""
    return all(claim.calibrated for claim in claims if claim.unit is Unit.MONEY or claim.unit is Unit.TOKENS)


def _values(budget: Budget, within: Labels, labels: Labels) -> tuple[str, ...]:
    values = budget.scope.values(within if budget.scope.kind == "run" else labels)
    if values is not None:
        return values
    if budget.when_missing == "shared":
        return (SHARED,)
    if not budget.enforce or budget.scope.value != EACH:
        return ()
    raise LabelMissing(_label(budget), budget.id)


def _label(budget: Budget) -> str:
    scope = budget.scope
    return f"tag:{scope.tag}" if scope.kind == "tag" else scope.kind


def _depends_on_runs(agent: Agent) -> bool:
    return (
        agent.require_run
        or agent.velocity is not None
        or agent.loops.action in ("block", "downgrade")
        or any(limit is not None for limit in _limits_of(agent))
    )


def _limits_of(agent: Agent) -> tuple[object, ...]:
    limits = agent.run_limits
    return (limits.cost, limits.requests, limits.tokens, limits.wall_s, limits.depth, limits.children)


def carved_claim(run: Run, calibrated: bool) -> Claim:
    """What an attempt in a carved run takes of the carve. Its version is always 0: a carve never changes."""
    return Claim(f"k|{run.id}", Unit.MONEY, run.carve, 0, f"run:{run.id}", calibrated=calibrated)


def _run_claim(run: Run, name: str, unit: Unit, limit: int, *, calibrated: bool = False) -> Claim:
    # of version 0: a run keeps the limits that it was opened with, whatever the configuration says later
    return Claim(f"r|{run.id}|{name}", unit, limit, 0, f"run:{run.id}", calibrated=calibrated)


def _velocity_claim(agent: Agent, run: Run, version: int, calibrated: bool) -> Claim:
    rule = agent.velocity
    assert rule is not None  # noqa: S101 -- the caller has looked
    bucket_s = -(-rule.window_s // ROLLING_BUCKETS)
    return Claim(
        f"v|{agent.id}|{run.id}|rolling:{rule.window_s}",
        Unit.MONEY,
        rule.limit,
        version,
        f"run:{run.id}",
        rule.action == "block",
        calibrated,
        bucket_s,
    )
