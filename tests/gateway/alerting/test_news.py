"""Which events are news, and what is said of them."""

from __future__ import annotations

import pytest

from gateway.alerting.alert import Alert, Subject
from gateway.alerting.news import News
from gateway.config.snapshot import Agent
from gateway.telemetry.events import (
    AttemptDenied,
    BreakerChanged,
    BudgetCrossed,
    CredentialsRefused,
    Event,
    KeysReloaded,
    LimitNoticed,
    LoopFound,
)

AT_S = 1_796_000_000.0
RESEARCHER = Subject("acme", "search", "researcher")
RUN = RESEARCHER._replace(run="researcher/r1")


def read(*events: Event) -> list[Alert]:
    news = News()
    news.use({"researcher": Agent("researcher", "search", "acme")})
    return news.read(events)


def crossed(share: float, scope: str = "agent:researcher") -> BudgetCrossed:
    return BudgetCrossed(AT_S, "monthly", scope, "2026-11", share, 4_100_000_000, 5_000_000_000)


def test_a_budget_names_its_agent_and_the_money() -> None:
    (found,) = read(crossed(0.8))
    assert found.subject == RESEARCHER._replace(budget="monthly", scope="agent:researcher")
    assert (found.kind, found.severity, found.status) == ("budget", "warning", "firing")
    assert found.title == "Budget monthly of agent:researcher has passed 80%"
    assert dict(found.details) == {"share": "0.8", "spent_usd": "4.10", "limit_usd": "5.00", "window": "2026-11"}
    (spent,) = read(crossed(1.0))
    assert spent.severity == "critical"
    assert spent.key != found.key


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("global", Subject()),
        ("team:search", Subject(team="search")),
        ("user:ada", Subject(user="ada")),
        ("run:researcher/r1", RUN),
        ("tag:project=apollo", Subject()),
        ("model:gpt", Subject()),
        ("agent:gone", Subject(agent="gone")),
    ],
)
def test_whose_a_budget_is(scope: str, subject: Subject) -> None:
    (found,) = read(crossed(0.5, scope))
    assert found.subject == subject._replace(budget="monthly", scope=scope)


def test_a_loop_names_the_run_and_how_to_stop_it() -> None:
    (found,) = read(LoopFound(AT_S, "researcher", "researcher/r1", "repeated_call", 5, "warn"))
    assert (found.kind, found.subject, found.severity) == ("loop", RUN, "warning")
    assert "farebox runs pause researcher/r1" in found.text
    (blocked,) = read(LoopFound(AT_S, "researcher", "researcher/r1", "repeated_call", 5, "block"))
    assert "farebox runs resume researcher/r1" in blocked.text
    assert blocked.severity == "critical"
    (alone,) = read(LoopFound(AT_S, "researcher", None, "repeated_call", 5, "observe"))
    assert alone.subject == RESEARCHER


@pytest.mark.parametrize(
    ("kind", "rule", "scope", "reason"),
    [
        ("refused", "researcher", "researcher/r1", "velocity"),
        ("shadow", "researcher", "researcher/r1", "shadow"),
        ("refused", "researcher/r1", "cost", "budget_exceeded"),
        ("refused", "researcher/r1", "requests", "requests"),
        ("refused", "researcher/r1", "tokens", "tokens"),
    ],
)
def test_a_run_that_runs_away(kind: str, rule: str, scope: str, reason: str) -> None:
    (found,) = read(LimitNoticed(AT_S, "researcher", kind, rule, scope, reason))
    assert (found.kind, found.subject, found.severity) == ("runaway", RUN, "critical")


def test_what_is_no_news() -> None:
    assert not read(
        LimitNoticed(AT_S, "researcher", "refused", "monthly", "researcher", "budget_exceeded"),
        LimitNoticed(AT_S, "researcher", "refused", "fair", "researcher", "requests"),
        LimitNoticed(AT_S, "researcher", "shadow", "monthly", "researcher", "shadow"),
        LimitNoticed(AT_S, "researcher", "waited", "monthly", "researcher", "", 1.0),
        LimitNoticed(AT_S, "researcher", "clamped", "", "", ""),
        BreakerChanged(AT_S, "openai/gpt", "open", "half_open", "waited"),
        BreakerChanged(AT_S, "openai/gpt", "closed", "open", "shared"),
        AttemptDenied("gpt", "retry"),
        KeysReloaded(3),
    )


@pytest.mark.parametrize(
    ("state", "status"),
    [("open", "firing"), ("forced_open", "firing"), ("closed", "resolved"), ("forced_closed", "resolved")],
)
def test_breakers(state: str, status: str) -> None:
    (found,) = read(BreakerChanged(AT_S, "openai/gpt", "closed", state, "failure_ratio", "by hand", "ann"))
    assert found.status == status
    assert found.subject == Subject(breaker="openai/gpt", provider="openai")
    assert "by hand" in found.text


def test_credentials() -> None:
    refused, accepted = read(CredentialsRefused(AT_S, "openai", True), CredentialsRefused(AT_S, "openai", False))
    assert (refused.status, refused.severity, accepted.status) == ("firing", "critical", "resolved")
    assert refused.key == accepted.key
