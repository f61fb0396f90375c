"""Written breakers, retries, fallbacks and hedges into what `routing` decides by."""

from __future__ import annotations

from gateway.config.models import RawConfig
from gateway.config.models.resilience import Hedge
from gateway.config.snapshot import Resilience
from routing.attempts import AttemptRules
from routing.breaker import BreakerSettings
from routing.failures import Fallback
from routing.hedge import HedgeSettings
from routing.retry_budget import RetryBudgetSettings


def build_resilience(raw: RawConfig) -> Resilience:
    """What is done on a provider's bad day."""
    retries = raw.retries
    return Resilience(
        BreakerSettings(**raw.breaker.model_dump()),
        AttemptRules(
            retries=retries.max,
            retry_billable=retries.billable,
            fallback_on=_fallbacks(raw),
            backoff_s=retries.backoff_s,
            backoff_max_s=retries.backoff_max_s,
            wait_max_s=retries.wait_max_s,
            max_attempts=retries.max_attempts,
        ),
        RetryBudgetSettings(retries.budget_ratio, retries.budget_floor, retries.budget_window_s),
    )


def _fallbacks(raw: RawConfig) -> frozenset[Fallback]:
    written = raw.fallback
    switches: dict[Fallback, bool] = {
        "outage": written.outage,
        "rate_limit": written.rate_limit,
        "context": written.context,
        "content_filter": written.content_filter,
    }
    return frozenset((*(name for name, on in switches.items() if on), "unverified"))


def hedge_settings(written: Hedge | None) -> HedgeSettings | None:
    """When a model's calls are hedged; None: never."""
    return None if written is None else HedgeSettings(**written.model_dump())
