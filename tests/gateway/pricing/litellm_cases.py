"""What test_litellm.py compares, and every difference that is known, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from routing.money import Usage


@dataclass(frozen=True)
class Shape:
    usage: Usage
    service_tier: str | None = None


SHAPES = {
    "plain": Shape(Usage(1234, 567)),
    "cached": Shape(Usage(20_000, 700, cache_read_tokens=15_000)),
    "cache_write": Shape(Usage(20_000, 700, cache_read_tokens=3_000, cache_write_tokens=10_000)),
    "cache_write_1h": Shape(
        Usage(20_000, 700, cache_read_tokens=3_000, cache_write_tokens=2_000, cache_write_1h_tokens=8_000)
    ),
    "long": Shape(Usage(300_001, 2_000)),
    "long_cached": Shape(Usage(300_001, 2_000, cache_read_tokens=250_000)),
    "audio": Shape(Usage(1_000, 600, input_audio_tokens=400, output_audio_tokens=300)),
    "audio_in": Shape(Usage(1_000, 600, input_audio_tokens=400)),
    "reasoning": Shape(Usage(900, 2_000, reasoning_tokens=1_500)),
    "flex": Shape(Usage(1_234, 567, cache_read_tokens=1_000), "flex"),
    "priority": Shape(Usage(1_234, 567, cache_read_tokens=1_000), "priority"),
    "embedding": Shape(Usage(5_000, 0)),
}

CHAT = ("plain", "cached", "long", "long_cached", "reasoning")
TIERED = (*CHAT, "flex", "priority")
CLAUDE = (*CHAT, "cache_write", "cache_write_1h")
EMBEDDING = ("embedding",)

CASES: dict[str, dict[tuple[str, ...], str]] = {
    # our provider: which shapes: which of its models
    "openai": {
        CHAT: "gpt-3.5-turbo gpt-4 gpt-4-turbo gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini gpt-5-pro"
        " gpt-5.2-pro o1 o1-pro o3-mini o3-pro",
        (*CHAT, "priority"): "gpt-4o-2024-05-13",
        (*CHAT, "flex"): "gpt-5-nano",
        TIERED: "gpt-5 gpt-5-mini gpt-5.1 gpt-5.2 gpt-5.4 gpt-5.4-mini o3 o4-mini",
        (*CHAT, "audio"): "gpt-4o-audio-preview gpt-audio gpt-audio-mini gpt-realtime",
        EMBEDDING: "text-embedding-3-large text-embedding-3-small text-embedding-ada-002",
    },
    "anthropic": {
        CLAUDE: "claude-haiku-4-5 claude-opus-4-1 claude-opus-4-5 claude-opus-4-6 claude-sonnet-4-5 claude-sonnet-4-6"
        " claude-3-haiku-20240307 claude-sonnet-4-20250514",
    },
    "google": {
        (*CHAT, "audio_in"): "gemini-2.0-flash gemini-2.5-flash gemini-2.5-flash-lite gemini-3-flash-preview",
        CHAT: "gemini-2.0-flash-lite gemini-2.5-pro gemini-3-pro-preview gemini-3.1-pro-preview",
        EMBEDDING: "gemini-embedding-001",
    },
    "groq": {
        CHAT: "llama-3.1-8b-instant llama-3.3-70b-versatile openai/gpt-oss-120b openai/gpt-oss-20b qwen/qwen3-32b",
    },
    "mistral": {
        CHAT: "codestral-2508 devstral-2512 mistral-large-2512 mistral-medium-latest mistral-small-latest",
        EMBEDDING: "mistral-embed",
    },
    "deepseek": {CHAT: "deepseek-chat deepseek-reasoner"},
    "x-ai": {
        CHAT: "grok-3 grok-3-mini grok-4-0709 grok-4-1-fast-reasoning grok-4-fast-non-reasoning grok-code-fast-1",
    },
    "cohere": {CHAT: "command-r command-r-plus command-r7b-12-2024 command-a-03-2025"},
    "together": {CHAT: "meta-llama/Llama-3.3-70B-Instruct-Turbo openai/gpt-oss-120b"},
    "perplexity": {CHAT: "sonar sonar-pro"},
    "cerebras": {CHAT: "gpt-oss-120b llama3.1-8b"},
    "voyageai": {EMBEDDING: "voyage-3.5 voyage-code-3"},
    "moonshotai": {CHAT: "kimi-k2-thinking kimi-k2.5"},
    "openrouter": {
        CHAT: "anthropic/claude-sonnet-4.5 google/gemini-2.5-pro openai/gpt-5-mini deepseek/deepseek-v3.2",
    },
}

PREFIXES = {
    "openai": "",
    "anthropic": "",
    "cohere": "",
    "google": "gemini/",
    "x-ai": "xai/",
    "together": "together_ai/",
    "voyageai": "voyage/",
    "moonshotai": "moonshot/",
}
"""What precedes a model's name in LiteLLM's map, where it is not the provider's name."""

CACHED_FREE = "LiteLLM's map has no cached rate, so it bills cached tokens at nothing; we bill our cached rate for them"
"""The test also checks that the difference is exactly that."""

CACHED = ("cached", "long_cached")

_CACHED_FREE_MODELS = """
openai/gpt-3.5-turbo
openai/gpt-4
openai/gpt-4-turbo
openai/gpt-5-pro
openai/gpt-5.2-pro
openai/o1-pro
openai/o3-pro
openai/gpt-4o-2024-05-13
openai/gpt-4o-audio-preview
openai/gpt-audio
openai/gpt-audio-mini
groq/llama-3.1-8b-instant
groq/llama-3.3-70b-versatile
groq/qwen/qwen3-32b
mistral/codestral-2508
mistral/devstral-2512
mistral/mistral-large-2512
cohere/command-r
cohere/command-r-plus
cohere/command-a-03-2025
together/openai/gpt-oss-120b
cerebras/gpt-oss-120b
cerebras/llama3.1-8b
"""

_NO_1H_RATE = "LiteLLM's map has no rate for one-hour cache writes of this model and bills them at nothing"
_OLD_LONG_CONTEXT = "LiteLLM's map is older: it still has the dearer rates for long inputs that the provider dropped"
_MAP_OLDER = "list prices differ: LiteLLM's map is older and keeps the price of an earlier model under this name"

_BY_SIZE = "completion_cost prices Together's models by the class of their size (41.1b to 80b), not by their own price"

EXPLAINED: dict[str, dict[tuple[str, ...], str]] = {
    "together/meta-llama/Llama-3.3-70B-Instruct-Turbo": {CHAT: _BY_SIZE},
    "openai/gpt-5.1": {("flex",): "LiteLLM's map has no flex rates for it and bills standard ones"},
    "openai/gpt-5.2": {("flex",): "LiteLLM's map has no flex rates for it and bills standard ones"},
    "openai/gpt-5.4": {("priority",): "list prices differ: output is 30 USD at genai-prices, 22.50 at LiteLLM"},
    "openai/gpt-5.4-mini": {
        ("flex",): "list prices differ: cached input is 0.0375 USD at genai-prices, 0.01 at LiteLLM",
        ("priority",): "LiteLLM's map has no priority rates for it and bills standard ones",
    },
    "openai/o4-mini": {("flex",): "list prices differ: cached input is 0.138 USD at genai-prices, 0.1375 at LiteLLM"},
    "openai/gpt-4o-2024-05-13": {("priority",): CACHED_FREE},
    "openai/gpt-4o-audio-preview": {
        (
            "audio",
        ): "genai-prices has no audio rates for this name and bills audio as text: docs/money.md says to override"
    },
    "anthropic/claude-sonnet-4-5": {("cache_write_1h",): _NO_1H_RATE},
    "anthropic/claude-sonnet-4-6": {("cache_write_1h",): _NO_1H_RATE},
    "anthropic/claude-3-haiku-20240307": {
        ("cache_write_1h",): "list prices differ: LiteLLM has 6 USD (Sonnet's rate), genai-prices 0.50"
    },
    "anthropic/claude-sonnet-4-20250514": {("long", "long_cached"): _OLD_LONG_CONTEXT},
    "google/gemini-2.0-flash-lite": {
        CACHED: "list prices differ: LiteLLM has a cached rate of 0.01875 USD, genai-prices none, so input's"
    },
    "mistral/mistral-medium-latest": {CHAT: _MAP_OLDER},
    "mistral/mistral-small-latest": {CHAT: _MAP_OLDER},
    "deepseek/deepseek-chat": {CHAT: "list prices differ: genai-prices keeps V3's with off-peak hours, LiteLLM V3.2's"},
    "deepseek/deepseek-reasoner": {CHAT: "list prices differ: genai-prices keeps R1's, LiteLLM V3.2's"},
    "x-ai/grok-4-0709": {
        ("cached",): CACHED_FREE,
        ("long", "long_cached"): _OLD_LONG_CONTEXT,
    },
    "x-ai/grok-4-1-fast-reasoning": {("long", "long_cached"): _OLD_LONG_CONTEXT},
    "x-ai/grok-4-fast-non-reasoning": {("long", "long_cached"): _OLD_LONG_CONTEXT},
    "cohere/command-r7b-12-2024": {CHAT: "LiteLLM's map has this model's input and output rates exchanged"},
    "perplexity/sonar": {
        CHAT: "genai-prices has Perplexity's fee per request (12 USD a thousand), LiteLLM has none here"
    },
    "perplexity/sonar-pro": {
        CHAT: "genai-prices has Perplexity's fee per request (14 USD a thousand), LiteLLM none here"
    },
    "openrouter/google/gemini-2.5-pro": {
        ("cached",): CACHED_FREE,
        ("long", "long_cached"): "LiteLLM's map has no long-context rates for it on OpenRouter",
    },
    "openrouter/deepseek/deepseek-v3.2": {
        CHAT: "list prices differ: OpenRouter's move often, genai-prices has those of 2026-11-09"
    },
}
for _name in _CACHED_FREE_MODELS.split():
    EXPLAINED.setdefault(_name, {})[CACHED] = CACHED_FREE
