"""What an agent's requests reserve, and what its runs may do, as people write it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import FORM, LONG, SHORT, Count, Number, Usd, Whole, Written, as_whole
from gateway.guard.settings import Action

_REQUIRABLE = r"^(user|session|tag:[A-Za-z0-9._:-]{1,128})$"
_MAX_S = 31_536_000


def _requirable(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_REQUIRABLE, value):
        raise PydanticCustomError("requires", "should be `user`, `session` or `tag:<name>`")
    return value


Requirement = Annotated[str, BeforeValidator(_requirable), WithJsonSchema({"type": "string", "pattern": _REQUIRABLE})]


def _action(value: Any) -> Any:
    """YAML reads `off` as false."""
    return "off" if value is False else value


GuardAction = Annotated[Action, BeforeValidator(_action), WithJsonSchema({"enum": [*get_args(Action), False]})]


class ClampRule(Written):
    """How far an answer may be shortened to fit what is left of a budget."""

    min_output_tokens: Count = Field(
        256, description="An answer that does not fit a budget is shortened to no less than this."
    )


def _off(value: Any) -> Any:
    if value is not False and value != "off":
        raise PydanticCustomError("clamp", "should be `off`, or `{min_output_tokens: 256}`")
    return "off"


Clamp = Annotated[
    Annotated[ClampRule, LONG]
    | Annotated[Literal["off"], BeforeValidator(_off), WithJsonSchema({"enum": ["off", False]}), SHORT],
    FORM,
]


class AgentRuns(Written):
    """What one run, its sub-runs included, may use."""

    cost_usd: Usd | None = Field(None, description="Money, USD.")
    requests: Count | None = Field(None, description="Requests.")
    tokens: Count | None = Field(None, description="Input and output tokens.")
    wall_s: Annotated[Number, Field(gt=0, le=_MAX_S)] | None = Field(
        None, description="Seconds from the run's opening to its last request."
    )
    depth: Annotated[Whole, Field(ge=0, le=64)] | None = Field(
        None, description="Generations below a root run; 0 forbids sub-runs."
    )
    children: Annotated[Whole, Field(ge=0)] | None = Field(None, description="Direct sub-runs of one run.")


class Loops(Written):
    """When repetition counts as a loop."""

    action: GuardAction = Field(
        "warn",
        description="`off`; `observe` counts; `warn` also tells the client; `block` refuses and pauses the run; "
        "`downgrade` tells routing.",
    )
    window: Annotated[Whole, Field(ge=2, le=1_000)] = Field(
        10, description="How many of the latest tool calls, or of the run's latest requests, are looked at."
    )
    threshold: Annotated[Whole, Field(ge=2, le=1_000)] = Field(
        3, description="So many identical ones among them are a loop."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Loops:
        if self.threshold > self.window:
            raise PydanticCustomError("loops", "`threshold` is larger than `window`: no loop would ever be seen")
        return self


class Velocity(Written):
    """When a run spends too quickly."""

    usd: Usd = Field(description="What a run may spend in that time, USD.")
    per_s: Annotated[Whole, Field(ge=1, le=86_400)] = Field(60, description="Seconds, up to now.")
    action: GuardAction = Field("block", description="As for loops.")


class Queue(Written):
    """Waiting for money that other requests have reserved."""

    wait_s: Annotated[Number, Field(ge=0, le=300)] = Field(
        5.0, description="The longest that a request waits; 0 refuses it at once."
    )
    max_waiting: Annotated[Whole, Field(ge=0)] = Field(
        1_000, description="Requests that may wait for one scope; the next one is refused at once."
    )


class Runs(Written):
    """Runs in general."""

    ttl_s: Annotated[Number, Field(gt=0, le=_MAX_S)] = Field(
        604_800.0, description="A run is forgotten so long after it was opened, unless its opening says less."
    )
    key_ttl_s: Annotated[Number, Field(gt=0, le=_MAX_S)] = Field(
        3_600.0, description="How long a key from `POST /v1/runs` lives, unless the request says less."
    )
    max_open: Count = Field(
        100_000, description="Runs that may be open at a time, of all agents; another one is refused (503)."
    )


class Metering(Written):
    """How a deployment's streams can be counted while they run: the highest rates, as its operator knows them."""

    tokens_per_event: Count = Field(1, description="Output tokens in one event at most.")
    tokens_per_s: Annotated[Number, Field(gt=0, le=1_000_000)] = Field(
        400.0, description="Output tokens generated a second at most."
    )
    cancel_s: Annotated[Number, Field(ge=0, le=600)] = Field(
        0.5, description="Seconds from the end of a connection to the end of its generation at most."
    )
    read_ahead_tokens: Annotated[Whole, Field(ge=0)] = Field(
        0, description="Output tokens that are generated and not yet sent at most."
    )
    running_usage: bool = Field(
        False,
        description="Every event says the usage so far when `stream_options.continuous_usage_stats` asks for it, as "
        "vLLM's do. Farebox asks, counts exactly, and takes it out again for clients that did not ask.",
    )


BudgetStatus = Annotated[
    Literal[402, 422, 429],
    BeforeValidator(as_whole),
    WithJsonSchema({"enum": [402, 422, 429]}),
]
