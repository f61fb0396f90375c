"""A chat request as the sequence of token ids that the model would read: what the prompt is billed and cached by."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator import chance
from gateway.simulator.fields import Body, ChatAsk
from gateway.simulator.tokenizer import Tokenizer

# Framing has ids of its own, below zero: they count, and never equal text.
_MESSAGE_START, _NAME, _MESSAGE_END, _TOOLS, _CALL, _REPLY = -1, -2, -3, -4, -5, -6
_IMAGE = -1_000
LOW_DETAIL_TOKENS = 85
HIGH_DETAIL_TOKENS = 765
"""An image in high detail: 85 and four tiles of 170. Its size is not looked at."""


def render(ask: ChatAsk, tokenizer: Tokenizer) -> list[int]:
    """The prompt's token ids: tools and schema, each message with 3 to 4 tokens of framing, then 3 for the reply."""
    ids: list[int] = []
    if ask.tools:
        ids += [_TOOLS] * 9
        for tool in ask.tools:
            ids += tokenizer.encode(_json(tool))
    for hosted in ask.hosted:
        ids += tokenizer.encode(_json(hosted.spec))
    if ask.schema:
        ids += tokenizer.encode(_json(ask.schema))
    for message in ask.messages:
        _render_message(message, tokenizer, ids)
    return ids + [_REPLY] * 3


def _render_message(message: Body, tokenizer: Tokenizer, ids: list[int]) -> None:
    ids += [_MESSAGE_START, _MESSAGE_END]
    ids += tokenizer.encode(str(message["role"]))
    if isinstance(message.get("name"), str):
        ids += [_NAME, *tokenizer.encode(message["name"])]
    content = message.get("content")
    if isinstance(content, str):
        ids += tokenizer.encode(content)
    for part in content if isinstance(content, list) else ():
        _render_part(part, tokenizer, ids)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            ids += [_CALL] * 3
            ids += tokenizer.encode(f"{function.get('name')}{function.get('arguments')}")


def _render_part(part: Body, tokenizer: Tokenizer, ids: list[int]) -> None:
    if part["type"] == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, dict) else {"url": image}
        count = LOW_DETAIL_TOKENS if image.get("detail") == "low" else HIGH_DETAIL_TOKENS
        ids += [_IMAGE - chance.number(image.get("url")) % 1_000_000] * count
    else:
        ids += tokenizer.encode(str(part.get(part["type"]) or ""))


def question(messages: list[Body]) -> str:
    """The text of the last message that has any: what the answer is about."""
    for message in reversed(messages):
        content = message.get("content")
        if isinstance(content, list):
            content = " ".join(str(part.get("text") or "") for part in content)
        if isinstance(content, str) and content.strip():
            return content
    return ""


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
