"""smolagents: its tool-calling agent."""

import saying
from smolagents import LogLevel, ToolCallingAgent, tool
from smolagents.memory import ActionStep, FinalAnswerStep

WEATHER = tool(saying.weather)


def _agent(here, **options):
    return ToolCallingAgent(tools=[WEATHER], model=here.model, max_steps=4, verbosity_level=LogLevel.OFF, **options)


def plain(here):
    result = _agent(here).run(saying.QUESTION, return_full_result=True)
    usage = result.token_usage
    return saying.Seen(str(result.output), usage and usage.input_tokens, usage and usage.output_tokens)


def streamed(here):
    answer, chunks, spent = "", 0, [0, 0]
    for event in _agent(here, stream_outputs=True).run(saying.QUESTION, stream=True):
        if isinstance(event, FinalAnswerStep):
            answer = str(event.output)
        elif isinstance(event, ActionStep):
            if event.error:
                raise event.error
            if event.token_usage is None:
                continue  # a step that failed; its error comes next
            spent = [spent[0] + event.token_usage.input_tokens, spent[1] + event.token_usage.output_tokens]
        else:
            chunks += 1
    return saying.Seen(answer, *spent, chunks)


saying.play(plain, streamed)
