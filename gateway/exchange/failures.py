"""How an attempt ends that gave the client nothing, and what the client hears when nobody may be called."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.errors import FareboxError, ServiceUnavailable, UpstreamFailure, UpstreamTimeout
from gateway.reply import Headers
from gateway.upstream.verdict import retry_after_s
from routing.attempts import RETRY_AFTER_MAX_S, GiveUp
from routing.failures import Failure
from routing.router import Route


class Refusal(NamedTuple):
    """A provider's error status that goes to the client as it is."""

    status: int
    headers: Headers
    body: bytes
    native: bool = False
    """Whether it is said in the client's own tongue."""


class Unverified(NamedTuple):
    """A whole answer that a rule's `verify` or its provider's filter turned down, held until there is a better one."""

    give: Callable[[], Awaitable[None]]
    """Sends it to the client after all."""
    model: str
    """Whose it is, and who is not asked again; a deployment's id where only that one need not be."""
    check: str
    """The check that it failed."""


class AttemptFailed(Exception):
    """The attempt failed before the client's first byte. It is settled; another may take its place."""

    def __init__(self, failure: Failure, answer: FareboxError | Refusal | Unverified) -> None:
        super().__init__(failure.kind)
        self.failure = failure
        self.answer = answer
        """What the client gets if it was the last one."""


class Superseded(Exception):
    """Another attempt was quicker: the client has its answer."""


def cut_short(provider: str) -> UpstreamFailure:
    """The error of a stream that ended before its answer was whole."""
    return UpstreamFailure(
        f"The stream of the provider `{provider}` ended before its answer was whole.", reason="stream_cut"
    )


def asking_to_wait(headers: Headers, wait_s: float, now_s: float) -> Headers:
    """A refusal's headers when another candidate may be called in `wait_s`: that is told. `now_s` is Unix time."""
    told_s = retry_after_s(headers, now_s)
    if told_s is not None and told_s <= wait_s:
        return headers
    others = [each for each in headers if each[0] not in (b"retry-after", b"retry-after-ms")]
    return [*others, (b"retry-after", b"%d" % max(1, math.ceil(wait_s)))]


def nothing_may_be_called(given_up: GiveUp, route: Route) -> FareboxError:
    """The error of a request for which no attempt could be made at all."""
    if given_up.reason == "deadline":
        return UpstreamTimeout(
            "The time that the client gave with `x-farebox-timeout-s` was over before a provider could be called.",
            reason="deadline",
        )
    why = "asked for a pause" if given_up.reason == "parked" else "failed too often just now and are left alone"
    error = ServiceUnavailable(
        f"All providers of the model `{route.model.name}` {why}. Nothing was called and nothing was billed; try again.",
        reason=given_up.reason,
    )
    wait_s = RETRY_AFTER_MAX_S if given_up.retry_after_s is None else given_up.retry_after_s
    error.retry_after_s = max(1, math.ceil(wait_s))
    return error
