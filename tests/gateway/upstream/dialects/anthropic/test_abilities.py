"""Names of models, and what each generation takes."""

from __future__ import annotations

import pytest

from gateway.upstream.dialects.anthropic.abilities import OTHERS, abilities_of


@pytest.mark.parametrize(
    ("model", "thinking", "sampling", "efforts"),
    [
        ("claude-3-haiku-20240307", "none", True, 0),
        ("claude-3-5-sonnet-latest", "none", True, 0),
        ("claude-3-7-sonnet-20250219", "budget", True, 0),
        ("claude-opus-4-20250514", "budget", True, 0),
        ("claude-4-opus-20250514", "budget", True, 0),
        ("claude-opus-4-1", "budget", True, 0),
        ("claude-sonnet-4-5-20250929", "budget", True, 0),
        ("anthropic/claude-haiku-4.5", "budget", True, 0),
        ("claude-opus-4-5@20251101", "budget", True, 3),
        ("claude-sonnet-4-6", "adaptive", True, 3),
        ("us.anthropic.claude-opus-4-6-v1", "adaptive", True, 4),
        ("claude-opus-4-7", "adaptive", False, 5),
        ("Claude-Opus-5", "adaptive", False, 5),
        ("claude-haiku-5-5-20260930", "adaptive", False, 5),
        ("claude-fable-5-2", "adaptive", False, 5),
        ("claude-mythos-preview", "adaptive", False, 5),
        ("claude-opus-latest", "adaptive", False, 5),
        ("claude-opus-6", "adaptive", False, 5),
    ],
)
def test_generations(model: str, thinking: str, sampling: bool, efforts: int) -> None:
    found = abilities_of(model)

    assert (found.thinking, found.sampling, len(found.efforts)) == (thinking, sampling, efforts)


@pytest.mark.parametrize("model", ["gpt-5", "deepseek-chat", "kimi-k2", "claude"])
def test_others(model: str) -> None:
    assert abilities_of(model) is OTHERS


@pytest.mark.parametrize(
    ("model", "rest", "always"),
    [
        ("claude-opus-4-8", "", False),
        ("claude-opus-5", "disabled", False),
        ("claude-sonnet-5", "disabled", False),
        ("claude-haiku-5-5", "disabled", False),
        ("claude-sonnet-5-5", "between_tools", False),
        ("claude-opus-5-5", "", True),
        ("claude-fable-5", "", True),
    ],
)
def test_what_stops_thinking(model: str, rest: str, always: bool) -> None:
    found = abilities_of(model)

    assert (found.rest, found.always_thinks) == (rest, always)


@pytest.mark.parametrize(
    ("model", "turns", "forced", "formats"),
    [
        ("claude-sonnet-4", False, True, False),
        ("claude-opus-4-1", False, True, True),
        ("claude-opus-4-7", False, True, True),
        ("claude-opus-4-8", True, True, True),
        ("claude-sonnet-5", False, True, True),
        ("claude-fable-5", True, True, True),
        ("claude-fable-5-1", True, False, True),
        ("claude-sonnet-5-5", True, False, True),
        ("claude-haiku-5-5", True, True, True),
    ],
)
def test_system_turns_forced_tools_and_formats(model: str, turns: bool, forced: bool, formats: bool) -> None:
    found = abilities_of(model)

    assert (found.system_turns, found.forced_tools, found.formats) == (turns, forced, formats)
