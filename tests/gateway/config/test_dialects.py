"""How a provider's dialect is found, and what the configuration makes of it."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.config.dialects import DIALECTS, recognise
from gateway.config.models.providers import DialectName
from tests.gateway.config.conftest import Load, Problems


def test_the_setting_takes_exactly_the_dialects_there_are() -> None:
    assert set(get_args(DialectName)) == set(DIALECTS)


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta", "gemini"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "openai"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://acme.services.ai.azure.com/openai/v1", "azure"),
        ("https://openai.azure.com.example.com/v1", "openai"),
        ("https://notopenrouter.ai/api/v1", "openai"),
        ("https://OpenRouter.ai/api/v1", "openrouter"),
        ("http://127.0.0.1:8000/v1", "openai"),
        ("http://[::1/v1", "openai"),
    ],
)
def test_a_host_tells_its_dialect(base_url: str, dialect: str) -> None:
    assert recognise(base_url) == dialect


def test_the_key_goes_into_the_dialects_header(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  claude: {base_url: "https://api.anthropic.com/v1", api_key: "${KEY}"}
  compatible: {base_url: "https://api.anthropic.com/v1", api_key: "${KEY}", dialect: openai}
  own: {base_url: "http://10.0.0.7:8000/v1", api_key: "${KEY}", dialect: vllm}
  azure: {base_url: "https://a.openai.azure.com", api_key: "${KEY}", api_version: 2024-10-21}
  proxied: {base_url: "https://gate.example/gemini", api_key: "${KEY}", dialect: gemini, headers: {x-team: a}}
""",
        {"KEY": "sk-secret-1"},
    )
    found = {name: (endpoint.dialect, endpoint.headers) for name, endpoint in snapshot.endpoints.items()}

    assert found == {
        "claude": ("anthropic", (("x-api-key", "sk-secret-1"),)),
        "compatible": ("openai", (("Authorization", "Bearer sk-secret-1"),)),
        "own": ("vllm", (("Authorization", "Bearer sk-secret-1"),)),
        "azure": ("azure", (("api-key", "sk-secret-1"),)),
        "proxied": ("gemini", (("x-goog-api-key", "sk-secret-1"), ("x-team", "a"))),
    }
    assert snapshot.endpoints["azure"].api_version == "2024-10-21"


def test_a_known_host_without_its_apis_prefix_is_told(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  a: {base_url: "https://api.anthropic.com/"}
  b: {base_url: "https://generativelanguage.googleapis.com", dialect: openai}
  c: {base_url: "https://api.deepseek.com"}
  d: {base_url: "https://models.example"}
  e: {base_url: "https://api.groq.com/v2"}
"""
    )

    assert [line.partition(": ")[2] for line in snapshot.warnings] == [
        "providers.a.base_url: has no path; this provider's API is below `/v1`",
        "providers.b.base_url: has no path; this provider's API is below `/v1beta`",
    ]


def test_what_contradicts_the_dialect_is_told(problems: Problems) -> None:
    text = """\
providers:
  a: {base_url: "https://a.openai.azure.com"}
  b: {base_url: "https://b.openai.azure.com/openai/v1/"}
  c: {base_url: "https://api.openai.com/v1", api_version: "1"}
  d: {base_url: "https://api.anthropic.com/v1", api_key: "${KEY}", headers: {X-Api-Key: x}}
  e: {base_url: "https://e.example", dialect: claude}
  f: {base_url: "azure", dialect: azure}
"""
    found = [line.partition(": ")[2] for line in problems(text, {"KEY": "sk"})]

    assert found == [
        "providers.a: needs `api_version`, unless `base_url` ends with `/openai/v1`",
        "providers.c.api_version: is Azure's; the dialect here is `openai`",
        "providers.d.headers: has an x-api-key header although there is an `api_key`",
        "providers.e.dialect: should be " + _one_of(DialectName),
        "providers.f.base_url: should be a URL that starts with http:// or https://, without a query",
    ]


def _one_of(literal: object) -> str:
    *others, last = (repr(name) for name in get_args(literal))
    return f"{', '.join(others)} or {last}"


def test_what_a_provider_speaks_besides_chat_is_known_or_told(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  claude: {base_url: "https://api.anthropic.com/v1"}
  openai: {base_url: "https://api.openai.com/v1"}
  compatible: {base_url: "https://llm.example/v1"}
  azure: {base_url: "https://a.openai.azure.com/openai/v1"}
  old_azure: {base_url: "https://a.openai.azure.com", api_version: 2024-10-21}
  told: {base_url: "http://10.0.0.7:8000/v1", dialect: vllm, natives: [responses, messages]}
  kept: {base_url: "https://api.openai.com/v1", natives: []}
"""
    )
    assert {name: sorted(endpoint.natives) for name, endpoint in snapshot.endpoints.items()} == {
        "claude": ["messages"],
        "openai": ["responses"],
        "compatible": [],
        "azure": ["responses"],
        "old_azure": [],
        "told": ["messages", "responses"],
        "kept": [],
    }


def test_natives_are_the_tongues_there_are(problems: Problems) -> None:
    found = problems('providers:\n  a: {base_url: "http://h/v1", natives: [telepathy]}\n')
    assert "natives" in str(found)
    assert "'messages' or 'responses'" in str(found)


def test_an_sdk_speaks_for_itself(problems: Problems) -> None:
    found = problems("providers:\n  a: {dialect: litellm, litellm: {provider: bedrock}, natives: [messages]}\n")
    assert "has `natives`" in str(found)
