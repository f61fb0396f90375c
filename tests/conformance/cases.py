"""What is run: each SDK, the script that drives it, and the ways it speaks to the gateway.

A cell that is not green needs an explanation here, with what shows that the limit is the SDK's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COLUMNS = ("completed", "tool", "streamed", "usage", "cost", "run", "402", "429", "cut")
"""In the order of the table; `judge.COLUMN_TITLES` says what each means."""

CHAT_ONLY = "sim-small"
"""A deployment that speaks chat completions and nothing else."""
NATIVE = "sim-native"
"""A deployment that speaks all three APIs."""


@dataclass(frozen=True)
class Variant:
    """One way of an SDK: the block of docs/sdks.md that points it here, and the deployment behind."""

    name: str
    api: str
    """`chat`, `responses`, `messages` or `beta` (messages as well)."""
    block: str
    """Several, one after the other, are separated by spaces."""
    model: str = CHAT_ONLY
    explained: Mapping[str, str] = field(default_factory=dict)
    """By column: why it cannot be green. `{evidence}` is what the run measured."""


@dataclass(frozen=True)
class Case:
    """An SDK: its environment, its script under agents/, the packages whose versions are shown."""

    name: str
    title: str
    environment: str
    script: str
    packages: tuple[str, ...]
    variants: tuple[Variant, ...]


def _chat(block: str, **options: object) -> Variant:
    return Variant("chat", "chat", block, **options)  # type: ignore[arg-type]


def _translated_and_native(api: str, block: str, **options: object) -> tuple[Variant, Variant]:
    """An API that is not chat completions, before both kinds of deployment."""
    return (
        Variant(api, api, block, **options),  # type: ignore[arg-type]
        Variant(f"{api}, native", api, block, NATIVE, **options),  # type: ignore[arg-type]
    )


_OPENAI = (_chat("openai"), *_translated_and_native("responses", "openai"))

CASES: tuple[Case, ...] = (
    Case("openai", "OpenAI, Python 3", "openai", "openai_client.py", ("openai",), _OPENAI),
    Case("openai2", "OpenAI, Python 2", "openai2", "openai_client.py", ("openai",), _OPENAI),
    Case(
        "openai-agents", "OpenAI Agents, Python", "openai_agents", "openai_agents_sdk.py", ("openai-agents", "openai"),
        (
            _chat("openai-agents openai-agents-chat"),
            *_translated_and_native("responses", "openai-agents"),
        ),
    ),
    Case(
        "pydantic-ai", "Pydantic AI", "pydantic_ai", "pydantic_ai_agent.py",
        ("pydantic-ai-slim", "openai", "anthropic"),
        (
            _chat("pydantic-ai pydantic-ai-chat"),
            *_translated_and_native("responses", "pydantic-ai"),
            *_translated_and_native("messages", "pydantic-ai pydantic-ai-messages"),
        ),
    ),
    Case(
        "langgraph", "LangGraph, LangChain", "langgraph", "langgraph_agent.py",
        ("langgraph", "langchain", "langchain-openai", "openai"),
        (_chat("langgraph"), *_translated_and_native("responses", "langgraph langgraph-responses")),
    ),
    Case(
        "anthropic", "Anthropic, Python", "anthropic", "anthropic_client.py", ("anthropic",),
        (*_translated_and_native("messages", "anthropic"), *_translated_and_native("beta", "anthropic")),
    ),
    Case(
        "agent-framework", "Agent Framework", "agent_framework", "agent_framework_agent.py",
        ("agent-framework-core", "agent-framework-openai", "openai"),
        (_chat("agent-framework-chat"), *_translated_and_native("responses", "agent-framework")),
    ),
    Case(
        "autogen", "AutoGen", "autogen", "autogen_agent.py", ("autogen-agentchat", "autogen-ext", "openai"),
        (_chat("autogen"),),
    ),
    Case(
        "llama-index", "LlamaIndex", "llama_index", "llama_index_agent.py",
        ("llama-index-core", "llama-index-llms-openai-like", "openai"), (_chat("llama-index"),),
    ),
    Case(
        "smolagents", "smolagents", "smolagents", "smolagents_agent.py", ("smolagents", "openai"),
        (_chat("smolagents"),),
    ),
    Case("strands", "Strands Agents", "strands", "strands_agent.py", ("strands-agents", "openai"), (_chat("strands"),)),
    Case(
        "instructor", "instructor", "instructor", "instructor_client.py", ("instructor", "openai"),
        (
            _chat(
                "instructor",
                explained={
                    "usage": "`create_partial` hands out the partial objects alone: no chunk, usage or hook reaches "
                    "its user ({evidence}). `create_with_completion` shows it."
                },
            ),
        ),
    ),
    Case("litellm", "LiteLLM SDK", "litellm", "litellm_sdk.py", ("litellm", "openai"), (_chat("litellm"),)),
    Case("dspy", "DSPy", "dspy", "dspy_react.py", ("dspy", "litellm", "openai"), (_chat("dspy"),)),
    Case(
        "semantic-kernel", "Semantic Kernel", "semantic_kernel", "semantic_kernel_agent.py",
        ("semantic-kernel", "openai"), (_chat("semantic-kernel"),),
    ),
    Case(
        "google-adk", "Google ADK", "google_adk", "google_adk_agent.py", ("google-adk", "litellm"),
        (_chat("google-adk"),),
    ),
    Case(
        "crewai", "CrewAI", "crewai", "crewai_crew.py", ("crewai", "openai"),
        (
            _chat(
                "crewai",
                explained={
                    "402": "CrewAI starts an agent's task over after any error, twice (`max_retry_limit`): {evidence}. "
                    "`Agent(max_retry_limit=0)` makes it one call: the row below."
                },
            ),
            Variant("chat, no retries", "chat", "crewai crewai-once"),
        ),
    ),
    Case(
        "claude-agent", "Claude Agent SDK", "claude_agent_sdk", "claude_agent.py", ("claude-agent-sdk",),
        _translated_and_native("messages", "claude-agent"),
    ),
    Case(
        "openai-js", "OpenAI, JavaScript", "js", "openai_client.mjs", ("openai",),
        (_chat("openai-js"), *_translated_and_native("responses", "openai-js")),
    ),
    Case(
        "openai-agents-js", "OpenAI Agents, JavaScript", "js", "openai_agents.mjs", ("@openai/agents", "openai"),
        (
            _chat("openai-agents-js openai-agents-js-chat"),
            *_translated_and_native("responses", "openai-agents-js openai-agents-js-chat"),
        ),
    ),
    Case(
        "ai-sdk-openai", "AI SDK, openai", "js", "ai_sdk.mjs", ("ai", "@ai-sdk/openai"),
        (_chat("ai-sdk-openai"), *_translated_and_native("responses", "ai-sdk-openai")),
    ),
    Case(
        "ai-sdk-compatible", "AI SDK, openai-compatible", "js", "ai_sdk.mjs", ("ai", "@ai-sdk/openai-compatible"),
        (_chat("ai-sdk-compatible"),),
    ),
    Case(
        "ai-sdk-anthropic", "AI SDK, anthropic", "js", "ai_sdk.mjs", ("ai", "@ai-sdk/anthropic"),
        _translated_and_native("messages", "ai-sdk-anthropic"),
    ),
)  # fmt: skip
