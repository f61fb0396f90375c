"""Written providers of the dialect `litellm` into what their calls need, and whose prices they charge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.config.models.providers import Provider
from gateway.config.snapshot import LiteLLM
from gateway.config.variables import Resolved

_SELLERS = {
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "gemini": "google",
    "sagemaker": "aws",
    "sagemaker_chat": "aws",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
}
"""genai-prices' name for LiteLLM's, where they differ."""


def sdk_of(written: Provider) -> LiteLLM | None:
    """What calls of the SDK need; None for a provider that is reached by HTTP."""
    if written.litellm is None:
        return None
    params: dict[str, Any] = {**(written.litellm.model_extra or {})}
    if written.api_key:
        params["api_key"] = written.api_key
    if written.base_url is not None:
        params["api_base"] = written.base_url
    drop = written.litellm.drop_params
    if drop:
        params["drop_params"] = True
    plain = {name: _plain(value) for name, value in params.items() if value is not None}
    secrets = tuple(dict.fromkeys(secret for value in params.values() for secret in _secrets(value)))
    return LiteLLM(written.litellm.provider, msgspec.json.encode(plain), secrets, drop)


def seller(provider_id: str, written: Provider) -> str:
    """Whose prices a provider charges, as genai-prices calls it, or as it might."""
    if written.price_provider is not None:
        return written.price_provider
    if written.litellm is None:
        return provider_id
    return _SELLERS.get(written.litellm.provider, written.litellm.provider)


def _plain(value: Any) -> Any:
    """The values themselves, in place of references to them."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, str) else value


def _secrets(value: Any) -> Iterator[str]:
    """What came from a variable or a file, and the parts of it where that is JSON, as Google's credentials are."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _secrets(part)
    elif isinstance(value, Resolved) and value:
        yield str(value)
        if value.lstrip().startswith("{"):
            yield from _parts(str(value))


def _parts(text: str) -> Iterator[str]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    for name in ("private_key", "private_key_id", "client_secret", "refresh_token"):
        part = found.get(name) if isinstance(found, dict) else None
        if isinstance(part, str):
            yield part
