"""`usageMetadata` as OpenAI's `usage`.

Thoughts are billed as output and lie outside of `candidatesTokenCount`; what tools of Gemini's own read lies outside of
`promptTokenCount`; cached input lies inside of it (ai.google.dev/api/generate-content#UsageMetadata).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class Modality(msgspec.Struct, rename="camel"):
    """Tokens of one kind."""

    modality: str = ""
    token_count: int = 0


class UsageMetadata(msgspec.Struct, rename="camel"):
    """What Gemini says it counted. In streams it comes with several chunks; the last one counts."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int = 0
    total_token_count: int = 0
    prompt_tokens_details: Sequence[Modality] = ()
    tool_use_prompt_tokens_details: Sequence[Modality] = ()
    candidates_tokens_details: Sequence[Modality] = ()


def openai_usage(told: UsageMetadata) -> dict[str, Any]:
    """The same in OpenAI's words. What only the total has is output: it is never left unpaid."""
    prompt = told.prompt_token_count + told.tool_use_prompt_token_count
    completion = told.candidates_token_count + told.thoughts_token_count
    read = (*told.prompt_tokens_details, *told.tool_use_prompt_tokens_details)
    written = told.candidates_tokens_details
    inputs = {"cached_tokens": told.cached_content_token_count, "audio_tokens": _of(read, "AUDIO")}
    outputs = {"reasoning_tokens": told.thoughts_token_count, "audio_tokens": _of(written, "AUDIO")}
    if images := _of(read, "IMAGE"):
        inputs["image_tokens"] = images
    if images := _of(written, "IMAGE"):
        outputs["image_tokens"] = images
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": max(told.total_token_count, prompt + completion),
        "prompt_tokens_details": inputs,
        "completion_tokens_details": outputs,
    }


def _of(details: Sequence[Modality], modality: str) -> int:
    return sum(detail.token_count for detail in details if detail.modality == modality)
