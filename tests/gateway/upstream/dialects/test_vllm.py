from __future__ import annotations

from gateway.upstream.dialects.vllm import DIALECT
from gateway.wire.answers import StreamObserver
from tests.gateway.upstream.dialects.speaking import sent


def test_a_client_may_ask_for_usage_in_every_chunk() -> None:
    body = sent("vllm", stream=True, stream_options={"continuous_usage_stats": True})
    observer = StreamObserver(1)
    observer.observe(
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,'
        b'"total_tokens":4}}\n\n'
    )

    assert body["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}
    assert observer.usage is not None
    assert observer.usage.output_tokens == 1


def test_its_errors() -> None:
    too_long = b'{"message":"The decoder prompt (length 40000) is longer than the maximum model length of 32768."}'

    assert DIALECT.complaint(400, too_long) == "context_too_long"
