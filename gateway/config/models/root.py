"""The whole configuration."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.config.models.alerts import Alerts
from gateway.config.models.base import EmptyIsNone, Id, ModelName, PathText, ProviderId, Written
from gateway.config.models.budgets import Budget, Limit
from gateway.config.models.governance import BudgetStatus, Queue, Runs
from gateway.config.models.identity import Agent, Key, Org, PolicyName, Team
from gateway.config.models.models import Model
from gateway.config.models.prices import Unpriced, UnpricedRule
from gateway.config.models.providers import Provider
from gateway.config.models.resilience import Breaker, Fallback, Retries
from gateway.config.models.responses import Responses
from gateway.config.models.server import Admin, Metrics, Server, Simulator, Storage
from gateway.config.models.tracing import Tracing


def _on_off(value: Any) -> Any:
    word = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if word not in {"on", "off"} if isinstance(word, str) else True:
        raise PydanticCustomError("auth", "should be `on` or `off`")
    return word == "on"


OnOff = Annotated[
    bool,
    BeforeValidator(_on_off),
    PlainSerializer(lambda value: "on" if value else "off"),
    WithJsonSchema({"enum": ["on", "off", True, False]}),
]


class RawConfig(Written):
    """What people write in `config.yaml`, references resolved and types checked, but names not yet followed."""

    include: list[PathText] = Field(
        [], description="More files, by name or pattern; their sections are merged into this one's."
    )
    server: Server = Field(Server.model_construct(), description="The main listener. Changes need a restart.")
    admin: Admin = Field(Admin.model_construct(), description="The admin API.")
    auth: OnOff = Field(
        True,
        examples=["on", "off"],
        description="`off` lets anybody in, as `anonymous_agent`; only on a loopback address.",
    )
    anonymous_agent: Id | None = Field(None, description="Who the callers are under `auth: off`: one of `agents`.")
    storage: Storage = Field(Storage.model_construct(), description="Where state lives. Changes need a restart.")
    simulator: Simulator = Field(
        Simulator.model_construct(), description="The simulated provider. Changes need a restart."
    )
    metrics: Metrics = Field(Metrics.model_construct(), description="Bounds on metrics.")
    tracing: Tracing = Field(
        Tracing.model_construct(), description="Traces to an OpenTelemetry collector. Changes need a restart."
    )
    alerts: Alerts = Field(Alerts.model_construct(), description="Who is told when something is wrong.")
    policies: PathText = Field("policies", description="Folder of policy files (`*.yaml`).")
    policy: PolicyName = Field(
        None, description="The policy of agents and teams that say none, by name. Left out: the one called `default`."
    )
    unpriced: Unpriced = Field(
        UnpricedRule.model_construct(),
        description="`deny` refuses models without a price; a `ceiling` charges them that.",
    )
    providers: Annotated[dict[ProviderId, Provider], EmptyIsNone] = Field(
        {}, description="Where models are reached, by name."
    )
    models: Annotated[dict[ModelName, Model], EmptyIsNone] = Field(
        {},
        description="What clients can ask for, by name. A wildcard such as `openai/*` stands for all of a provider's.",
    )
    breaker: Breaker = Field(
        Breaker.model_construct(), description="When a deployment that fails is left alone, and how it is tried again."
    )
    retries: Retries = Field(Retries.model_construct(), description="Trying again where it was tried before.")
    fallback: Fallback = Field(
        Fallback.model_construct(), description="For which failures a model's next deployment is called."
    )
    orgs: Annotated[dict[Id, Org], EmptyIsNone] = Field({}, description="Organisations. `default` always exists.")
    teams: Annotated[dict[Id, Team], EmptyIsNone] = Field({}, description="Teams. `default` always exists.")
    agents: Annotated[dict[Id, Agent], EmptyIsNone] = Field({}, description="Agents: who has keys.")
    keys: Annotated[dict[Id, Key], EmptyIsNone] = Field(
        {}, description="Keys that the configuration declares; `farebox keys` makes others."
    )
    budgets: Annotated[dict[Id, Budget], EmptyIsNone] = Field({}, description="Limits on money, by name.")
    limits: Annotated[dict[Id, Limit], EmptyIsNone] = Field(
        {}, description="Limits on requests, tokens and requests at a time, by name."
    )
    queue: Queue = Field(Queue.model_construct(), description="Waiting for money that other requests have reserved.")
    runs: Runs = Field(Runs.model_construct(), description="Runs in general; what one may use is its agent's.")
    responses: Responses = Field(
        Responses.model_construct(), description="What is kept of the Responses API, and for how long."
    )
    budget_status: BudgetStatus = Field(
        402, description="The status of a request that a budget refuses for good: 402, 422 or 429."
    )
