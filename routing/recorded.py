"""A request as it was recorded: what a policy that is to be tested may know of it, and what it came to. Pure.

It has shapes, sizes and labels, never words: it can leave the house for a test elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from routing.decision import NO_FACTS
from routing.money import NANO_PER_USD, ZERO, NanoUsd, Usage
from routing.profile import RequestProfile
from routing.rules import Facts

_DAY_S = 86_400
_NO_TAGS: Mapping[str, str] = {}
_NO_CHANCES: Mapping[str, float] = {}


class Recorded(NamedTuple):
    """One request, and its answer."""

    request_id: str
    at_s: float
    """Unix time of arrival."""
    org: str
    team: str
    agent: str
    profile: RequestProfile
    """`profile.model` is what was asked for."""
    model: str = ""
    """The model that answered, or was called last; empty: none was."""
    usage: Usage = Usage()
    """Of that call."""
    cost: NanoUsd = ZERO
    """All that the request was charged."""
    other_cost: NanoUsd = ZERO
    """The part of it that other calls cost: those that failed, were repeated or were called beside."""
    outcome: str = "ok"
    """As the journal's `requests.outcome`."""
    error_code: str = ""
    tags: Mapping[str, str] = _NO_TAGS
    run: str = ""
    """`agent/run`; empty without one."""
    session: str = ""
    """Unique among all agents; empty without one."""
    value_usd: float | None = None
    """What a right answer is worth, as declared; None: nothing was."""
    priority: str = "normal"
    complexity: float | None = None
    """As scored when it was routed; None: nothing asked for it."""
    in_tool_loop: bool = False
    """Whether its last message was a tool's result."""
    parallel_tools: bool = False
    """Whether it insisted on several tool calls in one answer."""
    run_depth: int = 0
    """Of its run, below the root."""
    score: float | None = None
    """How good the answer was, 0 to 1; None: nobody told."""
    p_correct: Mapping[str, float] = _NO_CHANCES
    """By model, the probability of a right answer as it was known when it was routed."""

    @property
    def answered(self) -> bool:
        """Whether it had a model's answer, or at least paid for one."""
        return bool(self.model) and (self.cost > 0 or self.outcome in ("ok", "shortened"))

    @property
    def conversation(self) -> str:
        """What a prompt cache is kept for: the session, else the run; empty without either."""
        return self.session or self.run

    @property
    def refused_for_money(self) -> bool:
        """Whether a budget refused it."""
        return self.outcome == "refused" and self.error_code in ("budget_exceeded", "insufficient_quota")


class Running(NamedTuple):
    """What conditions may read that depends on what other requests came to."""

    run_cost: NanoUsd = ZERO
    run_steps: int = 0
    remaining_ratio: float = 1.0
    burn_ratio: float = 0.0


BEGUN = Running()
UNKNOWN_COMPLEXITY = 0.5
"""Of a request whose complexity was not recorded: neither simple nor hard."""


def facts_of(row: Recorded, running: Running = BEGUN, default_value_usd: float = 0.0) -> Facts:
    """What conditions may read of a recorded request. `default_value_usd` is its agent's."""
    profile, second = row.profile, int(row.at_s)
    return NO_FACTS._replace(
        agent=row.agent,
        team=row.team,
        org=row.org,
        tags=row.tags,
        model=profile.model,
        value_usd=default_value_usd if row.value_usd is None else row.value_usd,
        priority=row.priority,
        complexity=UNKNOWN_COMPLEXITY if row.complexity is None else row.complexity,
        input_tokens=profile.input_tokens,
        max_output_tokens=profile.max_output_tokens or 0,
        tools=profile.tools,
        images=profile.images,
        stream=profile.stream,
        json_schema=profile.json_schema,
        session_turns=profile.messages,
        run_cost_usd=running.run_cost / NANO_PER_USD,
        run_steps=running.run_steps,
        run_depth=row.run_depth,
        budget_remaining_ratio=running.remaining_ratio,
        budget_burn_ratio=running.burn_ratio,
        hour=second % _DAY_S // 3_600,
        weekday=(second // _DAY_S + 3) % 7 + 1,
    )
