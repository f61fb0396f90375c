"""vLLM's own server (docs.vllm.ai, "OpenAI-Compatible Server"). Its dialect is told: it has no host of its own.

- `stream_options.continuous_usage_stats` makes every chunk carry the usage so far. A client may ask for it, and what is
  metered is exact then; with `metering: {running_usage: true}` Farebox asks, and takes it out again for clients that
  did not, because some SDKs add up what every chunk says.
- A prompt that is too long is told in two ways: "maximum context length", and "longer than the maximum model length".
"""

from __future__ import annotations

from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.openai import OpenAI


class Vllm(OpenAI):
    """OpenAI's wire."""

    name = "vllm"
    words = Words(context_too_long=("maximum model length", "max_model_len"))


DIALECT = Vllm()
