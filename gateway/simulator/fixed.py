"""The fast mode: `sim-fixed` answers with bytes rendered beforehand, for benchmarks of what stands in front of it.

No tokenizer, no seeded text, no record per request: only the bill's totals grow. Of the faults it knows the statuses,
`reset`, `html` and `slow`.
"""

from __future__ import annotations

import asyncio
import functools

import msgspec

from gateway.simulator.bill import Bill, Counts, cost_nano_usd
from gateway.simulator.conversation import JSON, Conversation
from gateway.simulator.faults import Faults
from gateway.simulator.fields import Body, whole
from gateway.simulator.models import MODELS

PROMPT_TOKENS = 250
TOKENS = 100
"""Output tokens unless the request limits them."""
_MODEL = MODELS["sim-fixed"]
_ID = "chatcmpl-fixed"
_CREATED = 1_767_225_600
_SENTENCE = "Passengers read timetables; accountants reconcile settlement registers without surprises, day by day."
_WORDS = _SENTENCE.split()


def _usage(tokens: int) -> Body:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _text(tokens: int) -> list[str]:
    return [" " + _WORDS[index % len(_WORDS)] for index in range(tokens)]


@functools.lru_cache(maxsize=64)
def plain_body(tokens: int) -> bytes:
    """The plain answer; 1.4 kB at 100 tokens."""
    message: Body = {"role": "assistant", "content": "".join(_text(tokens)), "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    base = {"id": _ID, "object": "chat.completion", "created": _CREATED, "model": _MODEL.id, "service_tier": "default"}
    return msgspec.json.encode({**base, "choices": [choice], "usage": _usage(tokens)})


@functools.lru_cache(maxsize=64)
def events(tokens: int, include_usage: bool) -> tuple[bytes, ...]:
    """The stream's events: the role, one per token, the finish reason, the usage if asked for; [DONE] apart."""
    base = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _MODEL.id,
        "service_tier": "default",
    }
    null: Body = {"usage": None} if include_usage else {}

    def event(delta: Body, finish: str | None) -> Body:
        return {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], **null}

    bodies = [event({"role": "assistant", "content": ""}, None)]
    bodies += [event({"content": text}, None) for text in _text(tokens)]
    bodies.append(event({}, "stop"))
    if include_usage:
        bodies.append({**base, "choices": [], "usage": _usage(tokens)})
    return tuple(b"data: %b\n\n" % msgspec.json.encode(body) for body in bodies)


async def answer(conversation: Conversation, body: Body, faults: Faults, bill: Bill) -> None:
    """Answer one chat request."""
    tokens = whole(body, "max_completion_tokens", 1) or whole(body, "max_tokens", 1) or TOKENS
    tokens = min(tokens, _MODEL.max_output_tokens)
    slow = faults.find("slow")
    first_s, token_s = (max(0.0, slow.number(name)) / 1000 for name in ("first_ms", "token_ms")) if slow else (0.0, 0.0)
    if body.get("stream"):
        made = await _stream(conversation, events(tokens, _wants_usage(body)), (first_s, token_s), tokens)
    else:
        if first_s:
            await asyncio.sleep(first_s)
        made = tokens
        await conversation.answer(200, plain_body(tokens), JSON)
    counts = Counts(PROMPT_TOKENS, 0, made, 0)
    bill.add(_MODEL.id, counts, _cost(counts))


def _wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


async def _stream(
    conversation: Conversation, prepared: tuple[bytes, ...], waits: tuple[float, float], tokens: int
) -> int:
    """Send the events; the number of tokens made before the client left."""
    first_s, token_s = waits
    conversation.watch()
    await conversation.pause(first_s)
    await conversation.start_stream([])
    for made, data in enumerate(prepared):
        if not await conversation.pause(token_s):
            return min(tokens, max(0, made - 1))
        await conversation.write(data)
    await conversation.finish(b"data: [DONE]\n\n")
    return tokens


_cost = functools.lru_cache(maxsize=256)(functools.partial(cost_nano_usd, _MODEL))
