"""OpenRouter.

- `models` lets it answer with another model, at another price, than the one that was allowed and admitted: refused.
  Fallbacks belong into Farebox's own configuration.
- Usage is always sent (openrouter 1.3, `ChatStreamOptions`: asking for it is deprecated); its `cost` is what OpenRouter
  charges our account, and so what we charge (`BILLS_AS_REPORTED`), unless a key of one's own was used (`is_byok`).
- 403 is moderation when `metadata` says so ("your input was flagged"), else permissions; errors while it generates come
  under status 200, whole or as an event with `error` (openrouter.ai/docs/api/reference/errors-and-debugging):
  `gateway.wire.answers` takes both for what they are.
"""

from __future__ import annotations

from gateway.errors import InvalidField
from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.openai import OpenAI
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import ModelRequest


class OpenRouter(OpenAI):
    """OpenAI's wire; other models than the admitted one are not let in."""

    name = "openrouter"
    words = Words(content_filter=("moderation", "flagged"), account=("insufficient credits", "key limit exceeded"))

    def body(self, request: ModelRequest, wish: Wish) -> bytes:
        """The body. Raises InvalidField for `models`."""
        if "models" in request.fields:
            raise InvalidField(
                "`models` would let the provider answer with another model, at another price, than the one that this "
                "request was admitted for. Leave it out.",
                param="models",
            )
        return super().body(request, wish)


DIALECT = OpenRouter()
