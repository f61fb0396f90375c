"""Who calls: orgs, teams, agents and their keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Count, Flag, Id, ModelName, Secret, Text, TraitName, Usd, Written
from gateway.config.models.governance import AgentRuns, Clamp, ClampRule, Loops, Requirement, Velocity

PolicyName = Annotated[str | None, Field(min_length=1, max_length=64)]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Org(Written):
    """An organisation. It has no settings of its own yet."""


class Team(Written):
    """A team of an org."""

    org: Id = Field("default", description="One of `orgs`.")
    policy: PolicyName = Field(None, description="Of its agents that say none themselves: a policy's name.")


class Agent(Written):
    """The unit of governance: what has a key, a budget and runs."""

    team: Id = Field("default", description="One of `teams`.")
    policy: PolicyName = Field(None, description="The policy that routes its requests, by name. Default: its team's.")
    trust: list[Literal["value", "priority", "complexity"]] = Field(
        [], description="Which of `value`, `priority` and `complexity` count when its client sends them."
    )
    allowed_models: list[ModelName] | None = Field(
        None, description="Models it may use, by name or pattern (`openai/*`). Left out, it may use all."
    )
    value_usd: Usd | None = Field(
        None, description="What a right answer is worth, USD, where its client does not say or is not trusted to."
    )
    max_value_usd: Usd | None = Field(None, description="The most that an answer counts for, whatever its client says.")
    residency: list[TraitName] = Field(
        [], description="Tags that a deployment must have, all of them, to be called for it: `[eu]`."
    )
    reserve: Literal["strict", "calibrated"] = Field(
        "strict",
        description="What its requests set aside in budgets that do not say themselves: the most that an answer can "
        "cost, or what it likely costs, extended while it streams.",
    )
    max_output_tokens: Count | None = Field(
        None, description="The longest answer it may ask for; requests without a bound get this one."
    )
    clamp: Clamp = Field(
        ClampRule.model_construct(),
        description="Whether an answer is shortened to fit a budget's rest: `off`, or `{min_output_tokens: 256}`.",
    )
    assemble_whole_answers: Flag = Field(
        False,
        description="Stream from the provider for clients that do not stream, so that their answers are counted too.",
    )
    require_run: Flag = Field(False, description="Refuse requests that name no run.")
    requires: list[Requirement] = Field(
        [], description="Labels that its clients must send: `user`, `session`, `tag:<name>`."
    )
    runs: AgentRuns = Field(
        AgentRuns.model_construct(),
        description="What each of its runs may use, sub-runs included. A client can only lower it.",
    )
    loops: Loops = Field(Loops.model_construct(), description="When repetition in a run counts as a loop.")
    velocity: Velocity | None = Field(None, description="When a run of it spends too quickly.")


class Key(Written):
    """A key of an agent."""

    agent: Id = Field(description="One of `agents`.")
    key: Secret = Field(None, repr=False, description="The key: `${NAME}` or `file:/path`.")
    sha256: str | None = Field(None, repr=False, description="Instead of the key: its SHA-256, 64 hexadecimal digits.")
    expires: Text | None = Field(
        None,
        description="A date (`2027-01-31`: until it begins, UTC), or `2027-01-31T18:00:00Z`.",
    )
    allowed_models: list[ModelName] | None = Field(
        None, description="Models it may be used for, by name or pattern. Left out, all of its agent's."
    )

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not _SHA256.fullmatch(value.lower()):
            raise PydanticCustomError("sha256", "a SHA-256 is 64 hexadecimal digits, as `sha256sum` prints it")
        return value

    @field_validator("expires")
    @classmethod
    def _moment(cls, value: str | None) -> str | None:
        if value is not None:
            unix_seconds(value)
        return value

    @model_validator(mode="after")
    def _one_secret(self) -> Key:
        if (self.key is None) == (self.sha256 is None):
            raise PydanticCustomError("key", "needs one of `key` (a reference such as ${NAME}) and `sha256`")
        return self


def unix_seconds(text: str) -> float:
    """A date or a moment with a zone, as Unix time."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None and len(text) == len("2027-01-31"):
            moment = moment.replace(tzinfo=UTC)
        at_s = moment.timestamp()
    except (ValueError, OverflowError):
        message = "should be a date such as `2027-01-31`, or `2027-01-31T18:00:00Z`"
        raise PydanticCustomError("expires", message) from None
    if moment.tzinfo is None:
        raise PydanticCustomError("expires", "needs a time zone: `2027-01-31T18:00:00Z`")
    return at_s
