"""Models: the names that clients ask for."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Count, ModelName, ProviderId, Text, Written
from gateway.config.models.prices import Price


class Deployment(Written):
    """A model at a provider."""

    provider: ProviderId = Field(description="One of `providers`.")
    model: Text | None = Field(
        None,
        description="The provider's name for it. Default: the name clients use; in a wildcard, what `*` stands for.",
    )
    price: Price | None = Field(None, description="Instead of the price table's price.")
    context_tokens: Count | None = Field(None, description="The longest input plus output it takes.")
    max_output_tokens: Count | None = Field(None, description="The longest answer it gives.")


class Model(Written):
    """A name that clients ask for. With one deployment, its settings may stand right here."""

    aliases: list[ModelName] = Field([], description="Other names for it.")
    deployments: list[Deployment] | None = Field(
        None, min_length=1, description="Where it is reached, in order of preference."
    )
    provider: ProviderId | None = Field(None, description="For a single deployment: one of `providers`.")
    model: Text | None = Field(None, description="For a single deployment: the provider's name for it.")
    price: Price | None = Field(None, description="For a single deployment: instead of the price table's price.")
    context_tokens: Count | None = Field(
        None, description="For a single deployment: the longest input plus output it takes."
    )
    max_output_tokens: Count | None = Field(None, description="For a single deployment: the longest answer it gives.")

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


SHORT_FIELDS = ("provider", "model", "price", "context_tokens", "max_output_tokens")
