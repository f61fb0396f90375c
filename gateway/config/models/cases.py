"""Cases of policies as people write them: requests, and where they are expected to go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Id, Number, Text, Usd, Whole, Written

Share = Annotated[Number, Field(ge=0, le=1)]
Amount = Annotated[Number, Field(ge=0)]
Tokens = Annotated[Whole, Field(ge=0)]


class CaseRun(Written):
    """The run so far."""

    id: Text = Field("run", description="Experiments are sticky by it.")
    cost_usd: Amount = Field(0.0, description="`run.cost_usd`.")
    steps: Tokens = Field(0, description="`run.steps`.")
    depth: Tokens = Field(0, description="`run.depth`.")


class CaseBudget(Written):
    """The tightest budget."""

    id: Text = Field("budget", description="What it is called.")
    remaining_ratio: Share = Field(1.0, description="`budget.remaining_ratio`.")
    burn_ratio: Amount = Field(0.0, description="`budget.burn_ratio`.")
    left_usd: Usd | None = Field(None, description="What is left of it, in quoted USD: for `on_exceed: downgrade`.")
    downgrade: bool = Field(False, description="It says `on_exceed: downgrade`.")


class CaseSession(Written):
    """What is remembered of the conversation."""

    model: Text = Field(description="The model of its latest request.")
    tier: str = Field("", description="The tier that it was routed to.")
    cached_tokens: Tokens = Field(0, description="Of its prompt, those in the provider's cache.")
    called_tools: bool = Field(False, description="Its answer called tools.")


class CaseRequest(Written):
    """A request, as far as routing depends on it. What its client declares counts as if the agent trusted it."""

    agent: Id = Field(description="One of the configuration's `agents`; its team and org are known.")
    model: Text = Field("auto", description="As asked for.")
    tags: dict[str, str] = Field({}, description="`tags`.")
    value_usd: Amount | None = Field(None, description="What its client declares. Left out: the agent's own value.")
    priority: Literal["low", "normal", "high"] = Field("normal", description="`priority`.")
    complexity: Share = Field(0.0, description="`complexity`.")
    input_tokens: Tokens = Field(1_000, description="`input_tokens`.")
    max_output_tokens: Tokens = Field(0, description="`max_output_tokens`: 0 where the client gives no bound.")
    tools: Tokens = Field(0, description="`tools`: how many the request has.")
    images: Tokens = Field(0, description="`images`: how many the request has.")
    stream: bool = Field(False, description="`stream`.")
    json_schema: bool = Field(False, description="`json_schema`: the answer has to fit one.")
    session_turns: Tokens = Field(1, description="`session_turns`: messages so far.")
    hour: Annotated[Whole, Field(ge=0, le=23)] = Field(12, description="`hour`, UTC.")
    weekday: Annotated[Whole, Field(ge=1, le=7)] = Field(3, description="`weekday`: 1 is Monday.")
    run: CaseRun = Field(CaseRun.model_construct(), description="The run so far.")
    budget: CaseBudget = Field(CaseBudget.model_construct(), description="The tightest enforced budget.")
    session: CaseSession | None = Field(None, description="What is remembered of its conversation. Default: nothing.")
    api: Literal["chat", "completions", "embeddings"] = Field("chat", description="Which of the APIs it is sent to.")
    parallel_tools: bool = Field(False, description="It insists on several tool calls in one answer.")
    in_tool_loop: bool = Field(False, description="Its last message is a tool's result.")
    unwell: list[Text] = Field([], description="Models, or ids of deployments, that cannot be called now.")
    latency_s: dict[str, Amount] = Field({}, description="Seconds to the first byte, by deployment.")
    quality: dict[str, Share] = Field({}, description="How likely an answer is right, by model.")
    money_price: Annotated[Number, Field(ge=1)] = Field(1.0, description="What a dollar is worth: 1 and more.")
    draw: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="The chance that `weighted` draws.")


class Expectation(Written):
    """The expected route. Only what is written is compared."""

    model: Text | None = Field(None, description="The model that is called first.")
    models: list[Text] | None = Field(None, description="All models, in order.")
    tier: Text | None = Field(None, description="The tier of the first one.")
    rule: Text | None = Field(None, description="The rule, `default`, or `asked` where no policy routes the request.")
    arm: Text | None = Field(None, description="`experiment/arm`.")
    strategy: Text | None = Field(None, description="The strategy.")
    reason: Text | None = Field(None, description="Why the first one is first.")
    verify: bool | None = Field(None, description="Whether the answer is verified.")
    shadows: dict[str, str] | None = Field(None, description="What shadow rules would have called, by rule.")
    excluded: dict[str, str] | None = Field(None, description="Models, among others, that a gate excludes, and which.")
    failed: list[Text] | None = Field(None, description="Rules whose condition failed at run time.")
    refused: Text | None = Field(None, description="No model can be called, for this reason.")

    @model_validator(mode="after")
    def _something(self) -> Expectation:
        if not self.model_fields_set:
            raise PydanticCustomError("expect", "expects nothing: write `model`, `rule` or the like")
        return self


class Case(Written):
    """One request and its expected route."""

    name: Text = Field(description="What it shows.")
    request: CaseRequest = Field(description="The request.")
    expect: Expectation = Field(description="Where it should go.")


class CaseFile(Written):
    """A file of cases."""

    policy: Text | None = Field(
        None,
        description="The policy: its name, or its file (`../examples/x.yaml`, relative to this one). Left out: that of "
        "each request's agent.",
    )
    cases: Annotated[list[Case], Field(min_length=1, max_length=10_000)] = Field(description="The cases.")
