"""The dialects that a provider can be spoken to in: how each takes its key, and by whose host it is recognised.

What each dialect says stands in `gateway.upstream.dialects`; a test holds the two together. A dialect without hosts is
one's own server, which has to be told by `providers.<id>.dialect`.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

BEARER = ("Authorization", "Bearer ")


class Known(NamedTuple):
    """What the configuration has to know of a dialect."""

    credentials: tuple[str, str] = BEARER
    """The header that carries `api_key`, and what stands before the key. Empty: the key goes another way."""
    hosts: tuple[str, ...] = ()
    """Host names of providers that speak it; `.example.com` is any below it."""
    prefix: str = ""
    """What a base URL of these hosts ends with, mostly: the API's version."""


DEFAULT = "openai"
DIALECTS: dict[str, Known] = {
    "openai": Known(),
    "anthropic": Known(("x-api-key", ""), ("api.anthropic.com",), "/v1"),
    "azure": Known(("api-key", ""), (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")),
    "deepseek": Known(hosts=("api.deepseek.com",)),
    "gemini": Known(("x-goog-api-key", ""), ("generativelanguage.googleapis.com",), "/v1beta"),
    "groq": Known(hosts=("api.groq.com",), prefix="/openai/v1"),
    "llama_cpp": Known(),
    "mistral": Known(hosts=("api.mistral.ai", "codestral.mistral.ai"), prefix="/v1"),
    "ollama": Known(hosts=("ollama.com",), prefix="/v1"),
    "openrouter": Known(hosts=("openrouter.ai",), prefix="/api/v1"),
    "together": Known(hosts=("api.together.xyz", "api.together.ai"), prefix="/v1"),
    "vllm": Known(),
    "litellm": Known(("", "")),
}
"""By the name that the configuration writes."""

_OPENAI = ("api.openai.com", "us.api.openai.com", "eu.api.openai.com")
_COMPATIBLE = ("generativelanguage.googleapis.com", "/openai")
"""Where Gemini speaks OpenAI's wire itself."""


def lacks_prefix(base_url: str) -> str | None:
    """What a base URL probably lacks: the prefix of a known host's API, where it has no path at all."""
    host, path = _host_and_path(base_url)
    for known in DIALECTS.values():
        if not path and known.prefix and host in known.hosts:
            return known.prefix
    return None


def recognise(base_url: str) -> str:
    """The dialect of a provider that does not say it: its host's, else OpenAI's."""
    host, path = _host_and_path(base_url)
    if (host, path[-len("/openai") :]) == _COMPATIBLE:
        return DEFAULT
    for name, known in DIALECTS.items():
        if any(host.endswith(own) if own.startswith(".") else host == own for own in known.hosts):
            return name
    return DEFAULT


def natives_of(dialect: str, base_url: str) -> tuple[str, ...]:
    """The tongues that a provider is known to speak besides chat, where its configuration does not say."""
    host, path = _host_and_path(base_url)
    if dialect == "anthropic":
        return ("messages",)
    if dialect == "azure":
        return ("responses",) if path.endswith("/openai/v1") else ()
    return ("responses",) if dialect == DEFAULT and host in _OPENAI else ()


def _host_and_path(base_url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(base_url)
        return parts.hostname or "", parts.path.rstrip("/")
    except ValueError:  # reported with the URL's setting
        return "", ""
