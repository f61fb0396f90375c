"""Every metric that Farebox exposes, as data: name, kind, labels, help. Dashboards and alerts are built from this list.

docs/metrics.md lists the same families, and a test compares the two. Units stand last in names; money is in USD, times
are in seconds. All series of a counter are sums of one process: add them up over gateways. What a gauge says of the
whole installation (budgets, the reconciliation) every gateway says alike: take the `max` of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PREFIX: Final = "farebox_"
NANO: Final = 1_000_000_000
MILLI: Final = 1_000


class Family(NamedTuple):
    """A metric: its name without the prefix, type, meaning and labels."""

    name: str
    kind: str
    """`counter`, `gauge` or `histogram`."""
    help: str
    labels: tuple[str, ...] = ()
    divisor: float = 1
    """From the unit we count in (nano-USD, ms) to the exposed one (USD, seconds)."""

    @property
    def full_name(self) -> str:
        """As Prometheus knows it; a histogram's series add `_bucket`, `_sum` and `_count`."""
        return PREFIX + self.name


AGENT: Final = ("org", "team", "agent")
OFFER: Final = ("model", "provider")
DEPLOYMENT: Final = (*OFFER, "deployment")
BUDGET: Final = ("budget", "scope", "window", "mode", *AGENT)

REQUESTS: Final = (
    Family("requests_total", "counter", "Identified client requests, refused ones too.", (*AGENT, *OFFER, "outcome")),
    Family(
        "request_duration_seconds",
        "histogram",
        "From the arrival of a request that was answered to its answer's last byte.",
        AGENT,
        MILLI,
    ),
    Family(
        "first_token_seconds",
        "histogram",
        "From the arrival of a request that was answered to the first body byte handed to the client.",
        AGENT,
        MILLI,
    ),
    Family(
        "overhead_seconds",
        "histogram",
        "A request's duration less the time spent waiting for the upstream.",
        AGENT,
        MILLI,
    ),
    Family("in_flight_requests", "gauge", "Identified requests being served.", AGENT),
    Family("errors_total", "counter", "Requests that ended in an error, by its code.", (*AGENT, "code")),
    Family("key_refusals_total", "counter", "Requests without a valid key; they belong to no agent.", ("code",)),
)

MONEY: Final = (
    Family(
        "tokens_total",
        "counter",
        "Tokens of all attempts. The kinds input and output include the others.",
        (*AGENT, *OFFER, "kind"),
    ),
    Family(
        "cost_usd_total",
        "counter",
        "Cost of all attempts in USD, by how they ended and what the money was good for.",
        (*AGENT, *OFFER, "outcome", "purpose"),
        NANO,
    ),
    Family(
        "cost_returned_usd_total",
        "counter",
        "What cost counts too much in USD, as orphaned and failed: of calls whose gateway was taken for lost, came back"
        " and settled them.",
        (*AGENT, *OFFER),
        NANO,
    ),
    Family(
        "usage_missing_total", "counter", "Attempts without usage from the provider, charged by an estimate.", OFFER
    ),
    Family(
        "unpriced_requests_total",
        "counter",
        "Attempts charged at the configured ceiling because the model has no price.",
        OFFER,
    ),
    Family(
        "overrun_usd_total",
        "counter",
        "Cost beyond what was reserved, in USD: what a provider billed beyond its declared bounds.",
        AGENT,
        NANO,
    ),
    Family(
        "orphaned_usd_total", "counter", "Charged in full for attempts whose gateway was lost, in USD.", AGENT, NANO
    ),
    Family(
        "reconciliation_drift_ratio",
        "gauge",
        "The provider's bill less the journal's charges, of the journal's, in the latest reconciliation; max over"
        " gateways.",
        OFFER,
    ),
)

BUDGETS: Final = (
    Family("budget_limit_usd", "gauge", "A budget's limit in its present window, in USD.", BUDGET, NANO),
    Family("budget_posted_usd", "gauge", "What is spent of a budget in its present window, in USD.", BUDGET, NANO),
    Family("budget_reserved_usd", "gauge", "What requests under way have set aside of a budget, in USD.", BUDGET, NANO),
    Family(
        "budget_remaining_ratio",
        "gauge",
        "What may still be spent of a budget, of its limit; negative when overdrawn.",
        BUDGET,
    ),
    Family(
        "budget_burn_ratio",
        "gauge",
        "How fast a budget goes: 1 spends exactly the limit by the window's end, 2 twice as much.",
        BUDGET,
    ),
    Family(
        "budget_projected_usd",
        "gauge",
        "What will be spent of a budget by its window's end if it goes on like this, in USD.",
        BUDGET,
        NANO,
    ),
    Family(
        "budget_window_start_timestamp_seconds", "gauge", "When a budget's present window began, as Unix time.", BUDGET
    ),
    Family("budget_window_end_timestamp_seconds", "gauge", "When a budget begins anew, as Unix time.", BUDGET),
    Family(
        "limits_total",
        "counter",
        "What budgets, rates and runs did to requests; `limit` is the budget's or rate limit's name.",
        (*AGENT, "kind", "limit", "reason"),
    ),
    Family("queue_wait_seconds", "histogram", "How long requests waited for money reserved by others.", AGENT, MILLI),
    Family("loops_total", "counter", "Loops found in requests.", (*AGENT, "kind", "action")),
)

UPSTREAM: Final = (
    Family(
        "attempts_total",
        "counter",
        "Upstream calls that ended, by why they were made and how they ended.",
        (*DEPLOYMENT, "kind", "outcome"),
    ),
    Family(
        "attempt_duration_seconds",
        "histogram",
        "From the sending of an upstream call that went well to its answer's last byte.",
        DEPLOYMENT,
        MILLI,
    ),
    Family(
        "attempt_first_token_seconds",
        "histogram",
        "From the sending of an upstream call that went well to the first byte of its answer's body.",
        DEPLOYMENT,
        MILLI,
    ),
    Family(
        "output_tokens_per_second",
        "histogram",
        "Output tokens of an answer over the time from its first byte to its last, where that was 0.1 s or more.",
        DEPLOYMENT,
    ),
    Family(
        "attempts_denied_total",
        "counter",
        "Retries and hedges that were not made because their budget was used up.",
        ("model", "kind"),
    ),
    Family(
        "retry_budget_used_ratio",
        "gauge",
        "Retries that a deployment's retry budget has counted lately, of those it allows.",
        DEPLOYMENT,
    ),
    Family("hedge_budget_used_ratio", "gauge", "What is used up of a model's budget for hedges.", ("model",)),
    Family("breaker_state", "gauge", "0 closed, 1 half-open, 2 open, forced or not.", ("breaker",)),
    Family("breaker_transitions_total", "counter", "Changes of breakers.", ("breaker", "state", "reason")),
    Family("credentials_refused", "gauge", "1 while a provider refuses our credentials or account.", ("provider",)),
    Family("upstream_connections", "gauge", "Connections to providers.", ("state",)),
)

ROUTING: Final = (
    Family(
        "decisions_total",
        "counter",
        "Requests whose model a policy chose; `downgraded` tells why a weaker one was taken.",
        ("policy", "rule", "tier", "downgraded"),
    ),
    Family("experiments_total", "counter", "Requests in each arm of an experiment.", ("policy", "arm")),
    Family(
        "shadow_decisions_total",
        "counter",
        "What shadow rules would have done, beside what was done.",
        ("policy", "rule", "would"),
    ),
    Family("failed_conditions_total", "counter", "Conditions that failed at run time.", ("policy", "rule")),
    Family(
        "routed_cost_usd_total",
        "counter",
        "Cost of answered requests whose model a policy chose, in USD, all attempts together.",
        (*AGENT, "policy", "asked"),
        NANO,
    ),
    Family(
        "routed_strongest_cost_usd_total",
        "counter",
        "What their tokens would have cost at the policy's strongest candidate, in USD.",
        (*AGENT, "policy", "asked"),
        NANO,
    ),
    Family(
        "routed_asked_cost_usd_total",
        "counter",
        "What their tokens would have cost at the model that was asked for, in USD, of those that asked for one.",
        (*AGENT, "policy"),
        NANO,
    ),
)

PROCESS: Final = (
    Family("store_up", "gauge", "1 while budgets can be read and reserved, else 0."),
    Family(
        "store_operation_seconds",
        "histogram",
        "How long those who had to wait for the store waited.",
        ("operation",),
        MILLI,
    ),
    Family("store_errors_total", "counter", "Operations that the store did not answer.", ("operation",)),
    Family("journal_pending_rows", "gauge", "Rows that wait for the journal's next commit."),
    Family("journal_lag_seconds", "gauge", "Age of the oldest row that waits for the journal."),
    Family("config_version", "gauge", "Version of the configuration in force."),
    Family("config_loaded_timestamp_seconds", "gauge", "When the configuration in force was loaded, as Unix time."),
    Family("config_stale", "gauge", "1 when the newest configuration on disk was refused, else 0."),
    Family("config_reload_failures_total", "counter", "Configurations that were refused."),
    Family("keys", "gauge", "Keys that may call."),
    Family("alerts_total", "counter", "Alerts by what became of them at each sink.", ("sink", "kind", "result")),
    Family("alerts_pending", "gauge", "Alerts that wait to be sent.", ("sink",)),
    Family(
        "label_overflow_total",
        "counter",
        "Events counted under _other because their label had as many values as it may.",
        ("label",),
    ),
    Family("build_info", "gauge", "Always 1; the labels tell what runs.", ("version", "python")),
)

FAMILIES: Final = (*REQUESTS, *MONEY, *BUDGETS, *UPSTREAM, *ROUTING, *PROCESS)

PURPOSES: Final = ("useful", "retry", "fallback", "hedge", "cancelled", "loop", "failed", "unverified")
"""What money was good for; all but `useful` is waste, or the price of an answer that came all the same."""
WASTED: Final = ("cancelled", "loop", "failed", "unverified")
"""Purposes of money that bought no answer anybody wanted."""

VALUES: Final = {
    "mode": ("enforce", "shadow"),
    "state": {"breaker_transitions_total": ("closed", "open", "half_open", "forced_open", "forced_closed")},
    "outcome": {
        "requests_total": (
            "ok", "shortened", "refused", "upstream_error", "client_gone", "cut", "drained", "error",
        ),
        "cost_usd_total": (
            "ok", "shortened", "error", "timeout", "unreachable", "cut", "cancelled", "malformed", "unverified",
            "drained", "orphaned",
        ),
    },
    "purpose": PURPOSES,
    "kind": {
        "tokens_total": (
            "input", "output", "cache_read", "cache_write", "cache_write_1h", "input_audio", "cache_read_audio",
            "input_image", "output_audio", "output_image", "reasoning",
        ),
        "limits_total": ("refused", "waited", "clamped", "shadow"),
        "loops_total": ("repeated_call", "alternating_calls", "repeated_prompt"),
        "attempts_total": ("first", "fallback", "retry", "hedge"),
        "attempts_denied_total": ("retry", "hedge"),
        "alerts_total": ("budget", "loop", "runaway", "breaker", "credentials", "test"),
    },
    "result": ("sent", "failed", "dropped", "repeated"),
    "downgraded": ("", "loop", "velocity", "budget"),
    "asked": ("model", "policy"),
    "would": ("same", "different", "nothing"),
    "operation": ("admit", "extend", "open_run", "run", "change_run", "counters"),
}  # fmt: skip
"""The values of labels that are not ids of the configuration; by metric where it matters. Empty means none."""
