"""Providers that are reached through the LiteLLM SDK, as they are written."""

from __future__ import annotations

import json

import pytest

from gateway.config.litellm_sdk import seller
from gateway.config.models.providers import Provider
from tests.gateway.config.conftest import Load, Problems

GOOGLE = json.dumps({"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----x", "project_id": "p"})


def test_parameters_are_passed_on_and_secrets_known(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  aws:
    dialect: litellm
    headers: {x-team: a}
    litellm:
      provider: bedrock
      aws_region_name: eu-central-1
      aws_access_key_id: ${KEY_ID}
      aws_secret_access_key: ${SECRET}
      nested: {a: [1, true, "${SECRET}"]}
  google:
    dialect: litellm
    litellm: {provider: vertex_ai, vertex_project: p, vertex_credentials: "${GOOGLE}", drop_params: on}
  cohere:
    dialect: litellm
    base_url: https://cohere.example/v2/chat
    api_key: ${KEY}
    litellm: {provider: cohere_chat}
""",
        {"KEY_ID": "AKIA-1", "SECRET": "aws-secret-1", "GOOGLE": GOOGLE, "KEY": "co-key-1"},
    )
    aws, google, cohere = (snapshot.endpoints[name] for name in ("aws", "google", "cohere"))

    assert aws.litellm is not None
    assert json.loads(aws.litellm.params) == {
        "aws_region_name": "eu-central-1",
        "aws_access_key_id": "AKIA-1",
        "aws_secret_access_key": "aws-secret-1",
        "nested": {"a": [1, True, "aws-secret-1"]},
    }
    assert aws.litellm.secrets == ("AKIA-1", "aws-secret-1")
    assert (aws.base_url, aws.headers, aws.litellm.provider) == ("", (("x-team", "a"),), "bedrock")
    assert google.litellm is not None
    assert google.litellm.drop_params
    assert google.litellm.secrets == (GOOGLE, "-----BEGIN PRIVATE KEY-----x")
    assert cohere.litellm is not None
    assert json.loads(cohere.litellm.params) == {"api_key": "co-key-1", "api_base": "https://cohere.example/v2/chat"}
    assert cohere.headers == (), "the key is no header"
    assert "co-key-1" not in f"{cohere!r}{cohere.litellm!r}"


def test_what_is_wrong_is_told(problems: Problems) -> None:
    text = """\
providers:
  a: {dialect: litellm}
  b: {litellm: {provider: bedrock}, base_url: "https://b.example"}
  c: {dialect: litellm, litellm: {provider: bedrock, aws_secret_access_key: abc}}
  d: {dialect: litellm, litellm: {provider: bedrock, num_retries: 1}}
  e: {dialect: litellm, litellm: {provider: bedrock, api_key: "${KEY}"}}
  f: {dialect: litellm, litellm: {aws_region_name: x}}
  g: {dialect: openai}
  h: {dialect: litellm, litellm: {provider: vertex_ai, vertex_credentials: '{"private_key": "x"}'}}
  i: {dialect: litellm, litellm: {provider: Bedrock}}
"""
    found = [line.partition(": ")[2] for line in problems(text, {"KEY": "k"})]
    clear = "is not written here in clear: put it in a variable and write ${NAME}, or file:/path"

    assert found == [
        "providers.a: `dialect: litellm` needs `litellm`, with the SDK's `provider`",
        "providers.b: has `litellm`, which needs `dialect: litellm` beside it",
        f"providers.c.litellm: `aws_secret_access_key` {clear}",
        "providers.d.litellm: `num_retries` is off: the gateway sees to that itself",
        "providers.e.litellm: `api_key` is not set here: that is up to `api_key` of the provider",
        "providers.f.litellm: needs `provider`",
        "providers.g: needs `base_url`",
        f"providers.h.litellm: `vertex_credentials` {clear}",
        "providers.i.litellm.provider: has characters that are not allowed here, or is too long; the pattern is "
        "^[a-z0-9_]{1,64}$",
    ]


def test_names_and_places_are_no_secrets(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  a:
    dialect: litellm
    litellm:
      provider: bedrock
      aws_profile_name: prod
      aws_role_name: "arn:aws:iam::1:role/x"
      aws_bedrock_runtime_endpoint: "https://vpce.example"
      vertex_credentials: keys/google.json
"""
    )
    sdk = snapshot.endpoints["a"].litellm

    assert sdk is not None
    assert sdk.secrets == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"litellm": {"provider": "bedrock"}, "dialect": "litellm"}, "aws"),
        ({"litellm": {"provider": "vertex_ai"}, "dialect": "litellm"}, "google"),
        ({"litellm": {"provider": "cohere_chat"}, "dialect": "litellm"}, "cohere"),
        ({"litellm": {"provider": "replicate"}, "dialect": "litellm"}, "replicate"),
        ({"litellm": {"provider": "bedrock"}, "dialect": "litellm", "price_provider": "x"}, "x"),
        ({"base_url": "https://a.example"}, "mine"),
    ],
)
def test_whose_prices(written: dict[str, object], expected: str) -> None:
    assert seller("mine", Provider.model_validate(written)) == expected


def test_models_of_bedrock_have_their_prices(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  eu: {dialect: litellm, litellm: {provider: bedrock, aws_region_name: eu-central-1}}
models:
  claude: {provider: eu, model: "anthropic.claude-sonnet-4-20250514-v1:0"}
"""
    )

    assert snapshot.catalog.models["claude"].deployments[0].price is not None
