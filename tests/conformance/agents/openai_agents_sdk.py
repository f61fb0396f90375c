"""The OpenAI Agents SDK."""

import saying
from agents import Agent, Runner, function_tool

AGENT = Agent(name="Forecaster", instructions="You are brief.", tools=[function_tool(saying.weather)])


async def plain(here):
    result = await Runner.run(AGENT, saying.QUESTION, run_config=here.config)
    usage = result.context_wrapper.usage
    return saying.Seen(result.final_output, usage.input_tokens, usage.output_tokens)


async def streamed(here):
    result = Runner.run_streamed(AGENT, saying.QUESTION, run_config=here.config)
    chunks = 0
    async for event in result.stream_events():
        chunks += event.type == "raw_response_event"
    usage = result.context_wrapper.usage
    return saying.Seen(result.final_output or "", usage.input_tokens, usage.output_tokens, chunks)


saying.play(plain, streamed)
