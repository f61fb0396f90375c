"""Providers: where models are reached."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Count, EmptyIsNone, Flag, PathText, ProviderId, Seconds, Secret, Text, Written
from gateway.config.models.litellm import LiteLLM
from gateway.config.models.prices import Tariff

DialectName = Literal[
    "openai", "anthropic", "azure", "deepseek", "gemini", "groq", "llama_cpp", "mistral", "ollama", "openrouter",
    "together", "vllm", "litellm",
]  # fmt: skip
"""The names in `gateway.config.dialects.DIALECTS`; a test holds the two together."""

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


class ProviderTimeouts(Written):
    """How long a provider may take."""

    connect_s: Seconds = Field(5.0, description="Until the connection stands, TLS included.")
    first_byte_s: Seconds = Field(120.0, description="From the request's last byte to the answer's first.")
    idle_s: Seconds = Field(60.0, description="Between two chunks of an answer.")
    total_s: Seconds = Field(600.0, description="For the whole attempt.")


ProbeSeconds = Annotated[Seconds, Field(ge=1)]


class ProviderHealth(Written):
    """How it is watched between calls."""

    probe_s: ProbeSeconds | None = Field(
        None,
        description="Ask for its list of models so often; what fails counts for the breakers of its deployments. "
        "Default: never.",
    )


class Provider(Written):
    """An endpoint, and the dialect it is spoken to in."""

    base_url: Text | None = Field(
        None,
        description="URL with the API's prefix, such as `https://api.openai.com/v1`. Needed by every dialect but "
        "`litellm`.",
    )
    dialect: DialectName | None = Field(
        None,
        description="How it is spoken to: `openai`, `anthropic`, `azure`, `deepseek`, `gemini`, `groq`, `llama_cpp`, "
        "`mistral`, `ollama`, `openrouter`, `together`, `vllm`, `litellm`. Default: known by the URL's host, "
        "else `openai`.",
    )
    litellm: LiteLLM | None = Field(
        None, repr=False, description="For `dialect: litellm`: what the LiteLLM SDK needs to reach it."
    )
    api_key: Secret = Field(
        None,
        repr=False,
        description="Sent in the dialect's header, mostly `Authorization: Bearer`. Left out, no such header is sent.",
    )
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,32}$")] | None = Field(
        None,
        description="Azure's `api-version`. Needed where `base_url` does not end with `/openai/v1`.",
    )
    headers: Annotated[dict[HeaderName, str], EmptyIsNone] = Field(
        {}, repr=False, description="More headers for every request to it."
    )
    optional: Flag = Field(
        False,
        description="When a variable it needs is not set, leave it out, and the models that only it has.",
    )
    timeouts: ProviderTimeouts = Field(ProviderTimeouts.model_construct(), description="How long it may take.")
    natives: list[Literal["messages", "responses"]] | None = Field(
        None,
        description="The APIs besides OpenAI's chat that it speaks itself: what clients ask there is passed on as it "
        "is. All else is translated. Default: known for Anthropic, OpenAI and Azure; none for others.",
    )
    health: ProviderHealth = Field(ProviderHealth.model_construct(), description="How it is watched between calls.")
    ca_file: PathText | None = Field(None, description="PEM file with the certificates of a private CA.")
    verify_tls: Flag = Field(True, description="Check its certificate. Turn off only to try something out.")
    proxy: Text | None = Field(
        None,
        repr=False,
        description="HTTP proxy `http://[user:password@]host:port` for it; `none` ignores HTTPS_PROXY, HTTP_PROXY and "
        "NO_PROXY, which count otherwise.",
    )
    max_connections: Count = Field(1000, description="Connections to it at a time.")
    keepalive_s: Seconds = Field(30.0, description="An idle connection older than this is not used again.")
    max_response_bytes: Count = Field(67_108_864, description="A larger answer is cut off.")
    tariff: Annotated[Tariff, EmptyIsNone] = Field(
        {}, description="What it bills by count, in USD of one: `web_search`. Default: what is documented."
    )
    price_provider: ProviderId | None = Field(
        None,
        description="Whose prices it charges, as genai-prices calls it: `openai`. Default: found by its name or URL.",
    )

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = _checked_url(value, ("http://", "https://"))
        if "@" in url.split("/", 3)[2]:
            raise PydanticCustomError("url", "credentials do not belong into a URL: use `api_key` or `headers`")
        return url

    @field_validator("proxy")
    @classmethod
    def _http_proxy(cls, value: str | None) -> str | None:
        return value if value in {None, "none"} else _checked_url(str(value), ("http://",))

    @field_validator("headers")
    @classmethod
    def _one_line(cls, value: dict[str, str]) -> dict[str, str]:
        if any(not text.isprintable() or not text.isascii() for text in value.values()):
            raise PydanticCustomError("header", "header values are one line of ASCII text")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Provider:
        if self.dialect == "litellm":
            if self.litellm is None:
                raise PydanticCustomError("form", "`dialect: litellm` needs `litellm`, with the SDK's `provider`")
            if self.health.probe_s is not None:
                raise PydanticCustomError(
                    "form", "has `health.probe_s`, but `dialect: litellm` knows no list of models"
                )
            if self.natives:
                raise PydanticCustomError("form", "has `natives`, but `dialect: litellm` speaks for itself")
        elif self.litellm is not None:
            raise PydanticCustomError("form", "has `litellm`, which needs `dialect: litellm` beside it")
        elif self.base_url is None:
            raise PydanticCustomError("form", "needs `base_url`")
        return self


def _checked_url(value: str, schemes: tuple[str, ...]) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = value.startswith(schemes) and bool(parts.hostname) and (parts.port or 1) > 0
        good = good and not parts.query and not parts.fragment and value.isprintable() and " " not in value
    except ValueError:
        good = False
    if not good:
        message = f"should be a URL that starts with {' or '.join(schemes)}, without a query"
        raise PydanticCustomError("url", message)
    return value
