"""A week of a small fleet's traffic on virtual time, as Prometheus would have scraped it from a gateway.

Four agents work by day and by night; in the last hours things go wrong, each thing that an alert is about once: see
`INCIDENTS`. The metrics are those of the catalogue, and a label that it does not have is an error here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.telemetry.names import FAMILIES, PREFIX

END_S = int(datetime(2026, 11, 12, 15, 0, tzinfo=UTC).timestamp())
"""A Thursday afternoon: the moment at which the boards are looked at."""
HOUR_S, DAY_S = 3600, 86_400
START_S = END_S - 8 * DAY_S - 2 * HOUR_S
FINE_S = END_S - 26 * HOUR_S
"""From then on scraped every minute, before every five."""
MONTH_START_S = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
MONTH_END_S = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
LABELS = {family.name: frozenset(family.labels) for family in FAMILIES}
KINDS = {family.name: family.kind for family in FAMILIES}
GATEWAY = {"instance": "gateway-1:4000", "job": "farebox"}
Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and labels."""
SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 40.0, 120.0)
SMALL = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.05)


class Mind(NamedTuple):
    """A model that an agent calls: its share of the calls, and what one costs."""

    model: str
    provider: str
    share: float
    usd: float
    tokens: tuple[int, int, int]
    """Input, of it read from the cache, and output."""

    @property
    def deployment(self) -> dict[str, str]:
        return {"model": self.model, "provider": self.provider, "deployment": f"{self.provider}/{self.model}"}


class Worker(NamedTuple):
    """An agent, and its calls per minute at its busiest."""

    agent: str
    team: str
    per_minute: float
    night: float
    """The share of that by night."""
    day_usd: float
    minds: tuple[Mind, ...]

    @property
    def labels(self) -> dict[str, str]:
        return {"org": "acme", "team": self.team, "agent": self.agent}


OPUS = Mind("claude-opus", "anthropic", 0.3, 0.041, (6200, 3900, 410))
MINI = Mind("gpt-5.4-mini", "openai", 0.7, 0.0031, (3100, 900, 260))
GPT = Mind("gpt-5.4", "openai", 0.5, 0.024, (4800, 2600, 350))
LOCAL = Mind("gpt-oss-120b", "groq", 0.5, 0.0008, (2500, 0, 300))
FLEET = (
    Worker("researcher", "research", 4.0, 0.15, 160, (OPUS, MINI)),
    Worker("coder", "engineering", 5.0, 0.1, 70, (GPT, LOCAL)),
    Worker("support", "support", 6.0, 0.5, 60, (MINI._replace(share=1.0),)),
    Worker("indexer", "engineering", 3.0, 1.0, 12, (LOCAL._replace(share=1.0),)),
)
CODER = FLEET[1]

INCIDENTS = {
    "runaway": (END_S - 3 * HOUR_S, END_S - 2 * HOUR_S),
    "outage": (END_S - 6 * HOUR_S, END_S - 5 * HOUR_S - 1200),
    "store": (END_S - 9 * HOUR_S, END_S - 9 * HOUR_S + 600),
    "down": (END_S - 10 * HOUR_S, END_S - 10 * HOUR_S + 600),
}
"""What went wrong, from when to when: a loop of the coder's, OpenAI away, the store and one gateway away."""


def during(name: str, now_s: float) -> bool:
    return INCIDENTS[name][0] <= now_s < INCIDENTS[name][1]


class Recorder:
    """Holds every series' value and what it was at each scrape."""

    def __init__(self) -> None:
        self.now: dict[Key, float] = {}
        self.past: dict[Key, tuple[int, list[float]]] = {}
        self.times: list[int] = []
        self._keys: dict[tuple[str, ...], Key] = {}
        self._histograms: dict[tuple[str, ...], list[Key]] = {}

    def add(self, name: str, amount: float, **labels: str) -> None:
        assert KINDS[name] == "counter", name
        key = self._key(name, labels)
        self.now[key] = self.now.get(key, 0.0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        assert KINDS[name] == "gauge", name
        self.now[self._key(name, labels)] = float(value)

    def observe(self, name: str, bounds: tuple[float, ...], median: float, times: float = 1, **labels: str) -> None:
        """So many values around a median, log-normally spread."""
        assert KINDS[name] == "histogram", name
        place = (name, *labels.values())
        keys = self._histograms.get(place)
        if keys is None:
            buckets = [self._key(name, labels, "_bucket", le=str(bound)) for bound in bounds]
            others = [
                self._key(name, labels, "_bucket", le="+Inf"),
                *(self._key(name, labels, p) for p in ("_sum", "_count")),
            ]
            keys = self._histograms[place] = buckets + others
        below = [0.5 * (1 + math.erf(math.log(bound / median) / 0.8)) for bound in bounds]
        for key, amount in zip(keys, (*below, 1.0, median * 1.17, 1.0), strict=True):
            self.now[key] = self.now.get(key, 0.0) + amount * times

    def scrape(self, at_s: int) -> None:
        """Keep every value. A series that is first seen now begins here."""
        self.times.append(at_s)
        for key, value in self.now.items():
            held = self.past.get(key)
            if held is None:
                held = self.past[key] = (len(self.times) - 1, [])
            held[1].append(value)

    def write(self, file: Path) -> int:
        """Write OpenMetrics with a timestamp at each sample. Returns how many samples there are."""
        samples = 0
        with file.open("w", encoding="utf-8") as out:
            for (name, labels), (first, values) in sorted(self.past.items()):
                head = name + "{" + ",".join(f'{label}="{value}"' for label, value in labels) + "} "
                out.writelines(
                    f"{head}{value!r} {at_s}\n" for value, at_s in zip(values, self.times[first:], strict=True)
                )
                samples += len(values)
            out.write("# EOF\n")
        return samples

    def _key(self, name: str, labels: dict[str, str], suffix: str = "", **more: str) -> Key:
        place = (name, suffix, *labels, *labels.values(), *more.values())
        key = self._keys.get(place)
        if key is None:
            assert labels.keys() == LABELS[name], f"{name} has the labels {sorted(LABELS[name])}, not {sorted(labels)}"
            key = self._keys[place] = (PREFIX + name + suffix, tuple(sorted({**labels, **more, **GATEWAY}.items())))
        return key


def week() -> Recorder:
    """The whole of it."""
    recorder, draw = Recorder(), random.Random(7)
    spent: dict[str, float] = {}
    for at_s in _scrapes():
        fine = at_s >= FINE_S
        step_s = 60 if fine else 300
        if at_s % DAY_S < step_s:
            spent = {name: usd for name, usd in spent.items() if name == "month"}
        for worker in FLEET:
            _work(recorder, draw, worker, at_s, spent)
        recorder.now[("up", tuple(sorted(GATEWAY.items())))] = 1.0
        recorder.set("build_info", 1, version="0.1.0", python="3.12.1")
        if fine:
            _budgets(recorder, at_s, spent)
            _provide(recorder, draw, at_s)
            _run(recorder, draw, at_s)
        recorder.scrape(at_s)
    return recorder


def _scrapes() -> Iterator[int]:
    yield from range(START_S, FINE_S, 300)
    yield from range(FINE_S, END_S + 1, 60)


def _work(recorder: Recorder, draw: random.Random, worker: Worker, at_s: int, spent: dict[str, float]) -> None:
    fine = at_s >= FINE_S
    hour = at_s % DAY_S / HOUR_S
    busy = worker.night + (1 - worker.night) * max(0.0, math.sin((hour - 6) / 14 * math.pi))
    expected = worker.per_minute * busy * (1 if fine else 5) * (1 if at_s % (7 * DAY_S) < 2 * DAY_S else 1.15)
    looping = worker is CODER and during("runaway", at_s)
    if looping:
        expected *= 12
    calls = int(expected + draw.random())
    recorder.set("in_flight_requests", calls // 4, **worker.labels)
    for mind in worker.minds:
        mine = round(calls * mind.share)
        if mine:
            usd = _calls(recorder, draw, worker, mind, mine, at_s)
            for scope in (worker.agent, "month"):
                spent[scope] = spent.get(scope, 0.0) + usd
    if fine and calls:
        _notice(recorder, draw, worker, calls, looping)


def _calls(recorder: Recorder, draw: random.Random, worker: Worker, mind: Mind, calls: int, at_s: int) -> float:
    """So many calls of a model. Returns what they cost."""
    labels, offer = worker.labels, {"model": mind.model, "provider": mind.provider}
    away = mind.provider == "openai" and during("outage", at_s)
    failed = calls // 2 if away else int(calls * 0.01 + draw.random() * 0.5)
    looping = worker is CODER and during("runaway", at_s)
    usd = mind.usd * draw.uniform(0.8, 1.25)
    total = 0.0
    for outcome, purpose, share in (
        ("ok", "loop" if looping else "useful", 0.93),
        ("cancelled", "cancelled", 0.03),
        ("error", "failed", 0.02 if not away else 0.3),
        ("ok", "fallback", 0.02 if not away else 0.4),
    ):
        amount = usd * share * calls
        recorder.add("cost_usd_total", amount, **labels, **offer, outcome=outcome, purpose=purpose)
        total += amount
    recorder.add("requests_total", calls - failed, **labels, **offer, outcome="ok")
    recorder.add("requests_total", failed, **labels, **offer, outcome="upstream_error")
    if at_s < FINE_S:
        return total
    for kind, tokens in zip(("input", "cache_read", "output"), mind.tokens, strict=True):
        recorder.add("tokens_total", tokens * calls, **labels, **offer, kind=kind)
    slow = 3 if away else 1
    recorder.observe("request_duration_seconds", SECONDS, slow * draw.uniform(2.1, 2.9), calls, **labels)
    recorder.observe("first_token_seconds", SECONDS, slow * draw.uniform(0.5, 0.7), calls, **labels)
    recorder.observe("overhead_seconds", SMALL, draw.uniform(0.0003, 0.0004), calls, **labels)
    recorder.add("routed_cost_usd_total", total, **labels, policy="default", asked="model")
    recorder.add("routed_strongest_cost_usd_total", total * 2.4, **labels, policy="default", asked="model")
    recorder.add("routed_asked_cost_usd_total", total * 1.6, **labels, policy="default")
    _attempts(recorder, draw, mind, calls, failed)
    return total


def _attempts(recorder: Recorder, draw: random.Random, mind: Mind, calls: int, failed: int) -> None:
    where = mind.deployment
    recorder.add("attempts_total", calls - failed, **where, kind="first", outcome="ok")
    recorder.add("attempts_total", failed, **where, kind="first", outcome="server_error")
    recorder.add("attempts_total", failed * 0.4, **where, kind="retry", outcome="ok")
    recorder.add("attempts_total", failed * 0.6, **where, kind="fallback", outcome="ok")
    recorder.add("attempts_denied_total", failed // 3, model=mind.model, kind="retry")
    recorder.set("retry_budget_used_ratio", min(1.0, failed / calls * 5), **where)
    recorder.set("hedge_budget_used_ratio", 0.1, model=mind.model)
    recorder.observe("attempt_duration_seconds", SECONDS, draw.uniform(2.0, 2.7), calls, **where)
    recorder.observe("attempt_first_token_seconds", SECONDS, draw.uniform(0.4, 0.6), calls, **where)
    speeds = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
    recorder.observe("output_tokens_per_second", speeds, draw.uniform(60, 80), calls, **where)


def _notice(recorder: Recorder, draw: random.Random, worker: Worker, calls: int, looping: bool) -> None:
    labels, few = worker.labels, int(calls * 0.004 + draw.random() * 1.3)
    recorder.add("errors_total", few, **labels, code="upstream_error")
    recorder.observe("queue_wait_seconds", SECONDS, draw.uniform(0.3, 0.8), few, **labels)
    for kind, limit, reason in (("waited", "day", ""), ("clamped", "", ""), ("shadow", "everything", "")):
        recorder.add("limits_total", few, **labels, kind=kind, limit=limit, reason=reason)
    if looping:
        recorder.add("loops_total", 2, **labels, kind="repeated_call", action="warn")
        recorder.add("limits_total", 3, **labels, kind="refused", limit="velocity", reason="velocity")
        recorder.add("limits_total", 3, **labels, kind="refused", limit="coder-day", reason="budget_exceeded")
        recorder.add("errors_total", 5, **labels, code="run_limit_exceeded")
        recorder.add("errors_total", 1, **labels, code="model_not_priced")
        recorder.add("overrun_usd_total", 0.02, **labels)
        recorder.add("orphaned_usd_total", 0.01, **labels)


def _budgets(recorder: Recorder, at_s: int, spent: dict[str, float]) -> None:
    day_s = at_s - at_s % DAY_S
    month = ("month", "global", "month", 3000.0, {"org": "", "team": "", "agent": ""})
    days = ((f"{w.agent}-day", f"agent:{w.agent}", "day", w.day_usd, w.labels) for w in FLEET)
    for name, scope, window, limit, owner in (*days, month):
        labels = {"budget": name, "scope": scope, "window": window, "mode": "enforce", **owner}
        start_s, end_s = (day_s, day_s + DAY_S) if window == "day" else (MONTH_START_S, MONTH_END_S)
        posted = spent.get(owner["agent"] or "month", 0.0)
        passed = max(1, at_s - start_s) / (end_s - start_s)
        reserved = 0.002 * limit
        for metric, value in (
            ("limit_usd", limit),
            ("posted_usd", posted),
            ("reserved_usd", reserved),
            ("remaining_ratio", (limit - posted - reserved) / limit),
            ("burn_ratio", posted / limit / passed),
            ("projected_usd", posted / passed),
            ("window_start_timestamp_seconds", start_s),
            ("window_end_timestamp_seconds", end_s),
        ):
            recorder.set(f"budget_{metric}", value, **labels)


def _provide(recorder: Recorder, draw: random.Random, at_s: int) -> None:
    """Providers, and what policies decide."""
    for worker in FLEET:
        for mind in worker.minds:
            away = mind.provider == "openai" and during("outage", at_s)
            recorder.set("breaker_state", 2 if away else 0, breaker=mind.deployment["deployment"])
    state = "open" if during("outage", at_s) else "closed"
    if at_s in (INCIDENTS["outage"][0], INCIDENTS["outage"][1]):
        recorder.add(
            "breaker_transitions_total", 1, breaker="openai/gpt-5.4", state=state, reason="consecutive_failures"
        )
    recorder.set("credentials_refused", during("store", at_s), provider="groq")
    recorder.set("upstream_connections", 5 + draw.randrange(4), state="active")
    recorder.set("upstream_connections", 12, state="idle")
    recorder.set("reconciliation_drift_ratio", 0.031, model="gpt-5.4", provider="openai")
    for rule, tier, weight in (("hard-questions", "strong", 2), ("default", "light", 9)):
        recorder.add("decisions_total", weight, policy="default", rule=rule, tier=tier, downgraded="")
    recorder.add("decisions_total", 1, policy="default", rule="default", tier="light", downgraded="budget")
    for arm, weight in (("half/old", 5), ("half/new", 4)):
        recorder.add("experiments_total", weight, policy="default", arm=arm)
    for would, weight in (("same", 7), ("different", 2)):
        recorder.add("shadow_decisions_total", weight, policy="default", rule="cheaper", would=would)
    recorder.add("failed_conditions_total", during("runaway", at_s), policy="default", rule="by-tag")
    recorder.add("unpriced_requests_total", during("runaway", at_s), model="gpt-5.4", provider="openai")
    recorder.add("usage_missing_total", during("outage", at_s), model="gpt-5.4-mini", provider="openai")


def _run(recorder: Recorder, draw: random.Random, at_s: int) -> None:
    """The gateway itself."""
    recorder.now[("up", tuple(sorted(GATEWAY.items())))] = float(not during("down", at_s))
    recorder.now[("process_start_time_seconds", tuple(sorted(GATEWAY.items())))] = float(START_S)
    away = during("store", at_s)
    recorder.set("store_up", not away)
    for operation, weight in (("admit", 18), ("extend", 6), ("counters", 1)):
        took_s = draw.uniform(0.0003, 0.0005)
        recorder.observe("store_operation_seconds", SMALL, took_s, weight, operation=operation)
        recorder.add("store_errors_total", 20 if away and operation == "admit" else 0, operation=operation)
    recorder.set("journal_pending_rows", draw.randrange(40))
    recorder.set("journal_lag_seconds", 9.5 if away else draw.uniform(0.05, 0.4))
    recorder.set("config_version", 7)
    recorder.set("config_loaded_timestamp_seconds", FINE_S - 5 * HOUR_S)
    recorder.set("config_stale", during("runaway", at_s))
    recorder.add("config_reload_failures_total", at_s == INCIDENTS["runaway"][0])
    recorder.set("keys", 12)
    recorder.add("key_refusals_total", draw.randrange(2), code="invalid_api_key")
    for result, weight in (("sent", 1), ("repeated", 3)):
        recorder.add("alerts_total", during("runaway", at_s) * weight, sink="slack", kind="runaway", result=result)
    recorder.set("alerts_pending", 0, sink="slack")
    recorder.add("label_overflow_total", draw.randrange(2), label="model")
