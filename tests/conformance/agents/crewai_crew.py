"""CrewAI: a crew of one."""

import saying
from crewai import Agent, Crew, Task
from crewai.tools import tool

WEATHER = tool("weather")(saying.weather)


def _crew(here, *, stream):
    told = {"role": "Forecaster", "goal": "Tell the weather", "backstory": "Brief.", "tools": [WEATHER]}
    agent = Agent(**told, **(getattr(here, "agent_options", None) or {"llm": here.llm}))
    task = Task(description=saying.QUESTION, expected_output="A sentence.", agent=agent)
    return Crew(agents=[agent], tasks=[task], stream=stream, tracing=False)


def _seen(output, chunks=0):
    usage = output.token_usage
    return saying.Seen(output.raw, usage.prompt_tokens, usage.completion_tokens, chunks)


def plain(here):
    return _seen(_crew(here, stream=False).kickoff())


def streamed(here):
    streaming = _crew(here, stream=True).kickoff()
    chunks = sum(1 for _ in streaming)
    return _seen(streaming.result, chunks)


saying.play(plain, streamed)
