"""Every error that a client can get from Farebox itself: one tree, each class knowing its status, type and code.

    FareboxError
    ├── BadRequest                  400 invalid_request_error, `param` names the field
    │   ├── InvalidJson             400 invalid_json
    │   ├── InvalidForm             400 invalid_form
    │   ├── InvalidHeader           400 invalid_header
    │   ├── InvalidField            400 invalid_value
    │   ├── MissingField            400 missing_required_parameter
    │   ├── CostUnbounded           400 cost_unbounded
    │   ├── ContextTooLong          400 context_length_exceeded
    │   ├── NoModelFits             400 no_model_fits, reason names the gates
    │   └── BodyTooLarge            413 request_too_large
    ├── InvalidKey                  401 invalid_api_key
    ├── ModelNotAllowed             403 model_not_found, reason model_not_allowed
    ├── ModelNotFound               404 model_not_found
    ├── ModelNotPriced              403 model_not_priced
    ├── NotFound                    404 not_found
    ├── MethodNotAllowed            405 method_not_allowed
    ├── RunNotAllowed               403 run_not_allowed
    ├── BudgetExceeded              402 budget_exceeded (`budget_status` may make it 422 or 429)
    ├── LimitReached                429 rate_limit_exceeded
    │   ├── BudgetReserved          429 reason budget_reserved
    │   └── RateExceeded            429 reason requests, tokens or concurrency; with x-ratelimit-* headers
    ├── RunLimitExceeded            422 run_limit_exceeded
    │   └── LoopDetected            422 loop_detected
    ├── ServiceUnavailable          503 service_unavailable: draining, or a limit of the process itself
    │   └── BudgetStoreUnavailable  503 budget_store_unavailable
    └── UpstreamFailure             502 upstream_error
        ├── UpstreamCredentials     502 upstream_credentials
        └── UpstreamTimeout         504 upstream_timeout

Statuses, types and codes are those of docs/errors.md. A message says what happened and what the reader can do; none
says "rate limit" unless its status is 429, because agent frameworks decide on retries by matching the text.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FareboxError(Exception):
    """An error with a body in OpenAI's shape. `message` is for people; `metadata` for programs."""

    status: int = 500
    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    anthropic_type: ClassVar[str] = "api_error"
    should_retry: bool | None = None
    """False sends `x-should-retry: false`, which the OpenAI SDKs obey."""
    retry_after_s: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """More headers of this answer."""

    def __init__(self, message: str, *, param: str | None = None, **metadata: Any) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.metadata = metadata


class BadRequest(FareboxError):
    """The client's request is wrong."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    anthropic_type = "invalid_request_error"


class InvalidJson(BadRequest):
    """The body is no JSON object."""

    code = "invalid_json"


class InvalidForm(BadRequest):
    """The body is no form (`multipart/form-data`), or one that can be read in more than one way."""

    code = "invalid_form"


class InvalidHeader(BadRequest):
    """An identity header does not have the form that docs/attribution.md gives."""

    code = "invalid_header"


class InvalidField(BadRequest):
    """A field has a type or value that Farebox cannot work with."""

    code = "invalid_value"


class MissingField(BadRequest):
    """A field that the API requires is not there."""

    code = "missing_required_parameter"


class CostUnbounded(BadRequest):
    """Nothing bounds what the request may cost, and an enforced budget needs a bound."""

    code = "cost_unbounded"


class ContextTooLong(BadRequest):
    """Every candidate's context window is too short for the request."""

    code = "context_length_exceeded"


class NoModelFits(BadRequest):
    """No candidate of the policy can do what the request needs."""

    code = "no_model_fits"


class BodyTooLarge(BadRequest):
    """The body is larger than `server.max_body_bytes`."""

    status = 413
    code = "request_too_large"


class InvalidKey(FareboxError):
    """No key, an unknown one, an expired or a revoked one. The message never tells which of these but the first."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    anthropic_type = "authentication_error"


class ModelNotAllowed(FareboxError):
    """The model exists; this key or agent may not use it."""

    status = 403
    type = "invalid_request_error"
    code = "model_not_found"
    anthropic_type = "permission_error"


class ModelNotFound(FareboxError):
    """No model, alias or wildcard of the configuration has the name."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"
    anthropic_type = "not_found_error"


class ModelNotPriced(FareboxError):
    """The model has no price and `unpriced` is `deny`."""

    status = 403
    type = "invalid_request_error"
    code = "model_not_priced"
    anthropic_type = "permission_error"


class NotFound(FareboxError):
    """No such path, or an object that is not the caller's."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"
    anthropic_type = "not_found_error"


class MethodNotAllowed(FareboxError):
    """The path exists for another method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"
    anthropic_type = "invalid_request_error"


class RunNotAllowed(FareboxError):
    """The run, or the parent it names, is not this key's to use."""

    status = 403
    type = "invalid_request_error"
    code = "run_not_allowed"
    anthropic_type = "permission_error"


class BudgetExceeded(FareboxError):
    """What is spent leaves no room in a budget. Not tried again by any SDK: see docs/errors.md for why it is a 402."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"
    anthropic_type = "billing_error"
    should_retry = False


class LimitReached(FareboxError):
    """There is no room now, and there will be: SDKs wait and try again."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    anthropic_type = "rate_limit_error"
    retry_after_s = 1


class BudgetReserved(LimitReached):
    """Only requests under way take a budget's room; it was waited for in vain."""


class RateExceeded(LimitReached):
    """Requests, tokens or requests at a time: too many for a rate limit."""


class RunLimitExceeded(FareboxError):
    """A run has used up one of its limits, or is paused or closed."""

    status = 422
    type = "invalid_request_error"
    code = "run_limit_exceeded"
    anthropic_type = "invalid_request_error"
    should_retry = False


class LoopDetected(RunLimitExceeded):
    """The run repeats itself, and `loops: {action: block}` stops it."""

    code = "loop_detected"


class ServiceUnavailable(FareboxError):
    """Draining, or a limit of the process itself is reached."""

    status = 503
    type = "service_unavailable_error"
    code = "service_unavailable"
    anthropic_type = "overloaded_error"
    retry_after_s = 1


class BudgetStoreUnavailable(ServiceUnavailable):
    """What is spent cannot be known or kept now, and a budget of the request fails closed."""

    code = "budget_store_unavailable"
    retry_after_s = 2


class UpstreamFailure(FareboxError):
    """The upstream was unreachable, answered 5xx, or sent something that is no answer."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"

    def __init__(self, message: str, *, upstream_status: int | None = None, **metadata: Any) -> None:
        super().__init__(message, **metadata)
        self.upstream_status = upstream_status


class UpstreamCredentials(UpstreamFailure):
    """The upstream refuses OUR credentials or account. Its body is never forwarded: it can echo part of a key."""

    code = "upstream_credentials"
    should_retry = False


class UpstreamTimeout(UpstreamFailure):
    """A configured time-out ran out before the answer began."""

    status = 504
    code = "upstream_timeout"
