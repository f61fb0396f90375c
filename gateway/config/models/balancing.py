"""What people write about load balancing: how much a deployment can take."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Count, Written
from gateway.config.models.budgets import WrittenRate


class Capacity(Written):
    """What a deployment can take, from all gateways and all models together. Full, it is passed over for the next."""

    concurrency: Count | None = Field(None, description="Requests at a time.")
    requests: WrittenRate | None = Field(None, description="Requests in a time: `600/min`.")
    tokens: WrittenRate | None = Field(
        None, description="Input and output tokens in a time: estimated first, corrected by the answer."
    )

    @model_validator(mode="after")
    def _something(self) -> Capacity:
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise PydanticCustomError("capacity", "says nothing: needs `concurrency`, `requests` or `tokens`")
        return self
