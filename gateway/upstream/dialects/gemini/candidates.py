"""What Gemini answers, as it is read, and its parts as what OpenAI's message or delta says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.upstream.dialects.gemini.usage import UsageMetadata


class FunctionCall(msgspec.Struct):
    """A call. Gemini gives it an id, or none."""

    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class Blob(msgspec.Struct, rename="camel"):
    """An image, mostly."""

    mime_type: str = ""
    data: str = ""


class Part(msgspec.Struct, rename="camel"):
    """A piece of an answer."""

    text: str | None = None
    thought: bool = False
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    thought_signature: str | None = None


class Content(msgspec.Struct):
    """Pieces together."""

    parts: Sequence[Part] = ()


class Token(msgspec.Struct, rename="camel"):
    """A token and its log probability."""

    token: str = ""
    log_probability: float = 0.0


class TopTokens(msgspec.Struct):
    """What else could have stood there."""

    candidates: Sequence[Token] = ()


class LogprobsResult(msgspec.Struct, rename="camel"):
    """For each token of a piece."""

    chosen_candidates: Sequence[Token] = ()
    top_candidates: Sequence[TopTokens] = ()


class Candidate(msgspec.Struct, rename="camel"):
    """One answer, or a piece of it."""

    index: int = 0
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: LogprobsResult | None = None


class PromptFeedback(msgspec.Struct, rename="camel"):
    """Why there is no answer at all."""

    block_reason: str | None = None
    block_reason_message: str | None = None

    @property
    def refusal(self) -> str:
        """In words."""
        return self.block_reason_message or f"Gemini blocked the prompt: {self.block_reason}."


class Response(msgspec.Struct, rename="camel"):
    """A `GenerateContentResponse`: a whole answer, or one event of a stream."""

    candidates: Sequence[Candidate] = ()
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")

    @property
    def failed(self) -> bool:
        """Whether it is an error in the guise of an answer."""
        return bytes(self.error) not in (b"", b"null")


decoder = msgspec.json.Decoder(Response)

_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "FINISH_REASON_UNSPECIFIED": "stop",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        ),
        "content_filter",
    ),
}
"""google-genai 3.4, `FinishReason`. The others (MALFORMED_FUNCTION_CALL, OTHER...) are failures of the model's."""


def finish_reason(told: str, *, called: bool) -> str:
    """OpenAI's word for the end of an answer. A failure after something was generated is an end like any other."""
    reason = _FINISH_REASONS.get(told, "stop")
    return "tool_calls" if called and reason == "stop" else reason


def is_failure(told: str) -> bool:
    """Whether the model ended so because it failed, and not because it was done or stopped."""
    return told not in _FINISH_REASONS


def failure(candidate: Candidate | None) -> dict[str, Any]:
    """The error for an answer that is none."""
    if candidate is None or candidate.finish_reason is None:
        return {"message": "Gemini sent no answer.", "type": "server_error", "param": None, "code": None}
    detail = f" {candidate.finish_message}" if candidate.finish_message else ""
    return {
        "message": f"Gemini ended its answer with {candidate.finish_reason} and generated nothing.{detail}",
        "type": "server_error",
        "param": None,
        "code": candidate.finish_reason.lower(),
    }


def say(parts: Sequence[Part], request_id: str, answer: int, first_call: int) -> dict[str, Any]:
    """The fields of a message or a delta: content, reasoning, calls, images; those that there are.

    `first_call` is how many calls the answer has had before.
    """
    texts = [part.text for part in parts if part.text and not part.thought]
    thoughts = [part.text for part in parts if part.text and part.thought]
    called = [part for part in parts if part.function_call is not None]
    images = [part.inline_data for part in parts if part.inline_data is not None and not part.thought]
    said: dict[str, Any] = {}
    if texts:
        said["content"] = "".join(texts)
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if called:
        said["tool_calls"] = [
            _call(part, number, f"{request_id}:{answer}:{number}") for number, part in enumerate(called, first_call)
        ]
    if images:
        said["images"] = [
            {"type": "image_url", "image_url": {"url": f"data:{image.mime_type};base64,{image.data}"}}
            for image in images
        ]
    signed = [part.thought_signature for part in parts if part.thought_signature and part.function_call is None]
    if signed:
        said["extra_content"] = _signature(signed[-1])
    return said


def _call(part: Part, number: int, seed: str) -> dict[str, Any]:
    call = part.function_call
    assert call is not None  # noqa: S101 -- guards a programming error
    made: dict[str, Any] = {
        "index": number,
        "id": call.id or "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24],
        "type": "function",
        "function": {"name": call.name, "arguments": msgspec.json.format(bytes(call.args), indent=-1).decode()},
    }
    if part.thought_signature:
        made["extra_content"] = _signature(part.thought_signature)
    return made


def _signature(signature: str) -> dict[str, Any]:
    return {"google": {"thought_signature": signature}}


def logprobs(result: LogprobsResult) -> dict[str, Any]:
    """OpenAI's `logprobs` of a choice."""
    content = []
    for index, chosen in enumerate(result.chosen_candidates):
        top = result.top_candidates[index].candidates if index < len(result.top_candidates) else ()
        content.append({**_token(chosen), "top_logprobs": [_token(other) for other in top]})
    return {"content": content, "refusal": None}


def _token(token: Token) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.log_probability, "bytes": list(token.token.encode())}
