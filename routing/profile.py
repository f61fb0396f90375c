"""What routing and the journal may know of a request: shapes and sizes, never its words."""

from __future__ import annotations

from typing import NamedTuple


class RequestProfile(NamedTuple):
    """The request, as far as a decision may depend on it."""

    api: str
    """`chat`, `completions` or `embeddings`."""
    model: str
    """As the client asked for it."""
    input_bytes: int
    """Size of the request's body, UTF-8."""
    input_tokens: int
    """An estimate from the size; a provider's own count replaces it in the charge."""
    max_output_tokens: int | None
    """The client's bound on one answer, if it gave one."""
    answers: int
    """How many answers are generated (`n`)."""
    messages: int
    tools: int
    images: int
    stream: bool
    json_schema: bool
    service_tier: str
    """The service tier the client asked for; `default` when it did not."""
