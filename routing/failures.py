"""What can go wrong with one upstream call, and what each kind means for what comes next: one table. Pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

FailureKind = Literal[
    "unreachable",
    "timeout",
    "server_error",
    "cut",
    "stalled",
    "malformed",
    "credentials",
    "rate_limited",
    "context_too_long",
    "content_filter",
    "refused",
    "client_timeout",
    "unverified",
]
Outcome = Literal["ok", "failure", "ignored"]
"""An attempt as a breaker sees it. `ignored` says nothing about the deployment's health, neither good nor bad."""

Fallback = Literal["outage", "rate_limit", "context", "content_filter", "unverified"]
"""Why another candidate may do better. Each can be switched off, but for the last: a policy's rule asks for it."""


class Meaning(NamedTuple):
    """What a kind of failure stands for."""

    outcome: Outcome
    """For the breaker."""
    fallback: Fallback | None
    """Why another candidate may do better; None: it would fail there just the same, so the failure is the answer."""


MEANINGS: Final[dict[FailureKind, Meaning]] = {
    "unreachable": Meaning("failure", "outage"),  # no connection: refused, DNS, TLS, or a time-out while connecting
    "timeout": Meaning("failure", "outage"),  # a configured time-out passed after the request was sent
    "server_error": Meaning("failure", "outage"),  # status 5xx
    "cut": Meaning("failure", "outage"),  # the connection broke before the answer was whole
    "stalled": Meaning("failure", "outage"),  # the answer began and then nothing came for longer than configured
    "malformed": Meaning("failure", "outage"),  # an answer that is none
    "credentials": Meaning("failure", "outage"),  # our key or account is refused: people have to act, so it alerts too
    "rate_limited": Meaning("ignored", "rate_limit"),  # 429: parks the deployment, which is busy and not broken
    "context_too_long": Meaning("ignored", "context"),  # for this candidate's window
    "content_filter": Meaning("ignored", "content_filter"),  # the provider's own filter
    "refused": Meaning("ignored", None),  # any other 4xx: the request is wrong, wherever it goes
    "client_timeout": Meaning("ignored", None),  # the client's own time-out, shorter than the configured one
    "unverified": Meaning("ok", "unverified"),  # a whole answer, but not what its rule's `verify` asks for
}
FAILURE_KINDS: Final[tuple[FailureKind, ...]] = tuple(MEANINGS)


class Failure(NamedTuple):
    """How one attempt failed."""

    kind: FailureKind
    retry_after_s: float | None = None
    """The provider's Retry-After, in seconds from the attempt's end."""
    billable: bool = False
    """Whether the provider may have billed it, so that the same again may be paid for twice."""
