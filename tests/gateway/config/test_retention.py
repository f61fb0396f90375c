"""How long the journal keeps its rows, and what must not show in recorded content: `storage.keep_*_days`, `mask`."""

from __future__ import annotations

import pytest

from tests.gateway.config.conftest import Load, Problems


def test_nothing_is_deleted_unless_said_and_content_after_a_month(load_text: Load) -> None:
    storage = load_text("storage: {}").storage
    assert (storage.keep_charges_days, storage.keep_requests_days, storage.keep_content_days) == (None, None, 30)


@pytest.mark.parametrize(
    ("budget", "days"),
    [
        ("{scope: global, limit_usd: '1', window: month}", 33),
        ("{scope: global, limit_usd: '1', window: year}", 368),
        ("{scope: global, limit_usd: '1', window: {rolling: 20d}}", 22),
        ("{scope: global, limit_usd: '1', window: day}", 9),  # runs live for seven days
    ],
)
def test_budgets_and_runs_must_find_their_charges(load_text: Load, problems: Problems, budget: str, days: int) -> None:
    written = "storage: {keep_charges_days: DAYS}\nbudgets: {it: " + budget + "}"
    assert load_text(written.replace("DAYS", str(days))).storage.keep_charges_days == days
    (problem,) = problems(written.replace("DAYS", str(days - 1)))
    assert problem.startswith("config.yaml:1")
    assert f"{days} days" in problem


def test_a_budget_for_ever_keeps_its_charges(problems: Problems) -> None:
    written = "storage: {keep_charges_days: 4000}\nbudgets: {all: {scope: global, limit_usd: '1', window: total}}"
    (problem,) = problems(written)
    assert "the budget `all` is for ever, so its charges must be kept" in problem


def test_masks_are_regular_expressions(load_text: Load, problems: Problems) -> None:
    assert load_text("storage: {mask: ['[0-9]{16}']}").storage.mask == ("[0-9]{16}",)
    (problem,) = problems("storage: {mask: ['(']}")
    assert "is no regular expression" in problem
