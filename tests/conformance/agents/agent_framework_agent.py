"""Microsoft's Agent Framework."""

import saying
from agent_framework import Agent


def _agent(here):
    return Agent(client=here.client, instructions="You are brief.", tools=[saying.weather])


def _seen(response, chunks=0):
    usage = response.usage_details or {}
    return saying.Seen(response.text, usage.get("input_token_count"), usage.get("output_token_count"), chunks)


async def plain(here):
    return _seen(await _agent(here).run(saying.QUESTION))


async def streamed(here):
    chunks = 0
    stream = _agent(here).run(saying.QUESTION, stream=True)
    async for _ in stream:
        chunks += 1
    return _seen(await stream.get_final_response(), chunks)


saying.play(plain, streamed)
