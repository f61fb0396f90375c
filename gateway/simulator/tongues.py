"""How an API lets its callers in and words its refusals: OpenAI's way here, others in files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gateway.simulator.conversation import Conversation
from gateway.simulator.errors import SimError, bad_key, poor_key
from gateway.simulator.faults import Fault

BAD_KEY = "sim-bad-key"
POOR_KEY = "sim-poor-key"


class Said(NamedTuple):
    """What a provider says with a status."""

    type: str
    message: str
    code: str | None = None


class Tongue(Protocol):
    """An API's manners."""

    id_header: bytes
    """The response header with the request's id."""

    def admit(self, conversation: Conversation) -> str:
        """The caller's key; empty without one. Raises SimError."""
        ...

    def says(self, status: int) -> Said:
        """What comes with a status that a fault asked for."""
        ...

    def refusal(self, error: SimError, request_id: str) -> bytes:
        """The body of a refusal."""
        ...


class OpenAI:
    """Any key is good, none as well, but for two."""

    id_header = b"x-request-id"

    def admit(self, conversation: Conversation) -> str:
        """The bearer's key. Raises SimError (401, 429)."""
        key = bearer(conversation)
        if key == BAD_KEY:
            raise bad_key(key)
        if key == POOR_KEY:
            raise poor_key()
        return key

    def says(self, status: int) -> Said:
        """Type, message and code as OpenAI has them."""
        return _SAYINGS.get(status) or Said("invalid_request_error" if status < 500 else "server_error", "")

    def refusal(self, error: SimError, request_id: str) -> bytes:
        """OpenAI's error object, which does not name the request."""
        return error.body


def bearer(conversation: Conversation) -> str:
    """The key of `authorization: Bearer KEY`; empty without one."""
    scheme, _, key = (conversation.header(b"authorization") or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


OPENAI = OpenAI()
_SAYINGS: Mapping[int, Said] = {
    400: Said("invalid_request_error", "Your request was refused."),
    401: Said("invalid_request_error", "Incorrect API key provided: sim-ke***wxyz.", "invalid_api_key"),
    403: Said("invalid_request_error", "Your account may not use this.", "unsupported_country_region_territory"),
    429: Said("requests", "Rate limit reached for requests. Please try again later.", "rate_limit_exceeded"),
    500: Said("server_error", "The server had an error while processing your request. Sorry about that!"),
    503: Said("service_unavailable_error", "The engine is currently overloaded, please try again later."),
}


def status_error(tongue: Tongue, fault: Fault) -> SimError:
    """The refusal that a status fault asks for."""
    status = fault.status or 500
    said = tongue.says(status)
    params = fault.params
    text = str(params["message"] or said.message or f"The simulator was asked for status {status}.")
    error = SimError(status, text, type_=said.type, code=str(params["code"]) or said.code)
    if params["body"]:
        error.replaced = str(params["body"]).encode()
    retry_after = fault.number("retry_after")
    if retry_after < 0 and status == 429:
        retry_after = 1
    if retry_after >= 0:
        error.headers.append((b"retry-after", b"%g" % retry_after))
    return error
