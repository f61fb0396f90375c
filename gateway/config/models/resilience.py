"""What is done when a provider has a bad day, as people write it. docs/resilience.md explains it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config.models.base import Count, Flag, Number, Seconds, Wait, Whole, Written

Share = Annotated[Number, Field(ge=0, le=1)]
_Positive = Annotated[Number, Field(gt=0, le=1)]


class Breaker(Written):
    """When a deployment is left alone, and how it is tried again."""

    consecutive_failures: Count = Field(5, description="So many failures in a row open it.")
    failure_ratio: _Positive = Field(0.5, description="So does this share of failures within the window.")
    min_requests: Count = Field(20, description="The share counts once the window holds so many calls.")
    window_s: Seconds = Field(30.0, description="The window.")
    open_s: Seconds = Field(
        5.0, description="The first wait before it is tried again; doubled by every probe that fails."
    )
    open_max_s: Seconds = Field(120.0, description="The longest wait.")
    jitter: Share = Field(0.2, description="A wait is shortened by up to this share of it, by chance.")
    probes: Count = Field(2, description="Calls at a time that try it again.")
    successes: Count = Field(3, description="So many of them in a row close it.")
    probe_s: Seconds = Field(30.0, description="A probe that has not ended by then gives its place to another.")
    park_max_s: Wait = Field(600.0, description="A provider's Retry-After counts up to this. 0: nobody is ever parked.")


class Retries(Written):
    """Trying again where it was tried before."""

    max: Annotated[Whole, Field(ge=0, le=20)] = Field(2, description="For one request; 0 never tries again.")
    budget_ratio: Share = Field(0.2, description="Retries per request within the window, for each deployment.")
    budget_floor: Annotated[Whole, Field(ge=0)] = Field(
        3, description="So many retries within the window need no requests."
    )
    budget_window_s: Seconds = Field(10.0, description="The window of the retry budget.")
    backoff_s: Seconds = Field(
        0.25, description="The first retry waits up to this, by chance; doubled for each further one."
    )
    backoff_max_s: Seconds = Field(8.0, description="The longest wait by chance.")
    wait_max_s: Seconds = Field(30.0, description="A Retry-After that is longer is the client's to wait for.")
    billable: Flag = Field(
        False, description="Retry what may have been billed too, such as most time-outs: it may be paid twice."
    )
    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = Field(
        8, description="Calls for one request, fallbacks and hedges included."
    )


class Fallback(Written):
    """For which failures a model's next deployment is called."""

    outage: Flag = Field(True, description="It cannot be reached, fails, stalls, breaks off, or refuses our account.")
    rate_limit: Flag = Field(True, description="It answers 429.")
    context: Flag = Field(True, description="The input is too long for it, and another takes more.")
    content_filter: Flag = Field(True, description="It refuses the contents.")


class Hedge(Written):
    """A second call when the first one's first byte is late."""

    quantile: Annotated[Number, Field(ge=0.5, le=0.999)] = Field(
        0.95, description="Late is what takes longer than this share of a deployment's first bytes."
    )
    factor: Annotated[Number, Field(ge=1, le=100)] = Field(
        1.5, description="What is late has to take so many times longer than that, too."
    )
    min_s: Seconds = Field(0.05, description="Nothing that took less is late.")
    min_calls: Count = Field(50, description="First bytes that have to be known before the first hedge.")
    ratio: Share = Field(0.02, description="Hedges per request at most.")
    burst: Count = Field(10, description="Hedges that quiet times may save up.")
