"""What an upstream's error status means for the client. Pure."""

from __future__ import annotations

from gateway.errors import FareboxError, UpstreamCredentials, UpstreamFailure
from routing.failures import FailureKind

_ACCOUNT_PROBLEMS = {
    429: (b"insufficient_quota", b"billing_hard_limit_reached", b"billing_not_active", b"credit balance"),
    # Gemini, xAI and Anthropic answer 400 to a bad key or an empty account.
    400: (b"API_KEY_INVALID", b"API key not valid", b"Incorrect API key", b"credit balance is too low"),
}


_UNSEEN_GENERATIONS = frozenset((504, 524))
"""A proxy before the provider gave up waiting: what it waited for may have been generated, and billed."""


def may_be_billed(status: int) -> bool:
    """Whether an error status leaves it open that the provider generated something."""
    return status in _UNSEEN_GENERATIONS


def names_our_account(error: bytes) -> bool:
    """Whether the text of a provider's error is about OUR credentials or account."""
    return any(problem in error for problems in _ACCOUNT_PROBLEMS.values() for problem in problems)


def credentials_refused(provider: str, status: int) -> UpstreamCredentials:
    """The error to answer with; the provider's own can echo part of a key and stays here."""
    return UpstreamCredentials(  # the status is told in a header: frameworks look for 429 in messages
        f"The provider `{provider}` refuses the gateway's credentials or account. "
        "Your own key is fine; the gateway's operator must mend this.",
        upstream_status=status,
        reason="upstream_credentials",
    )


def refusal(provider: str, status: int, kind: FailureKind) -> FareboxError | None:
    """The error to answer with, or None when the upstream's own status and body go to the client unchanged.

    What concerns OUR credentials or account can echo part of a key, and stays here.
    """
    if kind == "credentials":
        return credentials_refused(provider, status)
    if status >= 500:
        return UpstreamFailure(
            f"The provider `{provider}` failed with status {status}. The request can be tried again.",
            upstream_status=status,
            reason="upstream_status",
        )
    if status < 400:
        return UpstreamFailure(
            f"The provider `{provider}` answered with status {status}, which is no answer to this request. "
            "The gateway's operator should check the provider's base_url.",
            upstream_status=status,
            reason="upstream_redirect",
        )
    return None


def failed_answer(provider: str, status: int) -> UpstreamFailure:
    """The error to answer with when a provider reports one under a status of success."""
    return UpstreamFailure(
        f"The provider `{provider}` reported an error in place of an answer. The request can be tried again.",
        upstream_status=status,
        reason="error_in_answer",
    )
