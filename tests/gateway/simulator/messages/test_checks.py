"""What /v1/messages refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.seals import seal
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import post
from tests.gateway.simulator.messages.helpers import PATH, THINKING, USER, WEATHER, ask, assistant, send, user

CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": seal("Hm.", "x")}
MARKED = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
MARKED_1H = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}

REFUSED: list[tuple[dict[str, Any], str]] = [
    (ask(n=2), "n: Extra inputs are not permitted"),
    ({"model": "sim-claude", "max_tokens": 5}, "messages: Field required"),
    ({"model": "sim-claude", "messages": [USER]}, "max_tokens: Field required"),
    ({"max_tokens": 5, "messages": [USER]}, "model: Field required"),
    (ask(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
    (ask(max_tokens=64_001), "max_tokens: 64001 > 64000, which is the maximum"),
    (ask(messages=[]), "messages: at least one message is required"),
    (ask(messages=[assistant()]), 'messages: first message must use the "user" role'),
    (ask({"role": "tool", "content": "x"}), "messages.1.role: Input should be 'user' or 'assistant'"),
    (ask({"role": "user", "content": "x", "name": "y"}), "messages.1.name: Extra inputs are not permitted"),
    (ask(user({"type": "input_text", "text": "x"})), "messages.1.content.0: Input tag 'input_text' found"),
    (ask(user({"type": "text", "text": ""})), "messages: text content blocks must be non-empty"),
    (ask(user({"type": "text", "text": " \n"})), "messages: text content blocks must contain non-whitespace text"),
    (ask({"role": "assistant", "content": "Well, "}), "messages: final assistant content cannot end with trailing"),
    (ask(assistant(CALL), user({"type": "text", "text": "?"})), "messages.1: `tool_use` ids were found without"),
    (ask(assistant(CALL)), "messages.1: `tool_use` ids were found without"),
    (ask(user(RESULT)), "messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1"),
    (ask(assistant({**CALL, "input": "{}"}), user(RESULT)), "messages.1.content.0.tool_use.input: Input should be"),
    (ask(user(CALL)), "messages.1.content.0: `tool_use` blocks can only be in `assistant` messages"),
    (ask(tools=[{"name": "x"}]), "tools.0.custom.input_schema: Field required"),
    (ask(tools=[WEATHER, WEATHER]), "tools: Tool names must be unique."),
    (ask(tool_choice={"type": "auto"}), "tool_choice: tool_choice may only be specified while providing tools."),
    (ask(tools=[WEATHER], tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found in provided tools"),
    (ask(tools=[WEATHER], tool_choice="auto"), "tool_choice: Input tag 'None' does not match"),
    (ask(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
    (ask(thinking={"type": "enabled", "budget_tokens": 5}), "thinking.enabled.budget_tokens: Input should be greater"),
    (ask(thinking=THINKING, max_tokens=1_024), "`max_tokens` must be greater than `thinking.budget_tokens`."),
    (ask(thinking=THINKING, temperature=0.5), "`temperature` may only be set to 1 when thinking is enabled."),
    (ask(thinking=THINKING, tools=[WEATHER], tool_choice={"type": "any"}), "Thinking may not be enabled when"),
    (
        ask(assistant({**THOUGHT, "thinking": "Ha."}, CALL), user(RESULT)),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        ask(assistant({**THOUGHT, "signature": "AAAA"}, CALL), user(RESULT)),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        ask(assistant(CALL), user(RESULT), thinking=THINKING),
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
    ),
    (ask(system=[MARKED] * 5), "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    (ask(system=[MARKED, MARKED_1H]), "A ttl='1h' cache_control block must not come after a ttl='5m'"),
    (ask(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
    (ask(stream="yes"), "stream: Input should be a valid boolean"),
    (ask(user({"type": "text", "text": "word " * 210_000})), "prompt is too long: "),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[str(index) for index in range(len(REFUSED))])
async def test_refused(sim: SimulatorServer, body: dict[str, Any], message: str) -> None:
    answer = await send(sim, body)
    assert answer.status == 400
    said = answer.json()
    assert (said["type"], said["error"]["type"]) == ("error", "invalid_request_error")
    assert said["error"]["message"].startswith(message), said
    assert said["request_id"] == answer.headers["request-id"]
    assert not sim.bill.records
    assert sim.bill.open == 0


@pytest.mark.parametrize(
    "more",
    [
        (assistant(THOUGHT, CALL), user(RESULT, {"type": "text", "text": "Go on."})),
        (assistant({"type": "text", "text": "Well"}),),
        (assistant(), user({"type": "text", "text": "?"}))[:1],
        (user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}),),
        (user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),),
        ({"role": "system", "content": "Be kind."}, USER),
        (assistant({"type": "redacted_thinking", "data": "x"}, CALL), user({**RESULT, "content": [MARKED]})),
    ],
)
async def test_taken(sim: SimulatorServer, more: tuple[dict[str, Any], ...]) -> None:
    assert (await send(sim, ask(*more, max_tokens=10))).status == 200


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic_version": "2023-06-01"}, 401, "authentication_error"),
        ({"x_api_key": "k"}, 400, "invalid_request_error"),
        ({"x_api_key": "sim-bad-key", "anthropic_version": "2023-06-01"}, 401, "authentication_error"),
        ({"x_api_key": "sim-poor-key", "anthropic_version": "2023-06-01"}, 400, "invalid_request_error"),
    ],
)
async def test_who_is_let_in(sim: SimulatorServer, headers: dict[str, str], status: int, kind: str) -> None:
    for path in (PATH, f"{PATH}/count_tokens"):
        answer = await post(sim, ask(), path=path, **headers)
        assert (answer.status, answer.json()["error"]["type"]) == (status, kind)


async def test_a_bearer_is_let_in(sim: SimulatorServer) -> None:
    headers = {"authorization": "Bearer k", "anthropic_version": "2023-06-01", "anthropic_beta": "brand-new-2026"}
    assert (await post(sim, ask(), path=f"{PATH}?beta=true", **headers)).status == 200


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (529, "overloaded_error"),
    ],
)
async def test_statuses_have_their_types(sim: SimulatorServer, status: int, kind: str) -> None:
    answer = await send(sim, ask(), x_sim_fault=str(status))
    assert (answer.status, answer.json()["error"]["type"]) == (status, kind)
    assert ("retry-after" in answer.headers) == (status == 429)


async def test_no_such_model_and_no_such_method(sim: SimulatorServer) -> None:
    answer = await send(sim, ask(model="nope"))
    assert (answer.status, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert (await send(sim, ask(model="sim-embed"))).status == 400
