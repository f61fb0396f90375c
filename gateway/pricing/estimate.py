"""Token counts for a provider that sends no usage: from sizes alone, never zero for text, rather high than low.

Measured against OpenAI's cl100k tokens in tests/gateway/pricing/test_estimate.py; docs/money.md has the figures.
"""

from __future__ import annotations

BYTES_PER_INPUT_TOKEN = 3
"""English has 4 to 5 bytes a token, code and JSON 3.7, other scripts 2.2 to 4.5; random identifiers 1.2 to 1.4."""

BYTES_PER_OUTPUT_TOKEN = 3


def estimate_input_tokens(text_bytes: int) -> int:
    """Tokens of a request whose texts take `text_bytes` in UTF-8."""
    return -(-text_bytes // BYTES_PER_INPUT_TOKEN)


def estimate_output_tokens(content_events: int, text_bytes: int) -> int:
    """Tokens of an answer that came in `content_events` chunks with content, `text_bytes` of UTF-8 in all.

    Most providers send a token a chunk, so the chunks are a second witness; whichever says more is believed. 0 and 0 is
    an answer without content: no tokens.
    """
    return max(content_events, -(-text_bytes // BYTES_PER_OUTPUT_TOKEN))
