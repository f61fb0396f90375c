"""The part of the admin API that explains routes by what the gateway knows now. By FastAPI, like the rest of it."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import InvalidField
from gateway.reports.explain import Question
from gateway.reports.explained import explanation_object
from gateway.services import Services

PATH: Final = "/admin/v1/explain"
MAX_BODY_BYTES: Final = 4_194_304
"""A request that is explained may be as long as conversations become."""


class Asking(BaseModel):
    """A request that nobody has sent, and whose it would be."""

    model_config = ConfigDict(extra="forbid")

    agent: str = Field(max_length=128, description="Whose request it is.")
    request: dict[str, Any] | str = Field(
        description="The request's body: an object, or its JSON as a string, whose size then counts to the byte."
    )
    api: Literal["chat", "completions", "embeddings", "messages", "responses"] = Field(
        default="chat", description="Where it would be sent."
    )
    headers: dict[str, Annotated[str, Field(max_length=8_192)]] = Field(
        default={}, max_length=100, description="Headers of the request: `x-farebox-value-usd`."
    )
    key: str | None = Field(
        default=None,
        max_length=128,
        description="The id of its key; absent: one for all models.",
    )


def add_explain(app: FastAPI, services: Services, viewer: list[Any]) -> None:
    """Add the route. `viewer` are the dependencies that check who asks."""

    @app.post(PATH, dependencies=viewer, summary="Which model a request would get now, and why; nothing is called")
    async def explain(asking: Asking) -> dict[str, Any]:
        snapshot = services.snapshot
        agent = snapshot.agents.get(asking.agent)
        if agent is None:
            raise InvalidField(f"There is no agent `{asking.agent}` in the configuration.", param="agent")
        allowed = None
        if asking.key is not None:
            record = services.key_record(asking.key)
            if record is None or record.agent != asking.agent:
                raise InvalidField(f"The agent `{asking.agent}` has no key `{asking.key}`.", param="key")
            allowed = record.allowed_models
        request = asking.request
        body = (
            request.encode()
            if isinstance(request, str)
            else json.dumps(request, ensure_ascii=False).encode(errors="replace")
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in asking.headers.items()]
        question = Question(body, agent, headers, asking.api, time.time(), allowed)
        return explanation_object(await services.explain(question))
