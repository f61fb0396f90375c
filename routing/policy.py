"""Policies as people write them: strict models of `policies/*.yaml`. Conditions and names are checked afterwards."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from routing.rules import Check, Strategy

AUTO = "auto"
"""What clients ask for who leave the choice to the policy."""
MAX_WEIGHT = 1_000_000
_PERCENT_TOLERANCE = 1e-6

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_ENTRY = {"type": "string", "minLength": 1, "maxLength": 200}
_USE_SCHEMA = {
    "anyOf": [
        _ENTRY,
        {"type": "array", "items": _ENTRY, "minItems": 1, "maxItems": 100, "uniqueItems": True},
        {
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_WEIGHT},
            "minProperties": 1,
            "maxProperties": 100,
        },
    ]
}


def _use(value: Any) -> Any:
    """A name, a list of names, or names with weights: as names with weights."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        if len(set(value)) < len(value):
            raise PydanticCustomError("use", "names the same twice")
        value = dict.fromkeys(value, 1)
    if not isinstance(value, dict) or not all(_is_weight(weight) for weight in value.values()):
        message = "should be a tier or a model, a list of them, or a mapping of them to weights from 0 to {most}"
        raise PydanticCustomError("use", message, {"most": MAX_WEIGHT})
    if not 1 <= len(value) <= 100 or not all(1 <= len(name) <= 200 for name in value):
        raise PydanticCustomError("use", "should name 1 to 100 tiers or models")
    if not any(value.values()):
        raise PydanticCustomError("use", "all of them weigh 0: none would be used")
    return value


def _models_or_all(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return value
    raise PydanticCustomError("route_concrete", "should be `true`, `false`, or a list of models")


def _is_weight(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_WEIGHT


def _long_form(key: str, short: type | tuple[type, ...]) -> BeforeValidator:
    """Lets a setting be written as the value of its entry `key` alone."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, short) else value)


Name = Annotated[str, Field(pattern=_NAME)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Cel = Annotated[str, Field(min_length=1, max_length=4096)]
Use = Annotated[dict[str, int], BeforeValidator(_use), WithJsonSchema(_USE_SCHEMA)]
"""Names of tiers and models, in order, each with its weight."""


class Written(BaseModel):
    """Base of everything in a policy file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Verification(Written):
    """What an answer has to pass."""

    checks: list[Check] = Field(
        [],
        description="`schema`: fits the request's JSON schema; `tool_calls`: calls tools of the request, with "
        "arguments that fit; `refusal`: does not refuse; `empty`: is not empty.",
    )
    condition: Cel | None = Field(
        None, description="A condition in CEL that the answer fulfils: `answer.output_tokens > 20`."
    )
    buffer_streams: bool = Field(
        False, description="Hold streams back until they are verified. Otherwise they are not verified."
    )

    @model_validator(mode="after")
    def _something(self) -> Verification:
        if not self.checks and self.condition is None:
            raise PydanticCustomError("verify", "needs `checks`, a `condition`, or both")
        return self


Verify = Annotated[Verification, _long_form("checks", list)]


class Arm(Written):
    """One side of an experiment."""

    percent: float = Field(gt=0, le=100, description="Its share of runs.")
    use: Use = Field(description="A tier or a model, or a list of them.")


class Action(Written):
    """What a rule, or the default, does."""

    use: Use | None = Field(
        None,
        description="A tier or a model, or a list of them in order; under `strategy: weighted` a mapping to weights.",
    )
    strategy: Strategy | None = Field(
        None, description="How their models are put in order. Left out: the policy's `strategy`."
    )
    verify: Verify | None = Field(
        None, description="What an answer has to pass, or the next model is asked: checks, or a mapping of settings."
    )


class Default(Action):
    """What is done when no rule matches."""


class Rule(Action):
    """One rule. The first that matches is obeyed."""

    name: Name = Field(description="What routes, metrics and the journal call it.")
    when: Cel | None = Field(None, description="A condition in CEL. Left out: always.")
    shadow: bool = Field(False, description="Decide and record, but do not obey: the rules after it go on.")
    experiment: Annotated[dict[Name, Arm], Field(min_length=2, max_length=10)] | None = Field(
        None, description="Instead of `use`: arms by name, each for a share of runs."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Rule:
        if (self.use is None) == (self.experiment is None):
            raise PydanticCustomError("rule", "needs one of `use` and `experiment`")
        if self.shadow and self.verify is not None:
            raise PydanticCustomError("rule", "a shadow rule calls nothing: there is no answer to `verify`")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        percents = [arm.percent for arm in (self.experiment or {}).values()]
        if percents and abs(math.fsum(percents) - 100) > _PERCENT_TOLERANCE:
            message = "the percents of an experiment add up to 100, not to {total}"
            raise PydanticCustomError("rule", message, {"total": f"{math.fsum(percents):g}"})
        return self


class Policy(Written):
    """A policy file."""

    name: Name = Field(description="What the policy is called: letters, digits and `._-`.")
    description: str = Field("", max_length=4096, description="What it is for.")
    tiers: Annotated[
        dict[Name, Annotated[list[ModelName], Field(min_length=1, max_length=100)]], Field(max_length=20)
    ] = Field({}, description="Named lists of models, in order from weak to strong.")
    rules: Annotated[list[Rule], Field(max_length=500)] = Field([], description="In order: the first that matches.")
    default: Annotated[Default, _long_form("use", (str, list))] | None = Field(
        None, description="What is used when no rule matches. Left out: the strongest tier."
    )
    strategy: Strategy = Field(
        "ordered",
        description="How models are put in order where a rule does not say. `ordered`: as written; `weighted`: drawn "
        "by weight; `cheapest`: by expected cost; `fastest`: by latency; `value`: by what the answer is worth times "
        "how likely it is right, less what it costs.",
    )
    claims: list[ModelName] = Field(
        [AUTO], description="Names that clients may ask for to be routed by this policy, besides models themselves."
    )
    route_concrete: Annotated[bool | list[str], BeforeValidator(_models_or_all)] = Field(
        False,
        description="Whether requests for a model of the configuration are routed too: `true` for all, or a list.",
    )
    floors: dict[str, Name] = Field({}, description="The weakest tier for an agent, by agent.")
    ceilings: dict[str, Name] = Field({}, description="The strongest tier for an agent, by agent.")

    @property
    def routes(self) -> bool:
        """Whether it chooses models at all. One that does not leaves every request to the model it asks for."""
        return bool(self.tiers or self.rules or self.default is not None)
