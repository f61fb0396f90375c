"""Models: the names that clients ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.balancing import Capacity
from gateway.config.models.base import Count, Flag, ModelName, ProviderId, Text, TraitName, Whole, Written
from gateway.config.models.governance import Metering
from gateway.config.models.prices import Price, Tariff
from gateway.config.models.providers import ProviderTimeouts
from gateway.config.models.resilience import Hedge
from routing.balance import StrategyName

Ability = Literal["tools", "parallel_tools", "vision", "json_schema"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]


class Deployment(Written):
    """A model at a provider."""

    provider: ProviderId = Field(description="One of `providers`.")
    model: Text | None = Field(
        None,
        description="The provider's name for it. Default: the name clients use; in a wildcard, what `*` stands for.",
    )
    price: Price | None = Field(None, description="Instead of the price table's price.")
    tariff: Tariff | None = Field(
        None,
        description="What it bills by count, in USD of one: `web_search`, `image:1024x1024:hd`, `second`, `character`. "
        "Default: its provider's, and what is documented.",
    )
    context_tokens: Count | None = Field(None, description="The longest input plus output it takes.")
    max_output_tokens: Count | None = Field(None, description="The longest answer it gives.")
    countable_stream: Flag | None = Field(
        None, description="Declares that its streams show all that they cost: no hidden output, events of few tokens."
    )
    stops_on_disconnect: Flag | None = Field(
        None, description="Declares that it stops generating, and billing, when the connection ends."
    )
    metering: Metering | None = Field(
        None, description="How its streams are counted while they run. Needs both declarations."
    )
    max_tokens_field: MaxTokensField | None = Field(
        None,
        description="The field that bounds an answer where the client names none. Default: `max_completion_tokens` at "
        "api.openai.com, else `max_tokens`.",
    )
    image_tokens: Count | None = Field(
        None, description="The most that one image counts for. Default: as its model's family documents."
    )
    cannot: list[Ability] | None = Field(
        None,
        description="What it does not do: `tools`, `parallel_tools`, `vision`, `json_schema`. It is sent no request "
        "that needs it.",
    )
    tags: list[TraitName] | None = Field(None, description="What an agent's `residency` asks for: `[eu]`.")
    timeouts: ProviderTimeouts | None = Field(None, description="Instead of its provider's.")
    capacity: Capacity | None = Field(
        None, description="What it can take; while it is full, the next deployment is called. Default: anything."
    )
    weight: Annotated[Whole, Field(ge=0, le=1_000_000)] = Field(
        1, description="Its share of the model's calls, under `weighted` and `least_busy`. 0: for fallbacks only."
    )


class Model(Written):
    """A name that clients ask for. With one deployment, its settings may stand right here."""

    aliases: list[ModelName] = Field([], description="Other names for it.")
    deployments: list[Deployment] | None = Field(
        None, min_length=1, description="Where it is reached, in order of preference."
    )
    provider: ProviderId | None = Field(None, description="For a single deployment: one of `providers`.")
    model: Text | None = Field(None, description="For a single deployment: the provider's name for it.")
    price: Price | None = Field(None, description="For a single deployment: instead of the price table's price.")
    tariff: Tariff | None = Field(None, description="For a single deployment: what it bills by count.")
    context_tokens: Count | None = Field(
        None, description="For a single deployment: the longest input plus output it takes."
    )
    max_output_tokens: Count | None = Field(None, description="For a single deployment: the longest answer it gives.")
    countable_stream: Flag | None = Field(
        None, description="For a single deployment: declares that its streams show all that they cost."
    )
    stops_on_disconnect: Flag | None = Field(
        None, description="For a single deployment: declares that it stops when the connection ends."
    )
    metering: Metering | None = Field(
        None, description="For a single deployment: how its streams are counted. Needs both declarations."
    )
    max_tokens_field: MaxTokensField | None = Field(
        None, description="For a single deployment: the field that bounds an answer where the client names none."
    )
    image_tokens: Count | None = Field(None, description="For a single deployment: the most that one image counts for.")
    cannot: list[Ability] | None = Field(None, description="For a single deployment: what it does not do.")
    tags: list[TraitName] | None = Field(None, description="For a single deployment: what `residency` asks for.")
    timeouts: ProviderTimeouts | None = Field(None, description="For a single deployment: instead of its provider's.")
    capacity: Capacity | None = Field(None, description="For a single deployment: what it can take.")
    strategy: StrategyName = Field(
        "ordered",
        description="Which deployment is called first: `ordered` as written, `weighted` by chance, `least_busy` the "
        "one with the fewest calls in flight for its weight, `fastest` the one that answers soonest, of two drawn.",
    )
    hedge: Hedge | None = Field(
        None,
        description="Call the next deployment too when the first byte is late; the first to answer wins.",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Model:
        short = [name for name in SHORT_FIELDS if getattr(self, name) is not None]
        if self.deployments is None and self.provider is None:
            raise PydanticCustomError("form", "needs `provider` (and `model`), or a list of `deployments`")
        if self.deployments is not None and short:
            message = "has `deployments`; `{field}` belongs into one of them"
            raise PydanticCustomError("form", message, {"field": short[0]})
        return self

    def written_deployments(self) -> list[Deployment]:
        """Its deployments, whichever form they have."""
        if self.deployments is not None:
            return self.deployments
        return [Deployment.model_construct(**{name: getattr(self, name) for name in SHORT_FIELDS})]


SHORT_FIELDS = tuple(name for name in Deployment.model_fields if name != "weight")
