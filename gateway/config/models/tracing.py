"""Traces, as people write them. docs/tracing.md explains them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import EmptyIsNone, Flag, Number, Text, Written


class Tracing(Written):
    """Where traces go."""

    endpoint: Text | None = Field(
        None,
        examples=["http://127.0.0.1:4318"],
        description="An OpenTelemetry collector's address for OTLP over HTTP; `/v1/traces` is added where the path "
        "does not end with it. Left out: no traces. Needs `farebox[otel]`.",
    )
    headers: Annotated[dict[Text, Text], EmptyIsNone] = Field(
        {}, repr=False, description="Headers for it, such as its key, by reference."
    )
    service_name: Text = Field("farebox", description="The spans' `service.name`.")
    sample_ratio: Number = Field(
        1.0, ge=0, le=1, description="The share of traces that is sent, of those whose client has not decided that."
    )
    content: Flag = Field(
        False, description="Put prompts and answers into spans, keys masked. Needs `storage.record_content`."
    )

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise PydanticCustomError("url", "should begin with http:// or https://")
        return endpoint
