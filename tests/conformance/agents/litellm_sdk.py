"""LiteLLM's SDK, which several frameworks are built on."""

import json

import litellm
import saying

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def plain(here):
    return _loop(here, lambda messages: (litellm.completion(**here.options, messages=messages, tools=TOOLS), 0))


def streamed(here):
    def ask(messages):
        options = {**here.options, "stream": True, "stream_options": {"include_usage": True}}
        parts = list(litellm.completion(**options, messages=messages, tools=TOOLS))
        return litellm.stream_chunk_builder(parts, messages=messages), len(parts)

    return _loop(here, ask)


def _loop(_here, ask):
    messages = [{"role": "user", "content": saying.QUESTION}]
    spent, chunks = [0, 0], 0
    while True:
        answer, parts = ask(messages)
        chunks += parts
        spent = [spent[0] + answer.usage.prompt_tokens, spent[1] + answer.usage.completion_tokens]
        message = answer.choices[0].message
        if not message.tool_calls:
            return saying.Seen(message.content, *spent, chunks)
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = saying.weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


saying.play(plain, streamed)
