"""LiteLLM's provider prefixes, and our providers for them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gateway.config.litellm.notes import Notes, Secrets, text_with_references
from gateway.config.problems import YamlPath


class Known(NamedTuple):
    """A provider with a dialect that we speak."""

    base_url: str | None
    """None: every installation has its own."""
    key_variable: str | None
    """Where LiteLLM looks for the key when the configuration has none."""
    prices: str | None = None
    """genai-prices' name for it, where its URL does not tell."""
    free: bool = False
    """Runs on one's own machines."""
    dialect: str | None = None
    """Ours for it, where its URL does not tell."""


KNOWN = {
    "openai": Known("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "text-completion-openai": Known("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Known("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "gemini": Known("https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY", "google"),
    "groq": Known("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Known("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": Known("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "together_ai": Known("https://api.together.xyz/v1", "TOGETHERAI_API_KEY", "together"),
    "fireworks_ai": Known("https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY", "fireworks"),
    "openrouter": Known("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "xai": Known("https://api.x.ai/v1", "XAI_API_KEY", "x-ai"),
    "perplexity": Known("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "cerebras": Known("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepinfra": Known("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "nvidia_nim": Known("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "azure": Known(None, "AZURE_API_KEY", "azure", dialect="azure"),
    "ollama": Known("http://localhost:11434/v1", None, free=True, dialect="ollama"),
    "ollama_chat": Known("http://localhost:11434/v1", None, free=True, dialect="ollama"),
    "hosted_vllm": Known(None, None, free=True, dialect="vllm"),
    "lm_studio": Known(None, None, free=True),
    "litellm_proxy": Known(None, "LITELLM_PROXY_API_KEY"),
    "openai_like": Known(None, "OPENAI_LIKE_API_KEY"),
    "custom_openai": Known(None, "OPENAI_API_KEY"),
}
OTHERS = frozenset(
    {"azure_ai", "bedrock", "vertex_ai", "sagemaker", "sagemaker_chat", "cohere", "cohere_chat", "huggingface"}
    | {
        "replicate",
        "watsonx",
        "databricks",
        "cloudflare",
        "snowflake",
        "voyage",
        "jina_ai",
        "ai21",
        "triton",
        "predibase",
    }
)
"""Known to LiteLLM, with a wire of their own."""

AZURE_VERSION = "2024-10-21"
"""Where none is written: the latest that is no preview."""

_CREDENTIAL = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)


class Providers:
    """Our providers, made as deployments need them: one for each combination of prefix, URL and key."""

    def __init__(self, notes: Notes, secrets: Secrets) -> None:
        self.written: dict[str, dict[str, Any]] = {}
        self._notes = notes
        self._secrets = secrets

    def split(self, path: YamlPath, params: dict[str, Any]) -> tuple[str, str] | None:
        """The prefix and the model of LiteLLM's `model`; None, with a note, when we cannot call it."""
        model = params["model"]
        prefix, slash, rest = model.partition("/")
        custom = params.get("custom_llm_provider")
        if isinstance(custom, str) and custom in KNOWN | dict.fromkeys(OTHERS):
            prefix, rest = custom, rest if slash and prefix == custom else model
        elif not slash or (prefix not in KNOWN and prefix not in OTHERS):
            if "*" in model and not slash:
                self._notes.add(
                    (*path, "model"), "which providers `*` stands for is not written here; add wildcards by hand"
                )
                return None
            prefix, rest = _by_name(model), model
        if prefix in OTHERS or (KNOWN[prefix].base_url is None and not params.get("api_base")):
            reason = "has no `api_base`" if prefix in KNOWN else "does not speak the OpenAI API"
            self._notes.add((*path, "model"), f"the provider {prefix!r} {reason}; the deployment was left out")
            return None
        return prefix, rest

    def find(self, path: YamlPath, prefix: str, params: dict[str, Any]) -> str:
        """The name of our provider for a deployment."""
        known = KNOWN[prefix]
        entry: dict[str, Any] = {"base_url": self._base_url(prefix, known, params)}
        key = self._secrets.reference((*path, "api_key"), params.get("api_key"), _variable(prefix))
        if key is None and known.key_variable is not None:
            key = f"${{{known.key_variable}}}"
        if key is not None:
            entry["api_key"] = key
        if headers := self._headers(path, params):
            entry["headers"] = headers
        if known.prices is not None:
            entry["price_provider"] = known.prices
        if known.dialect is not None:
            entry["dialect"] = known.dialect
        if known.dialect == "azure" and not entry["base_url"].endswith("/v1"):
            version = params.get("api_version")
            entry["api_version"] = text_with_references(version) if isinstance(version, str) else AZURE_VERSION
        timeout = params.get("timeout")
        if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout <= 86_400:
            entry["timeouts"] = {"total_s": timeout, "first_byte_s": timeout}
        return self._named(prefix.replace("_", "-"), entry)

    def _named(self, name: str, entry: dict[str, Any]) -> str:
        number, unique = 1, name
        while self.written.setdefault(unique, entry) != entry:
            number += 1
            unique = f"{name}-{number}"
        return unique

    def _base_url(self, prefix: str, known: Known, params: dict[str, Any]) -> str:
        written = params.get("api_base") or params.get("base_url")
        if not isinstance(written, str) or not written:
            return str(known.base_url)
        url = text_with_references(written).rstrip("/")
        if prefix.startswith("ollama") and not url.endswith("/v1") and not url.startswith("${"):
            url += "/v1"  # LiteLLM uses its own API; the OpenAI-compatible one is below /v1
        return url

    def _headers(self, path: YamlPath, params: dict[str, Any]) -> dict[str, str]:
        written = params.get("extra_headers") or params.get("headers")
        headers: dict[str, str] = {}
        for name, value in written.items() if isinstance(written, dict) else ():
            if _CREDENTIAL.search(name):
                reference = self._secrets.reference((*path, "extra_headers", name), value, _variable(name, "HEADER"))
                if reference is not None:
                    headers[name] = reference
            elif isinstance(value, str):
                headers[name] = text_with_references(value)
        organization = params.get("organization")
        if isinstance(organization, str):
            headers["OpenAI-Organization"] = text_with_references(organization)
        return headers


def _variable(name: str, suffix: str = "API_KEY") -> str:
    return f"{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_{suffix}"


def _by_name(model: str) -> str:
    """The provider of a model without a prefix, as LiteLLM guesses it."""
    if model.startswith("claude"):
        return "anthropic"
    return "gemini" if model.startswith("gemini") else "openai"
