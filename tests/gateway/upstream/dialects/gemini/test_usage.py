"""What Gemini counts is billed to the token."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.gemini.usage import UsageMetadata, openai_usage
from gateway.wire.answers import read_answer

COUNT = st.integers(0, 1_000_000)


@given(COUNT, COUNT, COUNT, COUNT, st.none() | COUNT)
def test_thoughts_are_output_and_tools_prompts_are_input(
    prompt: int, candidates: int, thoughts: int, tools: int, total: int | None
) -> None:
    told = UsageMetadata(prompt, candidates, thoughts, tools, total_token_count=total or 0)
    usage = read_answer(msgspec.json.encode({"usage": openai_usage(told), "choices": []})).usage

    counted = prompt + candidates + thoughts + tools
    if counted == 0 and not total:
        assert usage is None
        return
    assert usage is not None
    assert usage.input_tokens == prompt + tools
    assert usage.output_tokens == max(total or 0, counted) - prompt - tools
    assert usage.reasoning_tokens == thoughts


def test_modalities_are_added_up() -> None:
    told = msgspec.json.decode(
        b'{"promptTokenCount":30,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":5},{"modality":"IMAGE",'
        b'"tokenCount":7}],"toolUsePromptTokensDetails":[{"modality":"AUDIO","tokenCount":2}],'
        b'"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":3}],"trafficType":"ON_DEMAND"}',
        type=UsageMetadata,
    )

    usage = openai_usage(told)

    assert usage["prompt_tokens_details"] == {"cached_tokens": 0, "audio_tokens": 7, "image_tokens": 7}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0, "audio_tokens": 3}
