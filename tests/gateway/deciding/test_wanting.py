"""What the router is asked about a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.snapshot import Agent
from gateway.deciding.budgets import Purse
from gateway.deciding.runs import Run, Runs
from gateway.deciding.wanting import Asked, wanted_of
from gateway.identity.attribution import Attribution
from gateway.wire.requests import CHAT, read_request
from routing.money import NANO_PER_USD, NanoUsd

SUNDAY_S = 1_800_226_800.0 + 1_800.0  # 2027-01-17T23:30:00Z
USD = NANO_PER_USD


def asked(agent: Agent | None = None, attribution: Attribution | None = None, **fields: Any) -> Asked:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **fields}
    request = read_request(CHAT, json.dumps(body).encode())
    return Asked(
        request, attribution or Attribution(), agent or Agent("dev", "research", "acme"), (), "req_1", SUNDAY_S
    )


def test_whose_it_is_and_when() -> None:
    facts = wanted_of(asked(attribution=Attribution(tags=(("task", "sum"),), priority="high", complexity=0.3))).facts
    assert (facts.agent, facts.team, facts.org, facts.model) == ("dev", "research", "acme", "auto")
    assert (facts.tags, facts.priority, facts.complexity) == ({"task": "sum"}, "high", 0.3)
    assert (facts.hour, facts.weekday) == (23, 7)
    plain = wanted_of(asked()).facts
    assert (plain.tags, plain.priority, plain.complexity, plain.value_usd) == ({}, "normal", 0.0, 0.0)


@pytest.mark.parametrize(
    ("declared", "own", "most", "value_usd"),
    [(None, None, None, 0.0), (None, 5, None, 5.0), (9, 5, None, 9.0), (9, 5, 7, 7.0), (None, 9, 7, 7.0)],
)
def test_a_value_is_the_clients_else_the_agents_and_capped(
    declared: int | None, own: int | None, most: int | None, value_usd: float
) -> None:
    def usd(amount: int | None) -> NanoUsd | None:
        return None if amount is None else NanoUsd(amount * USD)

    agent = Agent("dev", "t", "o", value=usd(own), max_value=usd(most))
    assert wanted_of(asked(agent, Attribution(value_nano_usd=usd(declared)))).facts.value_usd == value_usd


@pytest.mark.parametrize(("asks", "most", "bound"), [(None, 100, 0), (50, None, 50), (50, 100, 50), (500, 100, 100)])
def test_an_answer_is_as_long_as_both_let_it_be(asks: int | None, most: int | None, bound: int) -> None:
    fields = {} if asks is None else {"max_tokens": asks}
    agent = Agent("dev", "t", "o", max_output_tokens=most)
    assert wanted_of(asked(agent, **fields)).facts.max_output_tokens == bound


def test_a_run_a_session_and_money_as_they_are_known() -> None:
    run = Run(depth=2)
    run.cost, run.steps = NanoUsd(USD // 2), 4
    named = asked(attribution=Attribution(run="r", session="s"))._replace(own="dev/r")
    wanted = wanted_of(named, Purse((), 0.25, 1.5), run)
    assert (wanted.run, wanted.session) == ("dev/r", "dev/session:s")
    facts = wanted.facts
    assert (facts.run_cost_usd, facts.run_steps, facts.run_depth) == (0.5, 4, 2)
    assert (facts.budget_remaining_ratio, facts.budget_burn_ratio) == (0.25, 1.5)


def test_its_shape() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    wanted = wanted_of(
        asked(
            Agent("dev", "t", "o", residency=frozenset(("eu",))),
            tools=[tool, tool],
            parallel_tool_calls=True,
            n=3,
            stream=True,
            service_tier="flex",
            messages=[{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}],
        )
    )
    assert (wanted.facts.tools, wanted.facts.stream, wanted.facts.session_turns) == (2, True, 2)
    assert (wanted.parallel_tools, wanted.in_tool_loop, wanted.answers, wanted.service_tier) == (True, True, 3, "flex")
    assert (wanted.residency, wanted.api, wanted.request_id) == (frozenset(("eu",)), "chat", "req_1")


def test_who_only_looks_leaves_no_run_behind() -> None:
    runs = Runs()
    runs.of("dev/parent", None)
    seen = runs.seen("dev/child", "dev/parent")
    assert (seen.depth, len(runs)) == (1, 1)
    assert runs.seen("dev/grandchild", "dev/child").depth == 1  # its parent is not known here
    assert runs.seen(None).steps == 0
    runs.ended("dev/parent", NanoUsd(7))
    assert (runs.seen("dev/parent").cost, runs.seen("dev/parent").steps) == (7, 1)
