"""An agent's way to the models: the OpenAI SDK as anybody would use it, pointed at the gateway."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Self

from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    DefaultAsyncHttpxClient,
    NotFoundError,
)
from openai.types.chat import ChatCompletionChunk

from gateway.demo.steps import Chat, Embed, Labels, Seen, ToolCall
from gateway.demo.tally import Result
from routing.money import NANO_PER_USD, ZERO, NanoUsd, parse_usd

REQUEST_ID = "x-request-id"
COST = "x-farebox-cost-usd"
WRONG_KEY = "fb-wrong000-not-a-key-of-this-gateway"
RECORDED_WITHIN_S = 2.0
"""How long to ask for the cost of a call that was hung up on, until the gateway has noticed and written it down."""


class AgentClient:
    """Carries out one agent's steps. `close()` it."""

    def __init__(self, base_url: str, key: str) -> None:
        self._sdk = AsyncOpenAI(
            base_url=base_url,
            api_key=key,
            max_retries=0,  # a call of the table is a request of the journal
            default_headers={"x-farebox-tags": "fleet=demo"},
            http_client=DefaultAsyncHttpxClient(trust_env=False),  # this machine only, whatever proxy it has
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sdk.close()

    async def do(self, step: Chat | Embed) -> Result:
        """Make one call. API errors are part of the result."""
        try:
            if isinstance(step, Embed):
                return await self._embed(step)
            return await (self._stream(step) if step.stream else self._chat(step))
        except APIStatusError as error:
            seen = Seen(error=f"{error.status_code} {error.code or error.type or ''}".strip())
            request_id = error.response.headers.get(REQUEST_ID, "")
            return Result(seen, request_id, refused_key=isinstance(error, AuthenticationError))
        except APIConnectionError:
            return Result(Seen(error="connection broke"))

    async def _embed(self, step: Embed) -> Result:
        raw = await self._sdk.embeddings.with_raw_response.create(
            model=step.model, input=list(step.texts), extra_headers=_headers(step.labels)
        )
        usage = raw.parse().usage
        return Result(Seen(), raw.headers[REQUEST_ID], usage.prompt_tokens, 0, _stated_cost(raw.headers))

    async def _chat(self, step: Chat) -> Result:
        raw = await self._sdk.chat.completions.with_raw_response.create(**self._arguments(step))
        answer = raw.parse()
        message, usage = answer.choices[0].message, answer.usage
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
            if call.type == "function"
        )
        given, made = (0, 0) if usage is None else (usage.prompt_tokens, usage.completion_tokens)
        seen = Seen(message.content or "", calls)
        return Result(seen, raw.headers[REQUEST_ID], given, made, _stated_cost(raw.headers))

    async def _stream(self, step: Chat) -> Result:
        raw = await self._sdk.chat.completions.with_raw_response.create(
            **self._arguments(step), stream=True, stream_options={"include_usage": True}
        )
        request_id = raw.headers[REQUEST_ID]
        received = _Received()
        stream = raw.parse()
        try:
            async for chunk in stream:
                received.add(chunk)
                if received.chunks == step.leave_after:
                    break
        except APIError as error:  # inside the stream, whose status was 200
            received.error = f"stream: {error.code or 'cut'}"
        finally:
            await stream.close()
        if received.cost is None:
            return await self._asked_for(request_id, received)
        return received.result(request_id, received.cost)

    async def _asked_for(self, request_id: str, received: _Received) -> Result:
        """What a call cost that brought no usage: Farebox knows, and gives it by the request's id."""
        deadline = asyncio.get_running_loop().time() + RECORDED_WITHIN_S
        while True:
            try:
                found: Any = await self._sdk.get(f"/requests/{request_id}", cast_to=object)
            except NotFoundError:
                if asyncio.get_running_loop().time() > deadline:
                    return received.result(request_id, ZERO)
                await asyncio.sleep(0.1)
            else:
                return received.result(request_id, parse_usd(found["cost_usd"]))

    def _arguments(self, step: Chat) -> dict[str, Any]:
        arguments: dict[str, Any] = {"model": step.model, "messages": list(step.messages)}
        arguments["extra_headers"] = _headers(step.labels)
        if step.wrong_key:
            arguments["extra_headers"]["Authorization"] = f"Bearer {WRONG_KEY}"
        if step.tools:
            arguments["tools"] = list(step.tools)
        if step.max_tokens is not None:
            arguments["max_tokens"] = step.max_tokens
        if step.labels.user:
            arguments["user"] = step.labels.user
        return arguments


class _Received:
    """What has come of a stream."""

    def __init__(self) -> None:
        self.chunks = 0
        self.error = ""
        self.cost: NanoUsd | None = None
        self._text: list[str] = []
        self._given = self._made = 0

    def add(self, chunk: ChatCompletionChunk) -> None:
        self.chunks += 1
        for choice in chunk.choices:
            self._text.append(choice.delta.content or "")
        if chunk.usage is not None:
            self._given, self._made = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            cost = (chunk.usage.model_extra or {}).get("cost")
            self.cost = ZERO if cost is None else _from_number(cost)

    def result(self, request_id: str, cost: NanoUsd) -> Result:
        return Result(Seen("".join(self._text), error=self.error), request_id, self._given, self._made, cost)


def _headers(labels: Labels) -> dict[str, str]:
    """Run, session and tags of a call. Its user travels in the body, where OpenAI has a field for it."""
    tags = ",".join(filter(None, ("fleet=demo", labels.tags)))
    headers = {"x-farebox-run": labels.run, "x-farebox-session": labels.session, "x-farebox-tags": tags}
    return {name: value for name, value in headers.items() if value}


def _stated_cost(headers: Any) -> NanoUsd:
    return parse_usd(headers.get(COST, "0"))


def _from_number(cost: float) -> NanoUsd:
    """The SDK reads `usage.cost` as a float: exact for amounts of this size once rounded to a nano-dollar."""
    return NanoUsd(int((Decimal(repr(cost)) * NANO_PER_USD).to_integral_value()))
