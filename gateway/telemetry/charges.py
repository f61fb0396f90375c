"""Counts what upstream calls cost, how many tokens they took, and how quick those that went well were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.telemetry.events import WELL, AttemptEnded, ChargePosted, OrphanReturned
from gateway.telemetry.labels import OTHER, Label, Owners
from gateway.telemetry.names import AGENT, DEPLOYMENT, OFFER
from gateway.telemetry.series import TOKEN_KINDS, ChargeSeries, DeploymentSeries, Key, OfferSeries, Tally, forget

if TYPE_CHECKING:
    from gateway.telemetry import exposition
    from routing.catalog import Deployment

SPEED_AFTER_MS: Final = 100.0
"""An answer that came quicker than this after its first byte says nothing of how fast it was generated."""
_KINDS = frozenset(("retry", "fallback", "hedge"))


class ChargeCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about attempts and their charges."""

    def __init__(self, labels: Mapping[str, Label], owners: Owners) -> None:
        self._labels = labels
        self._owners = owners
        self._charges: dict[Key, ChargeSeries] = {}
        self._offers: dict[Key, OfferSeries] = {}
        self._deployments: dict[Key, DeploymentSeries] = {}
        self._attempts = Tally(*DEPLOYMENT, "kind", "outcome")
        self._overrun = Tally(*AGENT)
        self._orphaned = Tally(*AGENT)
        self._returned = Tally(*AGENT, *OFFER)
        self._models: dict[str, str] = {}
        self._charge_routes: dict[Key, ChargeSeries] = {}
        """From what an event says to its series, for values that are admitted: the look-up of the usual event."""
        self._well: dict[Key, tuple[DeploymentSeries, Key]] = {}
        """The same of attempts that went well: by deployment and purpose."""
        self.handlers: dict[type, Callable[[Any], None]] = {
            ChargePosted: self._charged,
            AttemptEnded: self._ended,
            OrphanReturned: self._orphan_returned,
        }

    def set_known(self, deployments: Iterable[Deployment]) -> None:
        """The configured ids have changed."""
        deployments = tuple(deployments)
        self._models = {each.id: each.model for each in deployments}
        self._labels["deployment"].set_known(self._models)
        self._charge_routes.clear()
        self._well.clear()

    def _charged(self, event: ChargePosted) -> None:
        outcome = event.outcome
        key = (event.org, event.team, event.agent, event.model, event.provider, outcome, event.purpose)
        series = self._charge_routes.get(key) or self._charge_series(key)
        series.nano_usd += event.cost_nano_usd
        series.add_usage(event.usage)
        if outcome in WELL:
            self._went_well(event)
        if event.estimated:
            series.offer.usage_missing += 1
        if event.unpriced:
            series.offer.unpriced += 1
        if event.cost_nano_usd > event.reserved_nano_usd > 0:
            self._overrun.add(self._owners.of(event.agent), event.cost_nano_usd - event.reserved_nano_usd)
        if event.resolution == "orphaned":
            owner = self._owners.of(event.agent)
            self._orphaned.add(owner, event.cost_nano_usd)
            self._returned.add((*owner, *self._offer(event.model, event.provider)), 0)

    def _orphan_returned(self, event: OrphanReturned) -> None:
        self._returned.add(
            (*self._owners.of(event.agent), *self._offer(event.model, event.provider)), event.cost_nano_usd
        )

    def _offer(self, model: str, provider: str) -> Key:
        return self._labels["model"].value(model), self._labels["provider"].value(provider)

    def _went_well(self, event: ChargePosted) -> None:
        place = (event.deployment, event.purpose)
        series, key = self._well.get(place) or self._well_series(place)
        attempts = self._attempts.rows
        attempts[key] = attempts.get(key, 0) + 1
        latency_ms, first_ms = event.latency_ms, event.first_token_ms
        series.duration.observe(latency_ms)
        if first_ms is not None:
            series.first_token.observe(first_ms)
            if latency_ms - first_ms >= SPEED_AFTER_MS:
                series.tokens_per_s.observe(event.usage.output_tokens * 1000 / (latency_ms - first_ms))

    def _ended(self, event: AttemptEnded) -> None:
        self._attempts.add((*self._where(event.deployment), event.kind, event.outcome))

    # ── series ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _charge_series(self, key: Key) -> ChargeSeries:
        org, team, agent, model, provider, outcome, purpose = key
        label = self._labels
        who = (label["org"].value(org), label["team"].value(team), label["agent"].value(agent))
        what = self._offer(model, provider)
        labels = (*who, *what, outcome, purpose)
        series = self._charges.get(labels)
        if series is None:
            offer = self._offers.setdefault(what, OfferSeries(what))
            for tally in (self._overrun, self._orphaned):  # so that the first dollar is seen as an increase
                tally.add(who, 0)
            series = self._charges[labels] = ChargeSeries(labels, offer)
        if OTHER not in labels:  # clients could make as many as they like
            self._charge_routes[key] = series
        return series

    def _well_series(self, place: Key) -> tuple[DeploymentSeries, Key]:
        deployment, purpose = place
        labels = self._where(deployment)
        series = self._deployments.get(labels)
        if series is None:
            series = self._deployments[labels] = DeploymentSeries(labels)
        found = series, (*labels, purpose if purpose in _KINDS else "first", "ok")
        if labels[2] != OTHER:
            self._well[place] = found
        return found

    def _where(self, deployment: str) -> Key:
        """Model, provider and deployment. What a wildcard stands for is `_other` at its provider."""
        label = self._labels
        provider = label["provider"].value(deployment.partition("/")[0])
        model = self._models.get(deployment)
        if model is None:
            return OTHER, provider, OTHER
        return label["model"].value(model), provider, label["deployment"].value(deployment)

    def place_of(self, deployment: str) -> Key | None:
        """The labels of a configured deployment's gauges; None where it has no series of its own."""
        model, provider = self._models.get(deployment), deployment.partition("/")[0]
        values = zip(DEPLOYMENT, (model or "", provider, deployment), strict=True)
        return (
            (model, provider, deployment)
            if model is not None and all(self._labels[name].take(value) for name, value in values)
            else None
        )

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._charge_routes.clear()
        self._well.clear()
        forget(self._charges, (*AGENT, *OFFER), label, value)  # type: ignore[arg-type]  # only keys are looked at
        forget(self._offers, OFFER, label, value)  # type: ignore[arg-type]
        forget(self._deployments, DEPLOYMENT, label, value)  # type: ignore[arg-type]
        for tally in (self._attempts, self._overrun, self._orphaned, self._returned):
            tally.forget(label, value)

    # ── copying ──────────────────────────────────────────────────────────────────────────────────────────────────

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows, in the unit we count in. Tokens are left to `tokens`, off the event loop."""
        offers, deployments = self._offers.values(), self._deployments.values()
        yield "cost_usd_total", [(s.labels, s.nano_usd) for s in self._charges.values()]
        yield "cost_returned_usd_total", self._returned.copy()
        yield "usage_missing_total", [(s.labels, s.usage_missing) for s in offers]
        yield "unpriced_requests_total", [(s.labels, s.unpriced) for s in offers]
        yield "overrun_usd_total", self._overrun.copy()
        yield "orphaned_usd_total", self._orphaned.copy()
        yield "attempts_total", self._attempts.copy()
        yield "attempt_duration_seconds", [(s.labels, s.duration.freeze()) for s in deployments]
        yield "attempt_first_token_seconds", [(s.labels, s.first_token.freeze()) for s in deployments]
        yield "output_tokens_per_second", [(s.labels, s.tokens_per_s.freeze()) for s in deployments]

    def copy_tokens(self) -> list[tuple[Key, tuple[int, ...]]]:
        """Each charge series' labels and tokens, for `sum_tokens`."""
        return [(s.labels, tuple(s.tokens)) for s in self._charges.values()]


def sum_tokens(charges: Iterable[tuple[Key, tuple[int, ...]]]) -> list[tuple[Key, int]]:
    """Tokens summed over outcomes and purposes. Kinds that never occurred get no line, but for input and output."""
    sums: dict[Key, tuple[int, ...]] = {}
    for labels, tokens in charges:
        before = sums.get(labels[:5])
        sums[labels[:5]] = tokens if before is None else tuple([a + b for a, b in zip(before, tokens, strict=True)])
    return [
        ((*labels, kind), count)
        for labels, tokens in sums.items()
        for kind, count in zip(TOKEN_KINDS, tokens, strict=True)
        if count or kind in {"input", "output"}
    ]
