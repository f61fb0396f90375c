"""Pydantic AI, over any of its models."""

import saying
from pydantic_ai import Agent


def _agent(here):
    return Agent(here.model, model_settings=here.settings, tools=[saying.weather])


def _tokens(usage):
    usage = usage() if callable(usage) else usage
    return usage.input_tokens, usage.output_tokens


async def plain(here):
    result = await _agent(here).run(saying.QUESTION)
    return saying.Seen(result.output, *_tokens(result.usage))


async def streamed(here):
    chunks = 0
    async with _agent(here).run_stream_events(saying.QUESTION) as events:
        async for event in events:
            chunks += 1
            if event.event_kind == "agent_run_result":
                return saying.Seen(event.result.output, *_tokens(event.result.usage), chunks)
    raise RuntimeError("the stream ended without a result")


saying.play(plain, streamed)
