"""The Anthropic SDK: the loop that every agent is made of, over messages."""

import saying

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
    loop = _Loop(here)
    messages = here.client.beta.messages if here.api == "beta" else here.client.messages
    while True:
        if seen := loop.took(messages.create(**loop.asked)):
            return seen


def streamed(here):
    loop = _Loop(here)
    messages = here.client.beta.messages if here.api == "beta" else here.client.messages
    while True:
        with messages.stream(**loop.asked) as stream:
            for _ in stream:
                loop.chunks += 1
            if seen := loop.took(stream.get_final_message()):
                return seen


saying.play(plain, streamed)
