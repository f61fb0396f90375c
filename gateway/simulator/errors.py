"""Refusals in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import msgspec


class SimError(Exception):
    """An answer with an error status. Nothing is generated, nothing is billed."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: list[tuple[bytes, bytes]] = []
        self.message = message
        self.type = type_
        self.param = param
        self.code = code
        self.replaced: bytes | None = None
        """The whole body, where a fault asked for another one."""

    @property
    def body(self) -> bytes:
        """The answer's body in OpenAI's shape."""
        said = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return self.replaced or msgspec.json.encode({"error": said})


def invalid(message: str, param: str | None = None, code: str | None = None) -> SimError:
    """400: the request is wrong."""
    return SimError(400, message, param=param, code=code)


def missing(param: str) -> SimError:
    """400: a required field is not there."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, wanted: str, got: Any) -> SimError:
    """400: a field has the wrong type."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
    }
    found = "null" if got is None else names.get(type(got), "something else")
    return invalid(f"Invalid type for '{param}': expected {wanted}, but got {found} instead.", param, "invalid_type")


def unknown_model(name: str) -> SimError:
    """404: no such model."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return SimError(404, message, code="model_not_found")


def context_too_long(window: int, tokens: int, param: str = "messages") -> SimError:
    """400: the prompt exceeds the model's context window."""
    return invalid(
        f"This model's maximum context length is {window} tokens. However, you sent {tokens} tokens. "
        "Please reduce the length of your input.",
        param,
        "context_length_exceeded",
    )


def bad_key(key: str) -> SimError:
    """401, echoing part of the key as OpenAI does."""
    message = (
        f"Incorrect API key provided: {key[:6]}***{key[-4:]}. You can find your API key in your account's settings."
    )
    return SimError(401, message, code="invalid_api_key")


def poor_key() -> SimError:
    """429: the account has no money left."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return SimError(429, message, type_="insufficient_quota", code="insufficient_quota")
