"""LlamaIndex: its function-calling agent."""

import saying
from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent


async def plain(here):
    return await _run(here, streaming=False)


async def streamed(here):
    return await _run(here, streaming=True)


async def _run(here, *, streaming):
    agent = FunctionAgent(tools=[saying.weather], llm=here.llm, streaming=streaming)
    handler = agent.run(saying.QUESTION)
    chunks, usages = 0, []
    async for event in handler.stream_events():
        chunks += isinstance(event, AgentStream)
        if isinstance(event, AgentOutput):
            usages.append(_usage(event.raw))
    answer = str(await handler)
    if not all(usages):
        return saying.Seen(answer, None, None, chunks)
    return saying.Seen(answer, *(sum(each[at] for each in usages) for at in (0, 1)), chunks)


def _usage(raw):
    usage = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
    if usage is None:
        return None
    usage = usage if isinstance(usage, dict) else usage.model_dump()
    return usage["prompt_tokens"], usage["completion_tokens"]


saying.play(plain, streamed)
