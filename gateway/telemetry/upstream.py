"""Counts what happens on the way to providers: attempts, breakers, budgets for retries and hedges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.telemetry.events import AttemptDenied, AttemptEnded, BreakerChanged, ChargePosted, CredentialsRefused
from gateway.telemetry.labels import OTHER, Label

if TYPE_CHECKING:
    from gateway.telemetry import exposition

_STATES = {"closed": 0, "forced_closed": 0, "half_open": 1, "open": 2, "forced_open": 2}

_Counts = dict[tuple[str, ...], int]


class UpstreamCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about providers."""

    def __init__(self, labels: Mapping[str, Label]) -> None:
        """`labels` are those of the metrics; `breaker` is for deployments and providers alike."""
        self._labels = labels
        self._attempts: _Counts = {}
        self._well: dict[tuple[str, str], tuple[str, ...]] = {}
        """What a charge says of its attempt, as the metric says it: the look-up of the usual one."""
        self._transitions: _Counts = {}
        self._denied: _Counts = {}
        self._states: dict[str, int] = {}
        self._refused: dict[str, bool] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            AttemptEnded: self._ended,
            AttemptDenied: self._not_made,
            BreakerChanged: self._changed,
            CredentialsRefused: self._credentials,
        }

    def set_known(self, deployments: Iterable[str], providers: Iterable[str]) -> None:
        """Declare the configured ids. What a wildcard stands for is counted as `_other`."""
        deployments, providers = tuple(deployments), tuple(providers)
        self._well.clear()
        self._labels["deployment"].set_known(deployments)
        breaker = self._labels["breaker"]
        breaker.set_known((*deployments, *providers))
        shown = [name for name in (*providers, *deployments) if breaker.value(name) != OTHER]
        self._states = {name: self._states.get(name, 0) for name in shown}
        self._refused = {name: self._refused.get(name, False) for name in providers}

    def _ended(self, event: AttemptEnded) -> None:
        key = (self._labels["deployment"].value(event.deployment), event.kind, event.outcome)
        self._attempts[key] = self._attempts.get(key, 0) + 1

    def went_well(self, charge: ChargePosted) -> None:
        """Count the attempt of a charge that says that it went well."""
        place = (charge.deployment, charge.purpose)
        key = self._well.get(place)
        if key is None:
            kind = "first" if charge.purpose == "useful" else charge.purpose
            key = (self._labels["deployment"].value(charge.deployment), kind, "ok")
            if key[0] != OTHER:  # clients could make as many as they like
                self._well[place] = key
        self._attempts[key] = self._attempts.get(key, 0) + 1

    def _not_made(self, event: AttemptDenied) -> None:
        key = (self._labels["model"].value(event.model), event.kind)
        self._denied[key] = self._denied.get(key, 0) + 1

    def _changed(self, event: BreakerChanged) -> None:
        name = self._labels["breaker"].value(event.breaker)
        key = (name, event.state_to, event.reason)
        self._transitions[key] = self._transitions.get(key, 0) + 1
        if name in self._states:
            self._states[name] = _STATES[event.state_to]

    def _credentials(self, event: CredentialsRefused) -> None:
        if event.provider in self._refused:
            self._refused[event.provider] = event.refused

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._well.clear()
        for name, counts in (("deployment", self._attempts), ("breaker", self._transitions), ("model", self._denied)):
            if name == label:
                for key in [key for key in counts if key[0] == value]:
                    del counts[key]

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows."""
        yield "attempts_total", list(self._attempts.items())
        yield "attempts_denied_total", list(self._denied.items())
        yield "breaker_state", [((name,), state) for name, state in self._states.items()]
        yield "breaker_transitions_total", list(self._transitions.items())
        yield "credentials_refused", [((name,), refused) for name, refused in self._refused.items()]
