"""Agents that go on until they have an answer, in every API and at every provider.

The simulator checks them as the real providers do: calls are answered, ids are of their kind, sealed reasoning and
signed thoughts come back as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import product
from typing import Any, NamedTuple

import anthropic
import pytest
from openai import AsyncOpenAI

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY
from tests.integration.test_books_of_tongues import FUNCTION, MODELS, begin

TURNS = 12
NONCES = ("1", "2")
QUESTION = "What is the weather in Rome?"
THINKING: Any = {"type": "enabled", "budget_tokens": 1_024}


class Clients(NamedTuple):
    """Both SDKs, pointed at the gateway."""

    openai: AsyncOpenAI
    claude: anthropic.AsyncAnthropic


@pytest.fixture
async def clients(
    simulator: SimulatorServer, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Clients]:
    monkeypatch.setenv("SIM_KEY", "any")
    gateway = await begin(simulator, start_gateway)
    async with (
        gateway.sdk() as openai,
        anthropic.AsyncAnthropic(base_url=gateway.url, api_key=TESTER_KEY, max_retries=0) as claude,
    ):
        yield Clients(openai, claude)


async def in_every_way(agent: Callable[..., Coroutine[Any, Any, str]], *ways: tuple[Any, ...]) -> None:
    """Run an agent in every combination; what went wrong is told by combination."""
    cases = list(product(*ways))
    ended = await asyncio.gather(*(agent(*case) for case in cases), return_exceptions=True)
    wrong = {case: end for case, end in zip(cases, ended, strict=True) if not isinstance(end, str) or not end}
    assert wrong == {}


async def response(clients: Clients, **asked: Any) -> Any:
    """A finished response, plain or from its stream."""
    found = await clients.openai.responses.create(
        tools=[{"type": "function", "name": "f", "parameters": FUNCTION}], **asked
    )
    if not asked.get("stream"):
        return found
    async for event in found:
        last = event
    return last.response


def results(found: Any) -> list[Any]:
    """The outputs of a response's calls."""
    calls = [item for item in found.output if item.type == "function_call"]
    return [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]


async def test_responses_that_carry_everything(clients: Clients) -> None:
    async def agent(model: str, stream: bool, nonce: str) -> str:
        items: list[Any] = [{"role": "user", "content": QUESTION}]
        asked: Any = {"store": False, "include": ["reasoning.encrypted_content"], "stream": stream}
        for _ in range(TURNS):
            found = await response(clients, model=model, input=items, extra_headers={"x-sim-nonce": nonce}, **asked)
            items += [item.to_dict() for item in found.output] + results(found)
            if not results(found):
                break
        return str(found.output_text)

    await in_every_way(agent, MODELS, (False, True), NONCES)


async def test_responses_that_build_on_the_last(clients: Clients) -> None:
    async def agent(model: str, stream: bool, nonce: str) -> str:
        asked: Any = {"input": QUESTION}
        headers = {"x-sim-nonce": nonce}
        for _ in range(TURNS):
            found = await response(clients, model=model, stream=stream, extra_headers=headers, **asked)
            asked = {"input": results(found), "previous_response_id": found.id}
            if not asked["input"]:
                break
        return str(found.output_text)

    await in_every_way(agent, MODELS, (False, True), NONCES)


async def message(clients: Clients, *, stream: bool, **asked: Any) -> Any:
    """A whole message, plain or from its stream."""
    asked |= {"max_tokens": 4_000, "tools": [{"name": "f", "input_schema": FUNCTION}]}
    if not stream:
        return await clients.claude.messages.create(**asked)
    async with clients.claude.messages.stream(**asked) as events:
        return await events.get_final_message()


async def test_messages(clients: Clients) -> None:
    async def agent(model: str, stream: bool, thinking: bool, nonce: str) -> str:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        asked: Any = {"thinking": THINKING} if thinking else {}
        for _ in range(TURNS):
            found = await message(
                clients, model=model, stream=stream, messages=messages, extra_headers={"x-sim-nonce": nonce}, **asked
            )
            messages.append({"role": "assistant", "content": [block.to_dict() for block in found.content]})
            calls = [block for block in found.content if block.type == "tool_use"]
            said = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
            messages.append({"role": "user", "content": [*said, {"type": "text", "text": "Go on."}]})
            if not calls:
                break
        return str(found.content[-1].text)

    await in_every_way(agent, MODELS, (False, True), (False, True), NONCES[:1])


async def test_chat(clients: Clients) -> None:
    function: Any = {"type": "function", "function": {"name": "f", "parameters": FUNCTION}}

    async def agent(model: str, effort: Any, nonce: str) -> str:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        for _ in range(TURNS):
            found = await clients.openai.chat.completions.create(
                model=model, messages=messages, tools=[function], reasoning_effort=effort, max_completion_tokens=4_000,
                extra_headers={"x-sim-nonce": nonce},
            )  # fmt: skip
            said = found.choices[0].message
            messages.append(said.to_dict())
            calls = said.tool_calls or []
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
            if not calls:
                break
        return said.content or ""

    await in_every_way(agent, MODELS, ("none", "low"), NONCES)
