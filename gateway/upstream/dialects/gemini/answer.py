"""Gemini's answers as OpenAI's: whole ones and streams.

Each event of a stream is a whole `GenerateContentResponse`, most with the usage so far. There is no `[DONE]`: a stream
is complete when every answer in it has a finish reason. Usage is said once, at the end; in every event where the wish
asks for that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.upstream.dialects.gemini.candidates import (
    Candidate,
    Response,
    decoder,
    failure,
    finish_reason,
    is_failure,
    logprobs,
    say,
)
from gateway.upstream.dialects.gemini.errors import openai_error, told_inside
from gateway.upstream.dialects.gemini.usage import UsageMetadata, openai_usage
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.answers import MalformedAnswer
from gateway.wire.requests import ModelRequest
from gateway.wire.sse import EventSplitter, data_event, event_data

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DONE = b"data: [DONE]\n\n"
_UNREADABLE = {"message": "The provider's stream cannot be read.", "type": "server_error", "param": None, "code": None}


class Answer:
    """The `Translation` of one answer."""

    __slots__ = (
        "_answers",
        "_calls",
        "_failed",
        "_finished",
        "_model",
        "_request_id",
        "_running_usage",
        "_seen",
        "_splitter",
        "_usage",
    )

    def __init__(self, request: ModelRequest, wish: Wish) -> None:
        self._request_id = wish.request_id
        self._model = wish.upstream_model
        self._running_usage = wish.running_usage or request.running_usage
        self._answers = request.profile.answers
        self._splitter = EventSplitter()
        self._calls: dict[int, int] = {}
        """How many calls each answer has had."""
        self._seen: set[int] = set()
        """Answers of which something was generated; their role has been said."""
        self._finished: set[int] = set()
        self._usage: UsageMetadata | None = None
        self._failed = False

    def whole(self, body: bytes) -> bytes:
        """An answer in one piece. Raises MalformedAnswer."""
        try:
            response = decoder.decode(body)
        except _MALFORMED as error:
            raise MalformedAnswer(str(error)) from None
        usage = response.usage_metadata
        counted = {} if usage is None else {"usage": openai_usage(usage)}
        if response.failed:
            return _encode({"error": told_inside(response.error), **counted})
        candidates = _in_order(response)
        feedback = response.prompt_feedback
        if not candidates and feedback is not None and feedback.block_reason is not None:
            choices = [_blocked(index, "message", feedback.refusal) for index in range(self._answers)]
        elif all(_is_nothing(candidate) for candidate in candidates):
            return _encode({"error": failure(candidates[0] if candidates else None), **counted})
        else:
            choices = [self._choice(candidate) for candidate in candidates]
        return _encode({**self._base("chat.completion", response), "choices": choices, **counted})

    def chunk(self, chunk: bytes) -> bytes:
        """Events of a stream. Raises `gateway.wire.sse.EventTooLarge`."""
        return b"".join([self._event(event) for event in self._splitter.feed(chunk)])

    def end(self) -> bytes:
        """Usage, and `[DONE]` when every answer has ended."""
        out = self._event(self._splitter.rest)
        if self._failed:
            return out
        if self._usage is not None:
            base = self._base("chat.completion.chunk", None)
            out += data_event(_encode({**base, "choices": [], "usage": openai_usage(self._usage)}))
        return out + _DONE if self._finished and self._finished >= self._seen else out

    def error(self, status: int, body: bytes) -> bytes:
        """The body of an error status."""
        return openai_error(status, body)

    def _base(self, kind: str, response: Response | None) -> dict[str, Any]:
        if response is not None and response.model_version:
            self._model = response.model_version
        return {
            "id": f"chatcmpl-{self._request_id}",
            "object": kind,
            "created": _created_s(self._request_id),
            "model": self._model,
        }

    def _choice(self, candidate: Candidate) -> dict[str, Any]:
        said = say(candidate.content.parts if candidate.content else (), self._request_id, candidate.index, 0)
        for call in said.get("tool_calls", ()):
            del call["index"]  # of streams only
        choice: dict[str, Any] = {
            "index": candidate.index,
            "message": {"role": "assistant", "content": None, **said, "refusal": None},
            "finish_reason": finish_reason(candidate.finish_reason or "STOP", called="tool_calls" in said),
        }
        if candidate.logprobs_result is not None:
            choice["logprobs"] = logprobs(candidate.logprobs_result)
        return choice

    def _event(self, event: bytes) -> bytes:
        data = event_data(event)
        if not data or self._failed:
            return b""
        try:
            response = decoder.decode(data)
        except _MALFORMED:
            return self._fail(_UNREADABLE)
        if response.usage_metadata is not None:
            self._usage = response.usage_metadata
        if response.failed:
            return self._fail(told_inside(response.error))
        base = self._base("chat.completion.chunk", response)
        if self._running_usage and self._usage is not None:
            base["usage"] = openai_usage(self._usage)
        feedback = response.prompt_feedback
        if not response.candidates and feedback is not None and feedback.block_reason is not None:
            self._finished = self._seen = set(range(self._answers))
            blocked = [_blocked(index, "delta", feedback.refusal) for index in range(self._answers)]
            return b"".join([data_event(_encode({**base, "choices": [choice]})) for choice in blocked])
        out = b""
        for candidate in response.candidates:
            if self._has_failed(candidate):
                return out + self._fail(failure(candidate))
            for choice in self._deltas(candidate):
                out += data_event(_encode({**base, "choices": [choice]}))
        return out

    def _has_failed(self, candidate: Candidate) -> bool:
        return _is_nothing(candidate) and candidate.index not in self._seen

    def _deltas(self, candidate: Candidate) -> list[dict[str, Any]]:
        """What one event adds to an answer, and its end."""
        index = candidate.index
        calls = self._calls.get(index, 0)
        said = say(candidate.content.parts if candidate.content else (), self._request_id, index, calls)
        self._calls[index] = calls + len(said.get("tool_calls", ()))
        deltas: list[dict[str, Any]] = []
        if index not in self._seen:
            self._seen.add(index)
            said = {"role": "assistant", **said}
        if said:
            delta: dict[str, Any] = {"index": index, "delta": said, "finish_reason": None}
            if candidate.logprobs_result is not None:
                delta["logprobs"] = logprobs(candidate.logprobs_result)
            deltas.append(delta)
        if candidate.finish_reason and index not in self._finished:
            self._finished.add(index)
            reason = finish_reason(candidate.finish_reason, called=self._calls[index] > 0)
            deltas.append({"index": index, "delta": {}, "finish_reason": reason})
        return deltas

    def _fail(self, error: dict[str, Any]) -> bytes:
        """The last event of a stream that failed, with the usage so far."""
        self._failed = True
        counted = {} if self._usage is None else {"usage": openai_usage(self._usage)}
        return data_event(_encode({"error": error, **counted}))


def _in_order(response: Response) -> list[Candidate]:
    return sorted(response.candidates, key=_index)


def _index(candidate: Candidate) -> int:
    return candidate.index


def _is_nothing(candidate: Candidate) -> bool:
    """Whether the model failed before it had generated anything."""
    empty = candidate.content is None or not candidate.content.parts
    return empty and candidate.finish_reason is not None and is_failure(candidate.finish_reason)


def _blocked(index: int, where: str, refusal: str) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "refusal": refusal}
    return {"index": index, where: said, "finish_reason": "content_filter"}


def _created_s(request_id: str) -> int:
    """When the request came, which its id begins with; Gemini does not say it. 0 for another's id."""
    digits = request_id[4:16]
    try:
        return int(digits, 16) // 1000 if request_id.startswith("req_") else 0
    except ValueError:
        return 0
