"""How the providers are, as this process knows it: breakers, retry budgets, first bytes. Shared by all requests."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.config.snapshot import Resilience, Snapshot
from gateway.telemetry.events import AttemptDenied, BreakerChanged, CredentialsRefused, Event
from routing.attempts import Candidate
from routing.breaker import Admits, Breaker, Force, Shared, Transition
from routing.catalog import Deployment, Model
from routing.failures import Failure
from routing.health import Health
from routing.hedge import FirstByte, HedgeBudget, hedge_at_s

log = logging.getLogger("farebox.health")

FIRST_BYTES_MAX: Final = 1_000
"""Deployments whose first bytes are remembered; the longest known go first."""
ELSEWHERE_S: Final = 1.0
"""When other gateways have all places of probes, it is asked again so much later."""
_ELSEWHERE_MAX: Final = 64
"""Places that are kept free for others at a time, for each breaker."""


class Place(NamedTuple):
    """A probe's place in a breaker."""

    breaker: str
    most: int
    """How many there are."""
    lease_s: float


class Others(Protocol):
    """The gateways that share breakers with this one."""

    def changed(self) -> None:
        """Tell them soon: a breaker here has changed, or was parked."""
        ...

    async def take(self, places: Sequence[Place], holder: str) -> str | None:
        """Take all these places for `holder`, or none: then the name of a breaker that has none left.

        When nobody can be asked they are taken. Never waits longer than the store's time-out.
        """
        ...

    def give_back(self, breakers: Sequence[str], holder: str) -> None:
        """Give places back. Returns at once."""
        ...


class UpstreamHealth:
    """Hears how every call went, and says who may be called. Time is the process's own: `time.monotonic()`."""

    def __init__(self, resilience: Resilience, record: Callable[[Event], None]) -> None:
        """`record` hears the breakers' transitions."""
        self._record_event = record
        self.breakers = Health(resilience.breaker, resilience.retry_budget, self._changed)
        self.others: Others | None = None
        """Set where a store is shared."""
        self._configured: frozenset[str] = frozenset()
        self._providers: frozenset[str] = frozenset()
        self._places: dict[str, tuple[str, ...]] = {}
        """Attempts that have a probe's place at the others, with its breakers."""
        self._numbers = itertools.count(1)
        self._refused: dict[str, set[str]] = {}
        """Deployments that refused our credentials the last time, by provider."""
        self._operator = ("", "")
        """Why an operator forces a breaker, and who, while it is done."""
        self._first_bytes: dict[str, FirstByte] = {}
        self._hedges: dict[str, HedgeBudget] = {}
        self._draw = random.Random().random  # noqa: S311 -- jitter

    def use(self, snapshot: Snapshot) -> None:
        """Put a configuration's settings in force, watch its deployments, and forget those that it has no longer."""
        resilience, deployments = snapshot.resilience, {}
        for model in snapshot.catalog.models.values():
            deployments.update({each.id: each for each in model.deployments})
        self.breakers.forget(self._configured - deployments.keys())
        for deployment in deployments.values():
            self.breakers.watch(deployment)
        self.breakers.configure(resilience.breaker, resilience.retry_budget)
        self._configured, self._providers = frozenset(deployments), frozenset(snapshot.endpoints)
        for provider in list(self._refused):  # they may be others now: who still refuses them is told of again
            self._no_longer_refused(provider)
        if self.others is not None:
            self.others.changed()

    def draw(self) -> float:
        """A number of [0, 1) by chance."""
        return self._draw()

    # --- who may be called ---

    @property
    def is_quiet(self) -> bool:
        """Whether nothing holds calls back anywhere: then no candidate need be looked at."""
        return not self.breakers.troubled or self.breakers.all_well(time.monotonic())

    def view(self, candidates: Sequence[Deployment], now_s: float) -> tuple[Candidate, ...]:
        """The candidates of a route, as `routing.attempts.next_step` wants them."""
        return self.breakers.availability(candidates, now_s)

    def begin(self, deployment: Deployment, attempt_id: str, *, retry: bool = False) -> Admits:
        """Take what the attempt needs of breakers and retry budgets; `no` when somebody was quicker."""
        return self.breakers.begin(deployment, time.monotonic(), attempt_id, retry=retry)

    async def may_probe(self, deployment: Deployment, attempt_id: str) -> bool:
        """After `begin` said `probe`: whether other gateways leave room for it. If not, the attempt is cancelled."""
        others, now_s = self.others, time.monotonic()
        if others is None:
            return True
        both = (self.breakers.breaker(deployment.id), self.breakers.breaker(deployment.provider))
        asked = [each for each in both if each is not None and each.state == "half_open"]
        self._places[attempt_id] = tuple(each.name for each in asked)
        places = [Place(each.name, each.settings.probes, each.settings.probe_s) for each in asked]
        full = await others.take(places, attempt_id)
        if full is None:
            return True
        del self._places[attempt_id]
        self.breakers.cancel(deployment.id, attempt_id)
        self._keep_off(full, now_s)
        return False

    def _keep_off(self, name: str, now_s: float) -> None:
        """Others have all of its places: have none here for a while."""
        breaker = self.breakers.breaker(name)
        if breaker is None:
            return
        holders = [f"elsewhere-{next(self._numbers)}" for _ in range(_ELSEWHERE_MAX)]
        taken = list(itertools.takewhile(lambda holder: breaker.begin_probe(now_s, holder), holders))
        asyncio.get_running_loop().call_later(ELSEWHERE_S, _end_probes, breaker, taken)

    def _give_back(self, attempt_id: str) -> None:
        names = self._places.pop(attempt_id, None)
        if names is not None and self.others is not None:
            self.others.give_back(names, attempt_id)

    def answered(self, deployment: Deployment, attempt_id: str, began_s: float) -> None:
        """A probe's answer has begun: that is good news already, however long it may become."""
        self.breakers.answered(deployment.id, attempt_id, began_s, time.monotonic())
        self._give_back(attempt_id)

    def cancel(self, deployment: Deployment, attempt_id: str) -> None:
        """An attempt that was begun says nothing: it was never sent, or ended by us or the client."""
        self.breakers.cancel(deployment.id, attempt_id)
        if self._places:
            self._give_back(attempt_id)

    def ended(self, deployment: Deployment, attempt_id: str, began_s: float, failure: Failure | None) -> None:
        """Learn how an attempt ended; None: well."""
        draw = 0.0 if failure is None else self._draw()
        self.breakers.record(deployment.id, failure, attempt_id, began_s, time.monotonic(), draw)
        if self._places:
            self._give_back(attempt_id)
        if failure is None:
            if self._refused:
                self._accepted(deployment)
        elif failure.kind == "credentials":
            self._credentials_refused(deployment)
        elif failure.kind == "rate_limited" and self.others is not None:
            self.others.changed()  # it is parked

    # --- credentials ---

    @property
    def refused_credentials(self) -> list[str]:
        """Providers that refuse our credentials or account, as far as is known: for people to mend."""
        return sorted(self._refused)

    def _credentials_refused(self, deployment: Deployment) -> None:
        provider = deployment.provider
        known = self._refused.get(provider)
        if known is not None:
            if len(known) < FIRST_BYTES_MAX:
                known.add(deployment.id)
            return
        self._refused[provider] = {deployment.id}
        log.error(
            "the provider %s refuses the gateway's credentials or account (%s); calls fall back where they can",
            provider,
            deployment.id,
        )
        self._record_event(CredentialsRefused(time.time(), provider, refused=True))

    def _accepted(self, deployment: Deployment) -> None:
        provider = deployment.provider
        known = self._refused.get(provider)
        if known is None:
            return
        known.discard(deployment.id)
        if not known:  # another deployment may still be refused to us
            log.warning("the provider %s accepts the gateway's credentials again", provider)
            self._no_longer_refused(provider)

    def _no_longer_refused(self, provider: str) -> None:
        del self._refused[provider]
        self._record_event(CredentialsRefused(time.time(), provider, refused=False))

    # --- operators and other gateways ---

    def force(self, name: str, to: Force, reason: str, actor: str) -> Breaker:
        """Force a breaker for an operator. Raises KeyError when none has this name."""
        self._operator = (reason, actor)
        try:
            transition = self.breakers.force(name, to, time.monotonic())
        finally:
            self._operator = ("", "")
        log.warning("breaker %s: forced to %s by %s: %s", name, to, actor, reason)
        if transition is None and self.others is not None:
            self.others.changed()  # a park may have ended
        breaker = self.breakers.breaker(name)
        assert breaker is not None, "it was forced"  # noqa: S101 -- guards a programming error
        return breaker

    def is_provider(self, name: str) -> bool:
        """Whether a breaker's name is a provider's, not a deployment's."""
        return name in self._providers

    def shared(self) -> dict[str, Shared]:
        """What other gateways are to know. What a wildcard stands for, clients make up: it stays here."""
        names = self._configured | self._providers
        return {name: each for name, each in self.breakers.shared().items() if name in names}

    def adopt(self, shared: Mapping[str, Shared]) -> None:
        """Take over what others know better, and have agreed upon."""
        now_s = time.monotonic()
        for name, state in shared.items():
            breaker = self.breakers.breaker(name)
            transition = None if breaker is None else breaker.adopt(state, now_s)
            if breaker is not None and transition is not None and transition.state_to == "forced_closed":
                breaker.force("closed", now_s)  # which ends a park from before
                breaker.park(state.parked_until_s, now_s)

    def _changed(self, transition: Transition) -> None:
        name, state_from, state_to, _, reason = transition
        level = logging.WARNING if state_to in ("open", "forced_open") else logging.INFO
        log.log(level, "breaker %s: %s -> %s (%s)", name, state_from, state_to, reason)
        note, actor = self._operator
        self._record_event(BreakerChanged(time.time(), name, state_from, state_to, reason, note, actor))
        if reason != "shared" and self.others is not None:
            self.others.changed()

    # --- hedging ---

    def expect_first_byte(self, model: Model, deployment: Deployment, began_s: float) -> float | None:
        """When a call that begins now is late, so that it is worth a hedge; None: never. Counts the request."""
        if model.hedge is None:
            return None
        budget = self._hedges.get(model.name)
        if budget is None or budget.settings is not model.hedge:
            budget = self._hedges[model.name] = HedgeBudget(model.hedge)
        budget.began()
        known = self._first_bytes.get(deployment.id)
        return None if known is None else hedge_at_s(known, model.hedge, began_s)

    def retry_budgets(self) -> dict[str, float]:
        """What is used of each configured deployment's budget for retries, by id: a share of what it allows now."""
        used = self.breakers.retries_used(time.monotonic())
        return {name: ratio for name, ratio in used.items() if name in self._configured}

    def hedge_budgets(self) -> dict[str, float]:
        """What is used of each hedging model's budget for hedges that was asked for one so far, by name."""
        return {name: budget.used_ratio for name, budget in self._hedges.items()}

    def may_hedge(self, model: Model) -> bool:
        """Pay for one hedge of the model's; False when too few requests have come since the last ones."""
        budget = self._hedges.get(model.name)
        if budget is not None and budget.take():
            return True
        self.denied(model, "hedge")
        return False

    def denied(self, model: Model, kind: str) -> None:
        """A `retry` or `hedge` is not made because too many were lately."""
        self._record_event(AttemptDenied(model.name, kind))

    def first_byte(self, deployment: Deployment, after_s: float) -> None:
        """Take note of a first byte, or of how long was waited for one that did not come. For models that hedge."""
        known = self._first_bytes.get(deployment.id)
        if known is None:
            if len(self._first_bytes) >= FIRST_BYTES_MAX:
                del self._first_bytes[next(iter(self._first_bytes))]
            known = self._first_bytes[deployment.id] = FirstByte()
        known.observe(after_s)


def _end_probes(breaker: Breaker, holders: Sequence[str]) -> None:
    for holder in holders:
        breaker.end_probe(holder)
