"""Strands Agents. It asks the model for a stream always."""

import saying
from strands import Agent, tool

WEATHER = tool(saying.weather)


def _agent(here):
    return Agent(model=here.model, tools=[WEATHER], callback_handler=None)


def _seen(result, chunks=0):
    usage = result.metrics.accumulated_usage
    return saying.Seen(str(result), usage["inputTokens"], usage["outputTokens"], chunks)


async def plain(here):
    return _seen(await _agent(here).invoke_async(saying.QUESTION))


async def streamed(here):
    chunks, result = 0, None
    async for event in _agent(here).stream_async(saying.QUESTION):
        chunks += "event" in event
        result = event.get("result", result)
    return _seen(result, chunks)


saying.play(plain, streamed)
