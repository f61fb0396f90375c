"""Policies as people write them. In this version a policy has one strategy; rules and tiers are to come."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Policy(BaseModel):
    """A policy file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="What the policy is called: letters, digits and `._-`."
    )
    description: str = Field("", max_length=4096, description="What it is for.")
    strategy: Literal["ordered"] = Field(
        "ordered", description="How a model's deployment is chosen. `ordered`: as the configuration lists them."
    )
