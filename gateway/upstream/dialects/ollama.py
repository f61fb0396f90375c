"""Ollama, by its `/v1` endpoints. Its dialect is told: it has no host of its own, but for its cloud.

- It takes `max_completion_tokens` and ignores it (github.com/ollama/ollama/issues/7125): the answer would be unbounded.
- A prompt longer than the model's `num_ctx` is cut, not refused (docs.ollama.com/faq): set `context_tokens` to it.
"""

from __future__ import annotations

from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant


class Ollama(Variant):
    """OpenAI's wire, with one name for the bound."""

    name = "ollama"
    renames = MAX_TOKENS_ONLY


DIALECT = Ollama()
