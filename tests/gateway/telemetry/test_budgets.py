"""Budgets as gauges: whose they are, and which of them have no series."""

from __future__ import annotations

import pytest

from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine
from gateway.ledger.scopes import Scope, ScopeKind
from gateway.ledger.windows import Window
from gateway.telemetry.labels import Owner
from gateway.telemetry.metrics import Gauges, Known, Metrics
from routing.money import NanoUsd
from tests.gateway.telemetry.test_metrics import at, known, scrape

NOW_S = 1_796_000_000.0
"""2026-11-30, 0:53."""
MONTH = {"budget": "b", "window": "month", "mode": "enforce"}
NOBODY = {"org": "", "team": "", "agent": ""}


def line(kind: ScopeKind, value: str, posted: int = 50, window: Window = Window("month"), **more: object) -> BudgetLine:  # noqa: B008
    budget = Budget("b", Scope(kind, value, "project" if kind == "tag" else ""), NanoUsd(100), window, **more)  # type: ignore[arg-type]
    return BudgetLine(budget, value, window.at(NOW_S), 100, posted, 10, NOW_S)


def metrics(*lines: BudgetLine, declared: Known | None = None, cap: int = 500) -> Metrics:
    async def give() -> list[BudgetLine]:
        return list(lines)

    made = Metrics(version="9.9", gauges=Gauges(budgets=give))
    made.set_known(declared or known(budgets=("b",)), max_label_values=cap)
    return made


async def test_what_a_budget_shows() -> None:
    samples = await scrape(metrics(line("agent", "researcher")))
    labels = {**MONTH, "scope": "agent:researcher", "org": "acme", "team": "search", "agent": "researcher"}
    assert at(samples, "budget_limit_usd", **labels) == 100 / 1e9
    assert at(samples, "budget_posted_usd", **labels) == 50 / 1e9
    assert at(samples, "budget_reserved_usd", **labels) == 10 / 1e9
    assert at(samples, "budget_remaining_ratio", **labels) == pytest.approx(0.4)
    elapsed = (29 * 86_400 + 53 * 60 + 20) / (30 * 86_400)
    assert at(samples, "budget_burn_ratio", **labels) == pytest.approx(0.5 / elapsed)
    assert at(samples, "budget_projected_usd", **labels) == int(50 / elapsed) / 1e9
    assert at(samples, "budget_window_start_timestamp_seconds", **labels) == 1_793_491_200
    assert at(samples, "budget_window_end_timestamp_seconds", **labels) == 1_796_083_200


@pytest.mark.parametrize(
    ("kind", "value", "scope", "owner"),
    [
        ("global", "", "global", {}),
        ("org", "acme", "org:acme", {"org": "acme"}),
        ("team", "search", "team:search", {"org": "acme", "team": "search"}),
        ("model", "gpt", "model:gpt", {}),
        ("user", "ada", "user:ada", {}),
        ("tag", "apollo", "tag:project=apollo", {}),
    ],
)
async def test_whose_it_is(kind: ScopeKind, value: str, scope: str, owner: dict[str, str]) -> None:
    samples = await scrape(metrics(line(kind, value)))
    assert at(samples, "budget_posted_usd", **MONTH, **{**NOBODY, **owner}, scope=scope) is not None


async def test_a_team_of_two_orgs_is_of_neither() -> None:
    owners = (Owner("acme", "search", "a"), Owner("else", "search", "b"))
    samples = await scrape(metrics(line("team", "search"), declared=Known(owners, budgets=("b",))))
    assert at(samples, "budget_posted_usd", **MONTH, **NOBODY | {"team": "search"}, scope="team:search") is not None


async def test_windows_without_an_end_and_shadow_budgets() -> None:
    rolling = line("global", "", window=Window("rolling", length_s=3600), enforce=False)
    samples = await scrape(metrics(rolling))
    labels = {"budget": "b", "scope": "global", "window": "3600s", "mode": "shadow", **NOBODY}
    assert at(samples, "budget_burn_ratio", **labels) == 0.5
    assert at(samples, "budget_projected_usd", **labels) is None
    assert at(samples, "budget_window_end_timestamp_seconds", **labels) is None


async def test_what_has_no_place_has_no_series_and_is_no_overflow() -> None:
    owners = tuple(Owner("acme", "search", name) for name in "abc")
    lines = [line("agent", name) for name in ("a", "b", "c", "nobody")]
    made = metrics(*lines, line("model", "made-up"), declared=Known(owners, budgets=("b",)), cap=2)
    for samples in (await scrape(made), await scrape(made)):
        shown = [dict(labels)["agent"] for name, labels in samples if name == "budget_posted_usd"]
        assert sorted(shown) == ["a", "b"]
        assert at(samples, "label_overflow_total", label="agent") == 0
