"""What keeps answers coming: breakers, attempts, latency, and Farebox itself."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import frame
from gateway.telemetry.boards.frame import Head, Line, Section
from gateway.telemetry.boards.panels import (
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    About,
    Query,
    bad_above,
    bad_below,
    lines,
    ranking,
    stacked,
    stat_of,
    states,
)
from gateway.telemetry.boards.queries import AGENTS, increase, quantile, rate, share

HEAD: Final = Head(
    "farebox-reliability", "Reliability", "Providers' health as Farebox sees it, and Farebox's own.", "now-6h"
)
_ZERO: Final = bad_above(1, 1)
BREAKER: Final = {"0": ("closed", "green"), "1": ("half-open", "orange"), "2": ("open", "red")}
_OUTCOMES: Final = (
    ("ok", "green"),
    ("cancelled", "yellow"),
    ("server_error", "red"),
    ("timeout", "orange"),
    ("unreachable", "dark-red"),
    ("rate_limited", "purple"),
)
_MODEL: Final = 'model=~"$model"'


def build() -> model.Dashboard:
    """The board."""
    variables = (frame.prometheus(), *frame.labels("org", "team", "agent", "model"))
    return frame.board(
        HEAD,
        variables,
        (
            Section("Now", (Line(4, _now()),)),
            Section("Providers", (Line(10, _breakers()), Line(9, _attempts()), Line(9, _speed()))),
            Section("What agents see", (Line(9, _answers()),)),
            Section("Second attempts", (Line(8, _second()),)),
            Section("Farebox itself", (Line(8, _store()), Line(8, _self()), Line(8, _people()), Line(8, _alerts()))),
        ),
    )


def _now() -> tuple[model.Panel, ...]:
    failed = rate("farebox_requests_total", where=f'{AGENTS},outcome=~"upstream_error|cut|error"', window="5m")
    every = rate("farebox_requests_total", window="5m")
    return (
        stat_of(
            About("Open breakers", "Deployments and providers that are not called at this moment.", COUNT, _ZERO),
            Query("count(max by (breaker) (farebox_breaker_state) == 2) or vector(0)"),
        ),
        stat_of(
            About("Credentials refused", "Providers that refuse Farebox's key or account.", COUNT, _ZERO),
            Query("sum(max by (provider) (farebox_credentials_refused))"),
        ),
        stat_of(
            About(
                "Errors",
                "Share of the last five minutes' requests that failed upstream.",
                SHARE,
                bad_above(0.01, 0.05),
                2,
            ),
            Query(share(failed, every)),
        ),
        stat_of(
            About("Store", "1 while every gateway can read and reserve budgets.", COUNT, bad_below(1, 1)),
            Query("min(farebox_store_up)"),
        ),
        stat_of(
            About(
                "Journal's lag",
                "Age of the oldest row that waits for the database. Over 5 s nothing is admitted.",
                SECONDS,
                bad_above(1, 5),
            ),
            Query("max(farebox_journal_lag_seconds)"),
        ),
        stat_of(
            About(
                "Stale configuration",
                "Gateways whose newest configuration was refused: they keep the one before.",
                COUNT,
                _ZERO,
            ),
            Query("sum(farebox_config_stale)"),
        ),
    )


def _breakers() -> tuple[model.Panel, ...]:
    return (
        states(
            About("Breakers", "Each deployment and provider over time, the worst of all gateways. Closed is good."),
            Query("max by (breaker) (farebox_breaker_state)", "{{breaker}}", "30s"),
            BREAKER,
        ),
        stacked(
            About("Changes of breakers", "Which state they changed to, and why.", COUNT, least=0),
            Query(
                increase("farebox_breaker_transitions_total", "breaker, state, reason", "", "$__interval"),
                "{{breaker}} {{state}}: {{reason}}",
                "5m",
            ),
        ),
    )


def _attempts() -> tuple[model.Panel, ...]:
    bad = rate("farebox_attempts_total", "deployment", f'{_MODEL},outcome!~"ok|cancelled"')
    return (
        stacked(
            About("Upstream calls, by how they ended", "Retries, fallbacks and hedges included.", COUNT, least=0),
            Query(increase("farebox_attempts_total", "outcome", _MODEL, "$__interval"), "{{outcome}}", "5m"),
            colors=_OUTCOMES,
        ),
        lines(
            About(
                "Failed, by deployment",
                "Share of a deployment's upstream calls that failed.",
                SHARE,
                bad_above(0.05, 0.5),
                least=0,
                most=1,
            ),
            Query(share(bad, rate("farebox_attempts_total", "deployment", _MODEL)), "{{deployment}}", "1m"),
        ),
        lines(
            About("Connections", "To providers, in use and waiting to be used.", COUNT, least=0),
            Query("sum by (state) (farebox_upstream_connections)", "{{state}}"),
        ),
    )


def _speed() -> tuple[model.Panel, ...]:
    return (
        lines(
            About(
                "Answer time by deployment", "95% of upstream calls that went well took no longer.", SECONDS, least=0
            ),
            Query(quantile(0.95, "farebox_attempt_duration_seconds", "deployment", _MODEL), "{{deployment}}", "5m"),
            percentile=True,
        ),
        lines(
            About("First token by deployment", "95% of upstream calls began their answer no later.", SECONDS, least=0),
            Query(quantile(0.95, "farebox_attempt_first_token_seconds", "deployment", _MODEL), "{{deployment}}", "5m"),
            percentile=True,
        ),
        lines(
            About(
                "Output tokens per second", "The median of streamed answers, from first byte to last.", COUNT, least=0
            ),
            Query(quantile(0.5, "farebox_output_tokens_per_second", "deployment", _MODEL), "{{deployment}}", "5m"),
            percentile=True,
        ),
    )


def _answers() -> tuple[model.Panel, ...]:
    overhead = "farebox_overhead_seconds"
    return (
        stacked(
            About("Errors, by code", "What agents' clients got; docs/errors.md explains each.", COUNT, least=0),
            Query(increase("farebox_errors_total", "code", window="$__interval"), "{{code}}", "5m"),
        ),
        lines(
            About("Answer time", "From a request's arrival to its answer's last byte.", SECONDS, least=0),
            Query(quantile(0.5, "farebox_request_duration_seconds"), "median", "1m"),
            Query(quantile(0.95, "farebox_request_duration_seconds"), "95%", "1m"),
            Query(quantile(0.99, "farebox_request_duration_seconds"), "99%", "1m"),
            percentile=True,
        ),
        lines(
            About("Farebox's own part", "A request's time less that spent waiting for the provider.", SECONDS, least=0),
            Query(quantile(0.5, overhead), "median", "1m"),
            Query(quantile(0.99, overhead), "99%", "1m"),
            percentile=True,
        ),
        lines(
            About("Requests under way", "Being served at each moment, by agent.", COUNT, least=0),
            Query(f"sum by (agent) (farebox_in_flight_requests{{{AGENTS}}})", "{{agent}}"),
        ),
    )


def _second() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About(
                "Upstream calls, by kind",
                "First calls, and the retries, fallbacks and hedges after them.",
                COUNT,
                least=0,
            ),
            Query(increase("farebox_attempts_total", "kind", _MODEL, "$__interval"), "{{kind}}", "5m"),
        ),
        lines(
            About(
                "Retry budget used",
                "Of the retries that a deployment may have lately. At 1 there are no more.",
                SHARE,
                bad_above(0.5, 1),
                least=0,
            ),
            Query(f"max by (deployment) (farebox_retry_budget_used_ratio{{{_MODEL}}})", "{{deployment}}"),
        ),
        lines(
            About(
                "Hedge budget used",
                "Of the hedges that a model may have lately. At 1 there are no more.",
                SHARE,
                bad_above(0.5, 1),
                least=0,
            ),
            Query(f"max by (model) (farebox_hedge_budget_used_ratio{{{_MODEL}}})", "{{model}}"),
        ),
        stacked(
            About(
                "Not made", "Retries and hedges that were not made because their budget was used up.", COUNT, least=0
            ),
            Query(
                increase("farebox_attempts_denied_total", "model, kind", _MODEL, "$__interval"),
                "{{model}} {{kind}}",
                "5m",
            ),
        ),
    )


def _store() -> tuple[model.Panel, ...]:
    return (
        lines(
            About("The store's answers", "99% of the store's operations took no longer.", SECONDS, least=0),
            Query(quantile(0.99, "farebox_store_operation_seconds", "operation", ""), "{{operation}}", "1m"),
            percentile=True,
        ),
        lines(
            About("The store's errors", "Operations that it did not answer.", PER_SECOND, bad_above(0.1, 1), least=0),
            Query(rate("farebox_store_errors_total", "operation", ""), "{{operation}}"),
        ),
        lines(
            About(
                "Rows that wait for the journal", "All gateways together. They are written in groups.", COUNT, least=0
            ),
            Query("sum(farebox_journal_pending_rows)", "rows"),
        ),
        lines(
            About(
                "Journal's lag",
                "Age of the oldest row that waits, of the slowest gateway.",
                SECONDS,
                bad_above(1, 5),
                least=0,
            ),
            Query("max(farebox_journal_lag_seconds)", "lag"),
        ),
    )


def _self() -> tuple[model.Panel, ...]:
    return (
        stat_of(
            About("Versions", "Gateways by the version that they run.", COUNT),
            Query("count by (version) (farebox_build_info)", "{{version}}"),
        ),
        stat_of(
            About("Configuration's age", "Since the oldest configuration in force was loaded.", SECONDS),
            Query("time() - min(farebox_config_loaded_timestamp_seconds)"),
        ),
        stat_of(
            About(
                "Configurations in force",
                "More than one means that gateways disagree: one has not reloaded.",
                COUNT,
                bad_above(2, 3),
            ),
            Query('count(count_values("config", farebox_config_version))'),
        ),
        lines(
            About("Refused configurations", "Reloads that failed, in each half hour.", COUNT, bad_above(1, 5), least=0),
            Query(increase("farebox_config_reload_failures_total", "", "", "30m"), "refused"),
        ),
    )


def _people() -> tuple[model.Panel, ...]:
    return (
        lines(
            About(
                "Requests without a valid key",
                "By the code that they got. Many of them: somebody tries keys.",
                PER_SECOND,
                bad_above(1, 10),
                least=0,
            ),
            Query(rate("farebox_key_refusals_total", "code", ""), "{{code}}"),
        ),
        stat_of(
            About("Keys", "Keys that may call, of the configuration and of farebox keys.", COUNT),
            Query("max(farebox_keys)"),
        ),
    )


def _alerts() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About("Alerts sent", "By sink and what became of them.", COUNT, least=0),
            Query(increase("farebox_alerts_total", "sink, result", "", "$__interval"), "{{sink}}: {{result}}", "5m"),
        ),
        ranking(
            About("Alerts that wait", "Alerts that wait to be sent, by sink.", COUNT, bad_above(10, 100)),
            Query("sum by (sink) (farebox_alerts_pending)", "{{sink}}"),
        ),
        ranking(
            About(
                "Counted as _other",
                "Events whose label had as many values as it may have, by label.",
                COUNT,
                bad_above(1, 1000),
            ),
            Query(f"{increase('farebox_label_overflow_total', 'label', '')} > 0", "{{label}}"),
        ),
        stacked(
            About(
                "Without a price, without usage",
                "Attempts charged at a ceiling or by an estimate, by model.",
                COUNT,
                least=0,
            ),
            Query(
                increase("farebox_unpriced_requests_total", "model", _MODEL, "$__interval"), "{{model}}: no price", "5m"
            ),
            Query(increase("farebox_usage_missing_total", "model", _MODEL, "$__interval"), "{{model}}: no usage", "5m"),
        ),
        ranking(
            About(
                "Drift against the bill",
                "The provider's bill less the journal, of the journal, when last reconciled.",
                SHARE,
                bad_above(0.01, 0.05),
                2,
            ),
            Query(
                f"max by (provider, model) (farebox_reconciliation_drift_ratio{{{_MODEL}}})", "{{provider}} {{model}}"
            ),
        ),
    )
