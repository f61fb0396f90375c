"""Anthropic's manners: a key and a version are required, and refusals name their request."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.simulator.conversation import Conversation
from gateway.simulator.errors import SimError
from gateway.simulator.tongues import BAD_KEY, POOR_KEY, Said, bearer

_POOR = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES: Mapping[int, str] = {
    400: "Your request was refused.",
    401: "invalid x-api-key",
    402: "There is an issue with your billing or payment information.",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed your organization's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}


def refused(message: str, status: int = 400) -> SimError:
    """A refusal with the type that goes with its status."""
    return SimError(status, message, type_=type_of(status))


def type_of(status: int) -> str:
    """Anthropic's type of a status."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


class Anthropic:
    """Any key is good but for two; none is not."""

    id_header = b"request-id"

    def admit(self, conversation: Conversation) -> str:
        """The key of `x-api-key`, or the bearer's. Raises SimError (400, 401)."""
        key = conversation.header(b"x-api-key") or bearer(conversation)
        if not key:
            raise refused("x-api-key header is required", 401)
        if key == BAD_KEY:
            raise refused("invalid x-api-key", 401)
        if key == POOR_KEY:
            raise refused(_POOR)
        if conversation.header(b"anthropic-version") is None:
            raise refused("anthropic-version: header is required")
        return key

    def says(self, status: int) -> Said:
        """Type and message as Anthropic has them; there are no codes."""
        return Said(type_of(status), _MESSAGES.get(status, ""))

    def refusal(self, error: SimError, request_id: str) -> bytes:
        """Anthropic's error object. What is refused before the API is known has its shape, too."""
        if error.replaced is not None:
            return error.replaced
        message = error.message
        if error.code == "missing_required_parameter":
            message = f"{error.param}: Field required"
        said = {"type": type_of(error.status), "message": message}
        return msgspec.json.encode({"type": "error", "error": said, "request_id": request_id})


ANTHROPIC = Anthropic()
