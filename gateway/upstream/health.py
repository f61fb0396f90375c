"""How the providers are, as this process knows it: breakers, retry budgets, first bytes. Shared by all requests."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from gateway.config.snapshot import Resilience
from gateway.telemetry.events import BreakerChanged, Event
from routing.attempts import Candidate
from routing.breaker import Admits, Transition
from routing.catalog import Deployment, Model
from routing.failures import Failure
from routing.health import Health
from routing.hedge import FirstByte, HedgeBudget, hedge_at_s

log = logging.getLogger("farebox.health")

FIRST_BYTES_MAX: Final = 1_000
"""Deployments whose first bytes are remembered; the longest known go first."""


class UpstreamHealth:
    """Hears how every call went, and says who may be called. Time is the process's own: `time.monotonic()`."""

    def __init__(self, resilience: Resilience, record: Callable[[Event], None]) -> None:
        """`record` hears the breakers' transitions."""
        self._record_event = record
        self.breakers = Health(resilience.breaker, resilience.retry_budget, self._changed)
        self._first_bytes: dict[str, FirstByte] = {}
        self._hedges: dict[str, HedgeBudget] = {}
        self._draw = random.Random().random  # noqa: S311 -- jitter

    def draw(self) -> float:
        """A number of [0, 1) by chance."""
        return self._draw()

    # --- who may be called ---

    def view(self, candidates: Sequence[Deployment], now_s: float) -> tuple[Candidate, ...]:
        """The candidates of a route, as `routing.attempts.next_step` wants them."""
        return self.breakers.availability(candidates, now_s)

    def begin(self, deployment: Deployment, attempt_id: str, *, retry: bool = False) -> Admits:
        """Take what the attempt needs of breakers and retry budgets; `no` when somebody was quicker."""
        return self.breakers.begin(deployment, time.monotonic(), attempt_id, retry=retry)

    def answered(self, deployment: Deployment, attempt_id: str, began_s: float) -> None:
        """A probe's answer has begun: that is good news already, however long it may become."""
        self.breakers.answered(deployment.id, attempt_id, began_s, time.monotonic())

    def cancel(self, deployment: Deployment, attempt_id: str) -> None:
        """An attempt that was begun says nothing: it was never sent, or ended by us or the client."""
        self.breakers.cancel(deployment.id, attempt_id)

    def ended(self, deployment: Deployment, attempt_id: str, began_s: float, failure: Failure | None) -> None:
        """Learn how an attempt ended; None: well."""
        if failure is not None and failure.kind == "credentials":
            log.error(
                "the provider %s refuses the gateway's credentials or account; calls fall back where they can",
                deployment.provider,
            )
        self.breakers.record(deployment.id, failure, attempt_id, began_s, time.monotonic(), self._draw())

    def _changed(self, transition: Transition) -> None:
        level = logging.WARNING if transition.state_to in ("open", "forced_open") else logging.INFO
        log.log(
            level,
            "breaker %s: %s -> %s (%s)",
            transition.name,
            transition.state_from,
            transition.state_to,
            transition.reason,
        )
        self._record_event(
            BreakerChanged(time.time(), transition.name, transition.state_from, transition.state_to, transition.reason)
        )

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

    def may_hedge(self, model: Model) -> bool:
        """Pay for one hedge of the model's; False when too few requests have come since the last ones."""
        budget = self._hedges.get(model.name)
        return budget is not None and budget.take()

    def first_byte(self, deployment: Deployment, after_s: float) -> None:
        """Take note of a first byte, or of how long was waited for one that did not come. For models that hedge."""
        known = self._first_bytes.get(deployment.id)
        if known is None:
            if len(self._first_bytes) >= FIRST_BYTES_MAX:
                del self._first_bytes[next(iter(self._first_bytes))]
            known = self._first_bytes[deployment.id] = FirstByte()
        known.observe(after_s)
