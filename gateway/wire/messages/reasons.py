"""Why an answer stopped: Anthropic's reasons and OpenAI's."""

from __future__ import annotations

from typing import Final

FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
}
"""Of other reasons, which may come to be: `stop`."""

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
MAX_TOKENS: Final = "max_tokens"
REFUSAL: Final = "refusal"


def finish_reason(stop_reason: str | None, *, calls: bool) -> str:
    """OpenAI's reason. `calls`: whether the answer calls tools; the call that stands in for JSON is none."""
    found = FINISH_REASONS.get(stop_reason or "", "stop")
    return "stop" if found == "tool_calls" and not calls else found


def stop_reason(finish: str | None, native: str | None, *, calls: bool, refused: bool) -> str:
    """Anthropic's reason. `native` is its own, where the answer was Anthropic's before it was OpenAI's.

    Some servers call tools and say `stop`: what has calls in it stops for them, or a client would not run them.
    """
    if native in FINISH_REASONS and FINISH_REASONS[native] == finish:
        return native
    if refused and finish in {"stop", None}:
        return REFUSAL
    found = _STOP_REASONS.get(finish or "", "end_turn")
    return "tool_use" if calls and found == "end_turn" else found
