"""Semantic Kernel: its chat completion agent, with the tool as a plugin."""

import saying
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.functions import kernel_function


class Weather:
    """A plugin."""

    @kernel_function(name="weather", description="The weather in a city.")
    def weather(self, city: str) -> str:
        """The weather in a city."""
        return saying.weather(city)


def _agent(here):
    return ChatCompletionAgent(service=here.service, name="Forecaster", plugins=[Weather()])


def _usage(message):
    usage = message.metadata.get("usage")
    return (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)


class _Sum:
    def __init__(self):
        self.tokens = [0, 0]

    def add(self, message):
        self.tokens = [have + more for have, more in zip(self.tokens, _usage(message), strict=True)]


async def plain(here):
    spent = _Sum()

    async def intermediate(message):
        spent.add(message)

    answer = ""
    async for item in _agent(here).invoke(saying.QUESTION, on_intermediate_message=intermediate):
        spent.add(item.message)
        answer = str(item.message)
    return saying.Seen(answer, *spent.tokens)


async def streamed(here):
    spent, text, chunks = _Sum(), "", 0
    async for item in _agent(here).invoke_stream(saying.QUESTION):
        spent.add(item.message)
        chunks += 1
        text += str(item.message)
    return saying.Seen(text, *spent.tokens, chunks)


saying.play(plain, streamed)
