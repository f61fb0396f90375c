"""llama.cpp's server. Its dialect is told: it has no host of its own.

- `n_predict`, its own name for the bound, wins over OpenAI's (ggml-org/llama.cpp, `params_from_json_cmpl`: `n_predict`,
  else `max_completion_tokens`, else `max_tokens`). One name is sent, with the lowest.
- A prompt that is too long is `exceed_context_size_error`, under 400 or, in some versions, 500
  (github.com/ggml-org/llama.cpp/pull/15780).
"""

from __future__ import annotations

from gateway.upstream.dialects.complaints import Words, said
from gateway.upstream.dialects.protocol import Complaint
from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant

_TOO_LONG = ("exceed_context_size_error", "exceeds the available context size")


class LlamaCpp(Variant):
    """OpenAI's wire, with a third name for the bound."""

    name = "llama_cpp"
    renames = {**MAX_TOKENS_ONLY, "n_predict": "max_tokens"}
    words = Words(context_too_long=_TOO_LONG)

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        if status == 500 and any(words in said(body) for words in _TOO_LONG):
            return "context_too_long"
        return super().complaint(status, body)


DIALECT = LlamaCpp()
