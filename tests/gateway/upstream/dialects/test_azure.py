from __future__ import annotations

import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.azure import DIALECT
from gateway.wire.requests import EMBEDDINGS
from tests.gateway.upstream.dialects.speaking import ask, outgoing

FILTERED = (
    b'{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI\'s content management '
    b'policy.","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}'
)


@pytest.mark.parametrize(
    ("base", "version", "path"),
    [
        ("/openai/v1", None, b"/chat/completions"),
        ("/openai/v1", "preview", b"/chat/completions?api-version=preview"),
        ("", "2024-10-21", b"/openai/deployments/gpt%2Fx/chat/completions?api-version=2024-10-21"),
        ("/openai", "2024-10-21", b"/deployments/gpt%2Fx/chat/completions?api-version=2024-10-21"),
        ("/openai/deployments/gpt", "2024-10-21", b"/chat/completions?api-version=2024-10-21"),
        ("/models", "2024-05-01-preview", b"/chat/completions?api-version=2024-05-01-preview"),
    ],
)
def test_both_forms_of_the_api(base: str, version: str | None, path: bytes) -> None:
    endpoint = Endpoint("azure", f"https://acme.openai.azure.com{base}", (), dialect="azure", api_version=version)

    assert outgoing("azure", ask(), endpoint, upstream_model="gpt/x").path == path


def test_embeddings_too() -> None:
    endpoint = Endpoint("azure", "https://acme.openai.azure.com", (), api_version="1")

    assert outgoing("azure", ask(EMBEDDINGS, input="a"), endpoint).path == (
        b"/openai/deployments/large/embeddings?api-version=1"
    )


def test_its_filter_is_known() -> None:
    assert DIALECT.complaint(400, FILTERED) == "content_filter"
    assert (
        DIALECT.complaint(400, b'{"error":{"innererror":{"code":"ResponsibleAIPolicyViolation"}}}') == "content_filter"
    )
    assert DIALECT.complaint(404, b'{"error":{"code":"DeploymentNotFound"}}') == "refused"
