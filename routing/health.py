"""All breakers of a process: one per deployment and one per provider, with the deployments' retry budgets. Pure.

A provider's breaker opens when several of its deployments are open at the same time: at least two, and at least half of
those called lately. Then a call to any of them has to get past both breakers: all of them together are held to the
provider's probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from routing.attempts import Candidate
from routing.breaker import Admits, Breaker, BreakerSettings, Force, Shared, Transition
from routing.catalog import Deployment
from routing.failures import MEANINGS, Failure
from routing.retry_budget import RetryBudget, RetryBudgetSettings

TOGETHER: Final = 2
"""Deployments that have to be open before their provider is suspected."""
LOOK_S: Final = 0.1
"""How long a breaker that is well again may be taken for one that is not, which costs a look at all candidates."""
UNKNOWN_PARK_S: Final = 1.0
"""How long a 429 without Retry-After parks a deployment."""
DEPLOYMENTS_MAX: Final = 10_000
"""Deployments that are watched at most: wildcards let clients make up names. Those that are well are then forgotten."""


class _Provider:
    __slots__ = ("breaker", "credentials_refused", "deployments")

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.deployments: dict[str, Breaker] = {}
        self.credentials_refused = False


class _Watched:
    __slots__ = ("breaker", "listed", "provider", "retries", "well")

    def __init__(self, breaker: Breaker, provider: _Provider, retries: RetryBudget, well: Candidate) -> None:
        self.breaker = breaker
        self.listed = False
        """`watch` was asked for it: it stays until `forget` is."""
        self.provider = provider
        self.retries = retries
        self.well = well
        """What to say of it while nothing is wrong."""


class Health:
    """Whom to call. `report` hears every breaker's transitions."""

    __slots__ = ("_deployments", "_looked_s", "_providers", "_report", "_retry_budget", "_settings", "troubled")

    def __init__(
        self,
        settings: BreakerSettings,
        retry_budget: RetryBudgetSettings,
        report: Callable[[Transition], None] = lambda _transition: None,
    ) -> None:
        self._settings = settings
        self._retry_budget = retry_budget
        self._report = report
        self._deployments: dict[str, _Watched] = {}
        self._providers: dict[str, _Provider] = {}
        self.troubled: set[Breaker] = set()
        """Breakers that may be holding calls back; `all_well` takes out those that no longer do."""
        self._looked_s = -float("inf")

    # --- what is watched ---

    def configure(self, settings: BreakerSettings, retry_budget: RetryBudgetSettings) -> None:
        """Go on with other settings, for all that is watched. Retry budgets that change begin anew."""
        self._settings = settings
        for breaker in self.breakers():
            breaker.configure(settings)
        if retry_budget != self._retry_budget:
            self._retry_budget = retry_budget
            for watched in self._deployments.values():
                watched.retries = RetryBudget(retry_budget)

    def watch(self, deployment: Deployment, settings: BreakerSettings | None = None) -> None:
        """Watch a deployment, with settings of its own if given. One that is watched keeps its state."""
        found = self._deployments.get(deployment.id)
        if found is None:
            found = self._add(deployment)
        found.listed = True
        found.breaker.configure(settings or self._settings)

    def _add(self, deployment: Deployment) -> _Watched:
        if len(self._deployments) >= DEPLOYMENTS_MAX:
            made_up = [name for name, each in self._deployments.items() if not each.listed]
            self.forget([name for name in made_up if self._deployments[name].breaker.state == "closed"])
        provider = self._providers.get(deployment.provider)
        if provider is None:
            provider = _Provider(Breaker(deployment.provider, self._settings, self._report, self.troubled))
            self._providers[deployment.provider] = provider
        breaker = Breaker(deployment.id, self._settings, self._report, self.troubled)
        provider.deployments[deployment.id] = breaker
        watched = _Watched(breaker, provider, RetryBudget(self._retry_budget), _well(deployment))
        self._deployments[deployment.id] = watched
        return watched

    def forget(self, deployment_ids: Iterable[str]) -> None:
        """Stop watching deployments, and providers that have none left."""
        for name in deployment_ids:
            watched = self._deployments.pop(name, None)
            if watched is None:
                continue
            provider = watched.provider
            self.troubled.discard(watched.breaker)
            del provider.deployments[name]
            if not provider.deployments:
                self.troubled.discard(provider.breaker)
                del self._providers[provider.breaker.name]

    def breakers(self) -> list[Breaker]:
        """All of them: providers', then deployments', each by name."""
        providers = [self._providers[name].breaker for name in sorted(self._providers)]
        return providers + [self._deployments[name].breaker for name in sorted(self._deployments)]

    def breaker(self, name: str) -> Breaker | None:
        """The breaker of a deployment's id or a provider's; None if it is not watched."""
        watched = self._deployments.get(name)
        if watched is not None:
            return watched.breaker
        provider = self._providers.get(name)
        return None if provider is None else provider.breaker

    def retries_used(self, now_s: float) -> dict[str, float]:
        """What is used of each deployment's retry budget."""
        return {name: each.retries.used_ratio(now_s) for name, each in self._deployments.items()}

    def refused_credentials(self) -> list[str]:
        """Providers that refused our credentials or account and have not answered well since: for people to mend."""
        return sorted(name for name, each in self._providers.items() if each.credentials_refused)

    # --- one call ---

    def all_well(self, now_s: float) -> bool:
        """Whether every breaker is closed and none is parked. May say so a moment late, and never too soon."""
        troubled = self.troubled
        if troubled and not self._looked_s <= now_s < self._looked_s + LOOK_S:
            self._looked_s = now_s
            troubled.difference_update([each for each in troubled if not each.troubled(now_s)])
        return not troubled

    def availability(self, deployments: Iterable[Deployment], now_s: float) -> tuple[Candidate, ...]:
        """Candidates as `next_step` wants them. Deployments that were never called are well."""
        return tuple([self._candidate(each, now_s) for each in deployments])

    def _candidate(self, deployment: Deployment, now_s: float) -> Candidate:
        watched = self._deployments.get(deployment.id)
        if watched is None:
            watched = self._add(deployment)
        mine, above = watched.breaker, watched.provider.breaker
        admits = _both(mine.admits(now_s), above.admits(now_s))
        may_retry = watched.retries.allows(now_s)
        if admits == "yes" and may_retry:
            if watched.well.context_tokens != deployment.context_tokens:  # it was configured anew
                watched.well = _well(deployment)
            return watched.well
        if admits != "no":
            return Candidate(admits, now_s, False, may_retry, deployment.context_tokens)
        retry_at_s = max(mine.retry_at_s(now_s), above.retry_at_s(now_s))
        only_parked = mine.only_parked(now_s) and above.admits(now_s) != "no"
        return Candidate(admits, retry_at_s, only_parked, may_retry, deployment.context_tokens)

    def begin(self, deployment: Deployment, now_s: float, holder: str, *, retry: bool = False) -> Admits:
        """Begin a call: `no` means that it must not; after `yes` or `probe` a `record` or `cancel` has to follow.

        `holder` names the attempt. A probe takes its place in every breaker that asks for one, a `retry` its part of
        the retry budget; where either is gone, nothing is taken.
        """
        watched = self._deployments.get(deployment.id)
        if watched is None:
            watched = self._add(deployment)
        if not self.troubled and not retry:
            watched.retries.began(now_s)
            watched.breaker.begin(now_s, holder)
            return "yes"
        mine, above = watched.breaker, watched.provider.breaker
        admits = _both(mine.admits(now_s), above.admits(now_s))
        if admits == "no":
            return "no"
        if not retry:
            watched.retries.began(now_s)
        elif not watched.retries.take(now_s):
            return "no"
        if admits == "probe":
            mine.begin_probe(now_s, holder)  # takes nothing where its breaker admits everybody
            above.begin_probe(now_s, holder)
        else:
            mine.begin(now_s, holder, again=retry)
        return admits

    def cancel(self, deployment_id: str, holder: str) -> None:
        """A call that was begun and never sent, or ended by us: it gives its places back, and nothing is learned."""
        watched = self._deployments.get(deployment_id)
        if watched is not None:
            watched.breaker.cancel(holder)
            watched.provider.breaker.end_probe(holder)

    def answered(self, deployment_id: str, holder: str, began_s: float, now_s: float) -> None:
        """The first byte of an answer came. A probe is good from here on, so that long answers delay no recovery.

        `record` follows all the same, for all calls. Of a probe that was good it changes nothing any more.
        """
        watched = self._deployments.get(deployment_id)
        if watched is None:
            return
        for breaker in (watched.breaker, watched.provider.breaker):
            if breaker.state != "closed":
                breaker.record("ok", now_s, 0.0, began_s, holder)

    def record(  # noqa: PLR0917 -- all of them say how one call went
        self, deployment_id: str, failure: Failure | None, holder: str, began_s: float, now_s: float, draw: float
    ) -> None:
        """Learn how a call ended: `failure` is None when it went well. `draw` is a number of [0, 1) by chance."""
        watched = self._deployments.get(deployment_id)
        if watched is None:  # forgotten meanwhile
            return
        mine, provider = watched.breaker, watched.provider
        if failure is None and not self.troubled:
            provider.credentials_refused = False
            mine.record("ok", now_s, draw, began_s, holder)
            return
        outcome = "ok" if failure is None else MEANINGS[failure.kind].outcome
        if failure is None:
            provider.credentials_refused = False
        elif failure.kind == "credentials":
            provider.credentials_refused = True
        elif failure.kind == "rate_limited":
            park_s = UNKNOWN_PARK_S if failure.retry_after_s is None else failure.retry_after_s
            mine.park(now_s + park_s, now_s)
        opened = mine.record(outcome, now_s, draw, began_s, holder)
        if provider.breaker.state != "closed":
            provider.breaker.record(outcome, now_s, draw, began_s, holder)
        elif opened is not None and opened.state_to == "open":
            self._suspect(provider, now_s, draw)

    def _suspect(self, provider: _Provider, now_s: float, draw: float) -> None:
        """Open the provider's breaker if enough of its deployments are open together."""
        deployments = provider.deployments.values()
        waiting = sum(each.waiting(now_s) for each in deployments)
        if waiting >= TOGETHER and 2 * waiting >= sum(not each.idle(now_s) for each in deployments):
            provider.breaker.trip(now_s, draw, "deployments_open")

    # --- operators and other gateways ---

    def force(self, name: str, to: Force, now_s: float) -> Transition | None:
        """Force the breaker of a deployment or provider. Raises KeyError when it is not watched."""
        breaker = self.breaker(name)
        if breaker is None:
            raise KeyError(name)
        return breaker.force(to, now_s)

    def shared(self) -> dict[str, Shared]:
        """Every breaker's state by name, but for those to which nothing ever happened."""
        return {each.name: each.shared() for each in self.breakers() if not each.quiet}

    def adopt(self, shared: Mapping[str, Shared], now_s: float) -> None:
        """Take over what other gateways know and this one does not. Names that are not watched here are left out."""
        for name, state in shared.items():
            breaker = self.breaker(name)
            if breaker is not None:
                breaker.adopt(state, now_s)


def _well(deployment: Deployment) -> Candidate:
    return Candidate("yes", context_tokens=deployment.context_tokens)


def _both(mine: Admits, above: Admits) -> Admits:
    if mine == "yes":
        return above
    return "no" if above == "no" else mine
