"""AutoGen: its assistant agent."""

import saying
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import ModelClientStreamingChunkEvent


def _agent(here, *, streaming):
    return AssistantAgent(
        "forecaster",
        model_client=here.streaming_client if streaming else here.model_client,
        tools=[saying.weather],
        model_client_stream=streaming,
        reflect_on_tool_use=True,
    )


def _seen(result, chunks=0):
    usages = [message.models_usage for message in result.messages if message.models_usage]
    tokens = [sum(getattr(usage, name) for usage in usages) for name in ("prompt_tokens", "completion_tokens")]
    return saying.Seen(str(result.messages[-1].content), *tokens, chunks)


async def plain(here):
    return _seen(await _agent(here, streaming=False).run(task=saying.QUESTION))


async def streamed(here):
    chunks, result = 0, None
    async for event in _agent(here, streaming=True).run_stream(task=saying.QUESTION):
        chunks += isinstance(event, ModelClientStreamingChunkEvent)
        result = event if isinstance(event, TaskResult) else result
    return _seen(result, chunks)


saying.play(plain, streamed)
