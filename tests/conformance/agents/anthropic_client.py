"""The Anthropic SDK: the loop that every agent is made of, over messages, and the SDK's own loop, which is beta."""

import saying
from anthropic import beta_tool

TOOLS = [
    {
        "name": "weather",
        "description": "The weather in a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


class _Loop:
    def __init__(self, here):
        self._here = here
        self._messages = [{"role": "user", "content": saying.QUESTION}]
        self._spent = [0, 0]
        self.chunks = 0

    @property
    def asked(self):
        return {"model": self._here.MODEL, "max_tokens": 1024, "messages": self._messages, "tools": TOOLS}

    def took(self, answer):
        """What was seen, once there is a final answer."""
        usage = answer.usage
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        self._spent = [self._spent[0] + usage.input_tokens + cached, self._spent[1] + usage.output_tokens]
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": saying.weather(**block.input)}
            for block in answer.content
            if block.type == "tool_use"
        ]
        self._messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
        if results:
            return None
        text = "".join(block.text for block in answer.content if block.type == "text")
        return saying.Seen(text, *self._spent, self.chunks)


def plain(here):
    if here.api == "beta":
        return _sum(_runner(here), lambda message: (message, 0))
    loop = _Loop(here)
    while True:
        if seen := loop.took(here.client.messages.create(**loop.asked)):
            return seen


def streamed(here):
    if here.api == "beta":
        return _sum(
            _runner(here, stream=True), lambda stream: (sum(1 for _ in stream), stream.get_final_message())[::-1]
        )
    loop = _Loop(here)
    while True:
        with here.client.messages.stream(**loop.asked) as stream:
            for _ in stream:
                loop.chunks += 1
            if seen := loop.took(stream.get_final_message()):
                return seen


def _runner(here, **options):
    messages = [{"role": "user", "content": saying.QUESTION}]
    return here.client.beta.messages.tool_runner(
        model=here.MODEL, max_tokens=1024, messages=messages, tools=[beta_tool(saying.weather)], **options
    )


def _sum(turns, read):
    spent, chunks, text = [0, 0], 0, ""
    for turn in turns:
        message, events = read(turn)
        usage = message.usage
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        spent = [spent[0] + usage.input_tokens + cached, spent[1] + usage.output_tokens]
        chunks += events
        text = "".join(block.text for block in message.content if block.type == "text")
    return saying.Seen(text, *spent, chunks)


saying.play(plain, streamed)
