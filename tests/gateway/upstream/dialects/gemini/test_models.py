from __future__ import annotations

from typing import Any

import pytest

from gateway.upstream.dialects.gemini.models import needs_signatures, thinking


@pytest.mark.parametrize(
    ("model", "effort", "configuration"),
    [
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3.8-flash", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-12-flash", "low", {"thinkingLevel": "low", "includeThoughts": True}),
    ],
)
def test_an_effort_is_a_budget_or_a_level(model: str, effort: str, configuration: dict[str, Any]) -> None:
    assert thinking(model, effort) == configuration


def test_there_is_no_other_effort() -> None:
    assert thinking("gemini-3.8-flash", "extreme") is None


@pytest.mark.parametrize(
    ("model", "needed"),
    [("gemini-2.5-pro", False), ("gemini-3-flash", True), ("gemini-pro-latest", True), ("gemma-4-27b", False)],
)
def test_calls_are_signed_from_gemini_3_on(model: str, needed: bool) -> None:
    assert needs_signatures(model) is needed
