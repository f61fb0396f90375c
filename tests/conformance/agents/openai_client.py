"""The OpenAI SDK by itself: the loop that every agent is made of, over chat completions or responses."""

import json

import saying

TOOL = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CHAT_TOOLS = [{"type": "function", "function": TOOL}]
RESPONSES_TOOLS = [{"type": "function", **TOOL}]


def plain(here):
    return _responses(here) if here.api == "responses" else _chat(here)


def streamed(here):
    return _streamed_responses(here) if here.api == "responses" else _streamed_chat(here)


def _chat(here):
    messages = [{"role": "user", "content": saying.QUESTION}]
    spent = [0, 0]
    while True:
        answer = here.client.chat.completions.create(model=here.MODEL, messages=messages, tools=CHAT_TOOLS)
        spent = [spent[0] + answer.usage.prompt_tokens, spent[1] + answer.usage.completion_tokens]
        message = answer.choices[0].message
        if not message.tool_calls:
            return saying.Seen(message.content, *spent)
        messages.append(message)
        for call in message.tool_calls:
            result = saying.weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def _streamed_chat(here):
    messages = [{"role": "user", "content": saying.QUESTION}]
    spent, chunks = [0, 0], 0
    while True:
        asked = {"model": here.MODEL, "messages": messages, "tools": CHAT_TOOLS}
        with here.client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            for event in stream:
                chunks += event.type == "chunk"
            answer = stream.get_final_completion()
        spent = [spent[0] + answer.usage.prompt_tokens, spent[1] + answer.usage.completion_tokens]
        message = answer.choices[0].message
        if not message.tool_calls:
            return saying.Seen(message.content, *spent, chunks)
        messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in message.tool_calls:
            result = saying.weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def _responses(here):
    asked, previous, spent = saying.QUESTION, None, [0, 0]
    while True:
        answer = here.client.responses.create(
            model=here.MODEL, input=asked, tools=RESPONSES_TOOLS, previous_response_id=previous
        )
        spent = [spent[0] + answer.usage.input_tokens, spent[1] + answer.usage.output_tokens]
        asked, previous = _results(answer), answer.id
        if not asked:
            return saying.Seen(answer.output_text, *spent)


def _streamed_responses(here):
    asked, previous, spent, chunks = saying.QUESTION, None, [0, 0], 0
    while True:
        with here.client.responses.stream(
            model=here.MODEL, input=asked, tools=RESPONSES_TOOLS, previous_response_id=previous
        ) as stream:
            for _ in stream:
                chunks += 1
            answer = stream.get_final_response()
        spent = [spent[0] + answer.usage.input_tokens, spent[1] + answer.usage.output_tokens]
        asked, previous = _results(answer), answer.id
        if not asked:
            return saying.Seen(answer.output_text, *spent, chunks)


def _results(answer):
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": saying.weather(**json.loads(item.arguments)),
        }
        for item in answer.output
        if item.type == "function_call"
    ]


saying.play(plain, streamed)
